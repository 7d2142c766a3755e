"""A run on a machine whose clock is wrong, while the site's is right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from syncd.domain import SyncReport
from syncd.reconcile.run_job import Run, sync_job
from tests.lab import Lab


@contextmanager
def machine_clock(lab: Lab, off: timedelta) -> Iterator[App]:
    """Syncd with a clock that is ahead, or behind where `off` is negative."""
    with App(load(lab.config_file), Surroundings(clock=lambda: datetime.now(UTC) + off)) as app:
        yield app


def one_cycle(app: App, name: str = "job") -> SyncReport:
    """One cycle of a job that has one target."""
    (report,) = sync_job(app.runtime, app.runtime.jobs[name], Run(holder="test", wait=timedelta(0)))
    return report
