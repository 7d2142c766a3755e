"""Waits that a person should know of: for a rate limit, for another process, for a site that asks to slow down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from syncd.domain.ports import TellWait

SHORTEST = 1.0
"""Seconds: nobody is told of a shorter wait."""
AGAIN = 10.0
"""Seconds after which the same wait is told again."""


class WaitNotices:
    """Passes a wait on, each cause at most once in ten seconds, from whatever thread it comes."""

    def __init__(self, tell: TellWait, steady: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._steady = steady
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def __call__(self, cause: str, seconds: float) -> None:
        """Tell of a wait for `cause`, if it is long enough and was not told just now."""
        now = self._steady()
        with self._lock:
            if seconds < SHORTEST or now - self._last.get(cause, float("-inf")) < AGAIN:
                return
            self._last[cause] = now
        # Not under the lock: who is told may be slow, and other threads wait, too.
        self._tell(cause, seconds)
