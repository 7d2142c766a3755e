"""Requests under way to one site, and how it takes what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from syncd.domain import Action, Record, WriteResult

BREAK_AFTER = 3
"""Failures in a row that are the site's, not a secret's: the rest is left for another cycle."""


@dataclass(slots=True)
class Pace:
    """How the site takes what it is sent."""

    successes: int = 0
    """Since its last failure."""
    failures_in_a_row: int = 0

    def succeeded(self) -> None:
        """A request was answered as it should be."""
        self.successes, self.failures_in_a_row = self.successes + 1, 0

    def failed(self, *, site_wide: bool) -> bool:
        """Returns: have enough failed in a row, for the site's own reasons, to leave the rest?"""
        # A refusal of one secret says nothing of the site, so the others are not slowed down.
        self.successes = 0 if site_wide else self.successes
        self.failures_in_a_row = self.failures_in_a_row + 1 if site_wide else 0
        return self.failures_in_a_row >= BREAK_AFTER


@dataclass(slots=True)
class Flight:
    """Requests under way."""

    futures: dict[Future[WriteResult], tuple[Action, Record]] = field(default_factory=dict)

    def landed(self, timeout: float) -> Iterator[tuple[Future[WriteResult], Action, Record]]:
        """Those that have ended: at least one, and what ends within the time."""
        wait(self.futures, return_when=FIRST_COMPLETED)
        done, _ = wait(self.futures, timeout=timeout)
        for future in done:
            yield (future, *self.futures.pop(future))


@contextmanager
def dropping(pool: ThreadPoolExecutor) -> Iterator[None]:
    """What ends in an error sends nothing more: what waits for a thread is dropped."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
