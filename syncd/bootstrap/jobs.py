"""Configured jobs as the cycle takes them."""

from __future__ import annotations

from datetime import timedelta

from syncd.config.jobs import WindowSettings
from syncd.config.rules import normalised
from syncd.config.settings import JobSettings
from syncd.domain.job import Job, Limit, Limits, Policies
from syncd.domain.windows import Window, Windows

UNSCHEDULED = timedelta(hours=1)
"""Taken for the interval of a job without a schedule (a cron-style run)."""


def make_job(name: str, settings: JobSettings, kind: str) -> Job:
    """Build a job, ready to run. `kind`: the type of its source."""
    interval = settings.schedule.interval() if settings.schedule else UNSCHEDULED
    return Job(
        name=name,
        source=settings.source,
        targets=tuple(settings.targets),
        rules=tuple(normalised(rule, index, settings.source, kind) for index, rule in enumerate(settings.secrets)),
        policies=Policies(
            job=name,
            adopt=settings.conflict_policy == "adopt",
            restore=settings.drift_policy == "restore",
            delete=settings.deletion_policy == "delete",
            grace=settings.deletion_grace,
            interval=interval,
            verify_every=settings.verify_every or None,
        ),
        limits=Limits(
            max_deletes=_limit(settings.guard.max_deletes),
            max_updates=_limit(settings.guard.max_updates) if settings.guard.max_updates is not None else None,
            max_creates=_limit(settings.guard.max_creates) if settings.guard.max_creates is not None else None,
        ),
        windows=_windows(settings.windows),
        objective=settings.objective,
    )


def _windows(settings: WindowSettings | None) -> Windows:
    if settings is None:
        return Windows()
    return Windows(allow=tuple(map(Window.parse, settings.allow)), free=frozenset(settings.except_))


def _limit(text: str) -> Limit:
    return Limit(percent=float(text[:-1])) if text.endswith("%") else Limit(number=int(text))
