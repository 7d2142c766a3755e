"""Requests under way to one site, and how the site responds to them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from syncd.domain import Action, Record, WriteResult

BREAK_AFTER = 3
"""After this many failures in a row of the site as a whole, the remaining actions are left for another cycle.

A refusal of one secret starts the count again.
"""


@dataclass(slots=True)
class Pace:
    """How the site responds: counts of successes, and of failures of the site as a whole."""

    successes: int = 0
    """Since the last failure of the site as a whole; a refusal of one secret does not reset it."""
    failures_in_a_row: int = 0

    def succeeded(self) -> None:
        """Count a request that succeeded."""
        self.successes, self.failures_in_a_row = self.successes + 1, 0

    def failed(self, *, site_wide: bool) -> bool:
        """Count a request that failed. `site_wide`: did the site as a whole refuse, or not answer?

        Returns: did `BREAK_AFTER` of those follow one another, so that the remaining actions are left?
        """
        # A refusal of one secret says nothing of the site, so the others are not slowed down.
        self.successes = 0 if site_wide else self.successes
        self.failures_in_a_row = self.failures_in_a_row + 1 if site_wide else 0
        return self.failures_in_a_row >= BREAK_AFTER


@dataclass(slots=True)
class Flight:
    """Requests under way."""

    futures: dict[Future[WriteResult], tuple[Action, Record]] = field(default_factory=dict)

    def landed(self, timeout: float) -> Iterator[tuple[Future[WriteResult], Action, Record]]:
        """Wait for one request to end, and `timeout` seconds at most for more; yield all that have ended."""
        wait(self.futures, return_when=FIRST_COMPLETED)
        done, _ = wait(self.futures, timeout=timeout)
        for future in done:
            yield (future, *self.futures.pop(future))


@contextmanager
def dropping(pool: ThreadPoolExecutor) -> Iterator[None]:
    """Drop the requests that still wait for a thread if an error leaves the block: then nothing more is sent."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
