"""Find the jobs that may go on: a pause, a shut window, a rollback or a freeze that kept them back is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from syncd.bootstrap.app import App
from syncd.domain.naming import selects_path

MOST_FREEZES = 100
"""Most freezes that are watched for an end before their time; those that run out first."""

Held = Mapping[object, frozenset[str]]
"""Each thing that holds something back at a moment, such as a pause, with the names of the jobs that it holds back."""


class LetGo:
    """Tell once of each end, whether the time is over or somebody ended it, in this process or in another one."""

    def __init__(self) -> None:
        self._held: Held = {}
        self._asked_at: datetime | None = None

    def jobs(self, app: App) -> set[str]:
        """Return the jobs that something kept back at the last call and keeps back no longer. Raises `LedgerError`."""
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
