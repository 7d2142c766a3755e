"""A command that writes: its app, its events, its progress bar."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from syncd.cli.context import Context

if TYPE_CHECKING:
    from rich.progress import Progress

    from syncd.bootstrap.app import App
    from syncd.domain import Finding, Outcome, ReadFailure
    from syncd.domain.ports import CycleObserver


@contextmanager
def working(context: Context) -> Iterator[App]:
    """Open the app for a command that writes: events are logged, a terminal gets a progress bar. Raises `SyncdError`.

    While the block runs, a first signal only sets `Context.stop`: the command settles what is in flight and then ends.
    """
    import structlog

    from syncd.domain.audit import CAUSE
    from syncd.telemetry.events import Events

    events = Events()
    # On a terminal the bar and the report tell what is done; a log of each action would run through the bar.
    level = "warning" if sys.stderr.isatty() else "info"
    Context.stoppable = True
    run_id = uuid.uuid4().hex[:12]
    # The log's events and the trail's lines of one run are found by the same id.
    structlog.contextvars.bind_contextvars(run_id=run_id)
    CAUSE.set(replace(CAUSE.get(), run=run_id))
    with context.open(level=level, events=events) as app, _bar(app):
        yield app


@contextmanager
def _bar(app: App) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # On stderr: stdout is for the report, which may be JSON.
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        app.runtime = replace(app.runtime, observer=_Bar(progress, app.runtime.observer))
        yield


class _Bar:
    """Move a progress bar, and pass every call on to the observer that it wraps."""

    def __init__(self, progress: Progress, inner: CycleObserver) -> None:
        self._progress, self._inner = progress, inner
        self._task = progress.add_task("looking", total=None)
        self._planned, self._lock = 0, Lock()

    def on_planned(self, count: int) -> None:
        # Of all jobs and sites at once, each of which plans again until nothing is left: one bar for all of it.
        with self._lock:
            self._planned += count
            if self._planned:
                self._progress.update(self._task, description="writing", total=self._planned)
        self._inner.on_planned(count)

    def on_outcome(self, outcome: Outcome, job: str, target: str) -> None:
        self._progress.advance(self._task)
        self._inner.on_outcome(outcome, job, target)

    def on_finding(self, finding: Finding, job: str, target: str, *, known: bool) -> None:
        self._inner.on_finding(finding, job, target, known=known)

    def on_failure(self, failure: ReadFailure, job: str, target: str) -> None:
        self._inner.on_failure(failure, job, target)
