"""Pauses: given and ended by the target names of today, and checked before each request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from syncd.domain.decisions import Pause, said_of_pause
from syncd.ledger.decisions import Decisions

FRESH = 2.0
"""Seconds for which pauses read from the ledger are believed; a running process hears of a pause within five."""


Sites = Callable[[], Mapping[str, frozenset[str]]]
"""Returns, by target, every key that its site is known under."""


class Pauses:
    """The pauses that people gave. The pause of a target is of its site. All methods raise `LedgerError`."""

    def __init__(
        self, decisions: Decisions, sites: Sites, site_of: Callable[[str], str], changed: Callable[[], None]
    ) -> None:
        """`site_of`: the key that the ledger keeps a target's site under; `changed`: told of each pause and end."""
        self._decisions, self._sites, self._site_of, self._changed = decisions, sites, site_of, changed

    def put(self, scope: str, name: str, until: datetime | None, reason: str) -> str:
        """Let a job, a target or everything rest. Returns: what was done, in words."""
        sites = self._of(scope, name)
        before = self._decisions.pause_of(scope, name, sites)
        counts = (self._site_of(name),) if scope == "target" else ()
        given = self._decisions.pause(scope, name, until, reason, (*counts, *sites.difference(counts)))
        self._changed()
        return said_of_pause(given, before)

    def holds(self, scope: str, name: str) -> bool:
        """Is this job, this target or everything paused now?"""
        return self._decisions.pause_of(scope, name, self._of(scope, name)) is not None

    def end(self, scope: str, name: str) -> bool:
        """End a pause. Returns: was there one?"""
        was_paused = self._decisions.resume(scope, name, self._of(scope, name))
        self._changed()
        return was_paused

    def now(self) -> tuple[Pause, ...]:
        """The pauses that hold at this moment, those of targets by the names of today."""
        sites = self._sites()
        return tuple(pause.by_todays_name(sites) for pause in self._decisions.pauses())

    def look_anew(self) -> None:
        """Have the next request ask the ledger, where another process may have changed a pause, or one ran out."""
        self._changed()

    def _of(self, scope: str, name: str) -> frozenset[str]:
        return self._sites().get(name, frozenset()) if scope == "target" else frozenset()


class PauseWatch:
    """The pauses of a ledger, as of two seconds ago at most: they are asked for before each request."""

    def __init__(self, decisions: Decisions, sites: Sites) -> None:
        self._decisions, self._sites, self._turn = decisions, sites, threading.Lock()
        self._known: tuple[Pause, ...] = ()
        self._read_at: float | None = None
        self._ahead = decisions.ahead

    def forget(self) -> None:
        """Ask the ledger the next time: this very process has changed something."""
        with self._turn:
            self._read_at = None

    def reason(self, job: str, target: str) -> str:
        """Why a job rests on a target now; empty if it does not. Raises `LedgerError`."""
        with self._turn:
            # Asked before each request: without a memory that would be a query a request.
            is_old = self._read_at is None or time.monotonic() - self._read_at > FRESH
            if is_old or self._ahead != self._decisions.ahead:
                self._ahead = self._decisions.ahead
                self._known, self._read_at = self._decisions.pauses(), time.monotonic()
            # A login that changed shows in the middle of a cycle which site it is, so this is asked each time.
            sites = self._sites() if any(pause.site for pause in self._known) else {}
            keys = sites.get(target, frozenset())
            return next(
                (str(pause.by_todays_name(sites)) for pause in self._known if pause.covers(job, target, keys)), ""
            )
