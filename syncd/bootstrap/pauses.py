"""Is a job paused? Asked before each request, and of the ledger every two seconds at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from syncd.domain.decisions import Pause
from syncd.ledger.decisions import Decisions

FRESH = 2.0
"""Seconds that an answer of the ledger is good for: a running process hears of a pause within five."""


class PauseWatch:
    """The pauses of a ledger, as of a moment ago."""

    def __init__(self, decisions: Decisions, sites: Callable[[], Mapping[str, frozenset[str]]]) -> None:
        """`sites`: every key that the site of each target is known under."""
        self._decisions, self._sites, self._turn = decisions, sites, threading.Lock()
        self._known: tuple[Pause, ...] = ()
        self._read_at: float | None = None

    def reason(self, job: str, target: str) -> str:
        """Why a job rests on a target now; empty if it does not. Raises `LedgerError`."""
        with self._turn:
            # Asked before each request: without a memory that would be a query a request.
            if self._read_at is None or time.monotonic() - self._read_at > FRESH:
                self._known, self._read_at = self._decisions.pauses(), time.monotonic()
            # A login that changed shows in the middle of a cycle which site it is, so this is asked each time.
            sites = self._sites() if any(pause.site for pause in self._known) else {}
            keys = sites.get(target, frozenset())
            return next(
                (str(pause.by_todays_name(sites)) for pause in self._known if pause.covers(job, target, keys)), ""
            )
