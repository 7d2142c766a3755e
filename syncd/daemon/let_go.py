"""What kept jobs from something until a moment ago: pauses, windows, rollbacks and freezes that have ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from syncd.bootstrap.app import App
from syncd.domain.naming import selects_path

MOST_FREEZES = 100
"""How many freezes, those that end first, are watched for an end that somebody gives them before their time."""

Held = Mapping[object, frozenset[str]]
"""What holds something back at a moment, and whose: jobs."""


class LetGo:
    """Tells of each end once, whether the time is over or somebody ended it, here or in another process."""

    def __init__(self) -> None:
        self._held: Held = {}
        self._asked_at: datetime | None = None

    def jobs(self, app: App) -> set[str]:
        """Jobs that have something to do now which waited when this was asked last. Raises `LedgerError`."""
        held, now = _held(app), app.runtime.clock()
        # However many freezes end at one moment.
        thawed = app.ledger.jobs_thawed(self._asked_at, now) if self._asked_at else frozenset()
        before, self._held, self._asked_at = self._held, held, now
        ended = before.keys() - held.keys()
        if ended:
            # A run that believes what was known of pauses a moment ago rests once more, and nothing wakes it then.
            app.pauses.look_anew()
        return {job for what in ended for job in before[what]} | thawed


def _held(app: App) -> Held:
    jobs, now, sites = app.runtime.jobs.values(), app.runtime.clock(), app.sites.keys_of_targets()
    held = dict[object, frozenset[str]]()
    for pause in app.pauses.now():
        covered = (job for job in jobs if any(pause.covers(job.name, target, sites[target]) for target in job.targets))
        # One that another one replaces is no end.
        held["pause", pause.scope, pause.name] = frozenset(job.name for job in covered)
    for source, path in app.ledger.decisions.rollbacks():
        takers = (job for job in jobs if job.source == source and any(selects_path(rule, path) for rule in job.rules))
        held["rollback", source, path] = frozenset(job.name for job in takers)
    for record in app.ledger.frozen(now, MOST_FREEZES):
        held["freeze", record.site, record.name] = frozenset({record.job})
    return held | {("window", job.name): frozenset({job.name}) for job in jobs if job.windows.what_waits(now)}
