"""Pauses: given and ended by what targets are called today, and asked for before each request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Mapping
from datetime import datetime

from syncd.domain.decisions import Pause, said_of_pause
from syncd.domain.naming import selects_path
from syncd.ledger.decisions import Decisions
from syncd.reconcile.runtime import Runtime

FRESH = 2.0
"""Seconds that an answer of the ledger is good for: a running process hears of a pause within five."""


Sites = Callable[[], Mapping[str, frozenset[str]]]
"""Gives every key that the site of each target is known under."""


class Pauses:
    """What rests by a person's word. The pause of a target is of its site. All raise `LedgerError`."""

    def __init__(self, decisions: Decisions, sites: Sites, site_of: Callable[[str], str]) -> None:
        """`site_of`: the key that the ledger keeps a target's site under."""
        self._decisions, self._sites, self._site_of = decisions, sites, site_of

    def put(self, scope: str, name: str, until: datetime | None, reason: str) -> str:
        """Let a job, a target or everything rest. Returns: what was done, in words."""
        sites = self._of(scope, name)
        before = self._decisions.pause_of(scope, name, sites)
        site = self._site_of(name) if scope == "target" else ""
        return said_of_pause(self._decisions.pause(scope, name, until, reason, sites, site), before)

    def end(self, scope: str, name: str) -> bool:
        """End a pause. Returns: was there one?"""
        return self._decisions.resume(scope, name, self._of(scope, name))

    def now(self) -> tuple[Pause, ...]:
        """The pauses that hold at this moment, those of targets by the names of today."""
        sites = self._sites()
        return tuple(pause.by_todays_name(sites) for pause in self._decisions.pauses())

    def _of(self, scope: str, name: str) -> frozenset[str]:
        return self._sites().get(name, frozenset()) if scope == "target" else frozenset()


class PauseWatch:
    """The pauses of a ledger, as of two seconds ago at most: they are asked for before each request."""

    def __init__(self, decisions: Decisions, sites: Sites, takes_over: Callable[[str, str], bool]) -> None:
        """`takes_over`: does a job send what the ledger keeps of another one, which is configured no more?"""
        self._decisions, self._sites, self._turn = decisions, sites, threading.Lock()
        self._takes_over = takes_over
        self._heirs: dict[tuple[str, str], bool] = {}
        self._known: tuple[Pause, ...] = ()
        self._read_at: float | None = None
        self._ahead = decisions.ahead

    def reason(self, job: str, target: str) -> str:
        """Why a job rests on a target now; empty if it does not. Raises `LedgerError`."""
        with self._turn:
            # Asked before each request: without a memory that would be a query a request.
            is_old = self._read_at is None or time.monotonic() - self._read_at > FRESH
            if is_old or self._ahead != self._decisions.ahead:
                self._ahead = self._decisions.ahead
                self._known, self._read_at = self._decisions.pauses(), time.monotonic()
                self._heirs = {}
            # A login that changed shows in the middle of a cycle which site it is, so this is asked each time.
            sites = self._sites() if any(pause.site for pause in self._known) else {}
            keys = sites.get(target, frozenset())
            resting = (
                pause for pause in self._known if pause.covers(job, target, keys) or self._is_of_heir(pause, job)
            )
            return next((str(pause.by_todays_name(sites)) for pause in resting), "")

    def _is_of_heir(self, pause: Pause, job: str) -> bool:
        """A job may get another name: what rested under the old one rests under the new one, too."""
        if pause.scope != "job":
            return False
        key = (job, pause.name)
        if key not in self._heirs:
            self._heirs[key] = self._takes_over(job, pause.name)
        return self._heirs[key]


def takes_over(runtime: Runtime, sources: Container[str], job: str, gone: str) -> bool:
    """Do a job's rules select what the ledger keeps of another one, which is configured no more?"""
    heir = runtime.jobs.get(job)
    if heir is None or gone in runtime.jobs:
        return False
    kept = (row for site in sorted(set(map(runtime.site_of, heir.targets))) for row in runtime.store.records(site))
    return any(
        row.job == gone
        # A source that is configured no more may have got another name in the same change.
        and (row.ref.source == heir.source or row.ref.source not in sources)
        and any(selects_path(rule, row.ref.path) for rule in heir.rules)
        for row in kept
    )
