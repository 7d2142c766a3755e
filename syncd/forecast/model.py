"""What a configuration will cost a day: calls to each source and site, and AWS's price. Pure.

What is counted is a quiet day: listings and verifications. Each changed path adds one read (20 reads of AWS are
one call) and one write for each site.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

DAY = timedelta(days=1)
VERIFIED_A_TURN = 2 * math.log(2)
"""Verifications of a secret in each interval: 1.39, as each is due at a moment of its own in the second half of it."""
AWS_DOLLARS_A_CALL = 0.05 / 10_000
"""Secrets Manager's list price: $0.05 for 10,000 calls (its own price for each stored secret comes on top)."""
AWS_BATCH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One job as configured, and what the ledger knows of it."""

    name: str
    source: str
    interval: timedelta | None
    """Time from one cycle to the next; None: the job runs by hand."""
    listing_calls: int
    """Calls of the listing in one cycle."""
    paths: int
    every_value: bool = False
    """KV v1: a cycle reads every value."""
    verify_every: timedelta | None = None
    names: Mapping[str, int]
    """How many secrets it has on each target."""

    @property
    def cycles(self) -> float:
        """How many a day."""
        return DAY / self.interval if self.interval else 0.0

    def _verified(self, count: int) -> float:
        return count * VERIFIED_A_TURN * (DAY / self.verify_every) if self.verify_every and self.interval else 0.0

    def listed(self) -> float:
        """Return the calls a day for listings and, at a source without versions (KV v1), for reading every value."""
        return self.cycles * (self.listing_calls + (self.paths if self.every_value else 0))

    def verified(self, *, batch: int = 1) -> float:
        """Return the calls a day for verification; up to `batch` secrets that are due in one cycle share a call."""
        # A cycle of KV v1 reads every value anyway, so nothing is left to verify.
        reads = 0.0 if self.every_value else self._verified(self.paths)
        due = reads / self.cycles if self.cycles else 0.0
        # Where one or more are due a cycle makes one call at least, which up to `batch` of them share.
        return self.cycles * max(min(due, 1.0), due / batch)

    def requests(self, target: str, *, readable: bool = True) -> float:
        """Return the requests a day to a site: listings and, if values may be read there (`readable`), comparisons."""
        return self.cycles + (self._verified(self.names.get(target, 0)) if readable else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceForecast:
    """How many calls all jobs make to one source, and what AWS asks for them."""

    source: str
    calls: float
    """How many a day."""
    dollars: float | None
    """US dollars in a month of 30 days; None where calls have no price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetForecast:
    """Requests to one site."""

    target: str
    requests: float
    """How many a day."""
    share: float
    """Share of what the rate limit allows in a day; 1.0 is all of it."""
    secrets: int
    push_all: timedelta
    """How long it takes to write every secret once."""


def of_source(name: str, jobs: Sequence[JobFacts], *, is_aws: bool) -> SourceForecast:
    """Forecast the calls of all jobs to one source on a quiet day."""
    here = [job for job in jobs if job.source == name]
    calls = sum(job.listed() + job.verified(batch=AWS_BATCH if is_aws else 1) for job in here)
    dollars = calls * 30 * AWS_DOLLARS_A_CALL if is_aws else None
    return SourceForecast(source=name, calls=calls, dollars=dollars)


def of_target(name: str, jobs: Sequence[JobFacts], *, limit: int, window: timedelta) -> TargetForecast:
    """Forecast the requests to one target on a quiet day, and how long a push of everything takes.

    `limit`, `window`: how many requests the rate limit allows in each window.
    """
    here = [job for job in jobs if name in job.names]
    requests, secrets = sum(job.requests(name) for job in here), sum(job.names[name] for job in here)
    # The first `limit` go at once; the rest as fast as the window lets them.
    turns = max(0, math.ceil((secrets + len(here)) / limit) - 1)
    return TargetForecast(
        target=name,
        requests=requests,
        share=requests / (limit * (DAY / window)),
        secrets=secrets,
        push_all=turns * window,
    )
