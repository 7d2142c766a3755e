"""What `/status` tells: jobs, their last and next run, and counts; names only to whoever knows the token."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from syncd.domain import LastRun
from syncd.domain.statuses import Served, status_of_record
from syncd.ledger.store import Ledger

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What of a status somebody may see."""

    names: bool
    """May names be shown? Without them, jobs and targets are numbered, and messages are left out."""
    sites: Mapping[str, str] | None = None
    """The keys of the sites that are shown, each with the name of its target; None: all sites."""


def status_of(
    ledger: Ledger, served: Served, now: datetime, following: Mapping[str, datetime | None], shown: Shown
) -> dict[str, Any]:
    """Return the last runs of these jobs, when they run next, and how many secrets there are of each status.

    `following`: the jobs, each with the time of its next run. Raises `LedgerError`.
    """
    names, sites = shown.names, shown.sites
    runs = [run for run in ledger.runs() if sites is None or run.site in sites]
    counts = counted(ledger, served, now)
    return {
        "jobs": [
            {
                "job": name if names else f"job {number}",
                "next_run_at": at.isoformat() if at else None,
                "targets": [
                    _target(run, (sites or {}).get(run.site, run.target) if names else f"target {index}", names=names)
                    for index, run in enumerate((run for run in runs if run.job == name), 1)
                ],
            }
            for number, (name, at) in enumerate(sorted(following.items()), 1)
        ],
        "secrets": sum((tally for (site, _), tally in counts.items() if sites is None or site in sites), Counter()),
    }


def counted(
    ledger: Ledger, served: Served, now: datetime, site: str | None = None
) -> dict[tuple[str, str], Counter[str]]:
    """Secrets of each status by site and job; those that never came into the ledger, too. Raises `LedgerError`.

    The one count that the page, `/status` and the metrics show.
    """
    found: dict[tuple[str, str], Counter[str]] = {}
    for tally in ledger.tallies(now, site):
        found.setdefault((tally.site, tally.job), Counter())[status_of_record(tally, served, now)] += tally.count
    for (of_site, job, kind), count in ledger.problems_without_rows(site).items():
        if of_site in served.jobs:
            found.setdefault((of_site, job), Counter())[kind] += count
    return found


def _target(run: LastRun, name: str, *, names: bool) -> dict[str, Any]:
    return {
        "target": name,
        "last_run_at": run.finished_at.isoformat(),
        "last_success_at": run.succeeded_at.isoformat() if run.succeeded_at else None,
        "exit_code": run.exit_code,
        **({"message": run.message} if names else {}),
    }


class Shared(Generic[T]):
    """An answer that is worked out at most once in a number of seconds, however many ask for it."""

    def __init__(self, answer: Callable[[], T], seconds: float) -> None:
        self._answer, self._seconds = answer, seconds
        self._lock = threading.Lock()
        self._given: tuple[float, T] | None = None

    def __call__(self) -> T:
        """Return the answer, which is at most so many seconds old. Raises what `answer` raises."""
        # Under the lock: of many who ask at once, one reads the ledger and the others wait for its answer.
        with self._lock:
            if self._given is None or time.monotonic() - self._given[0] > self._seconds:
                self._given = (time.monotonic(), self._answer())
            return self._given[1]
