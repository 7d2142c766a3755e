"""What a configuration will cost a day: calls to each source and site, and AWS's price. Pure.

Counted is what a quiet day costs: listings and verifications. Each changed path adds one read (20 of AWS's are
one call) and one write a site.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

DAY = timedelta(days=1)
VERIFIED_A_TURN = 2 * math.log(2)
"""Each secret is verified at a moment of its own within the second half of the interval: 1.39 times in each."""
AWS_DOLLARS_A_CALL = 0.05 / 10_000
"""Secrets Manager's list price: $0.05 for 10,000 calls (its own price for each stored secret comes on top)."""
AWS_BATCH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One job as configured, and what the ledger knows of it."""

    name: str
    source: str
    interval: timedelta | None
    """None: it runs by hand."""
    listing_calls: int
    """Of one cycle."""
    paths: int
    every_value: bool = False
    """KV v1: a cycle reads every value."""
    verify_every: timedelta | None = None
    names: Mapping[str, int]
    """Secrets by target."""

    @property
    def cycles(self) -> float:
        """A day."""
        return DAY / self.interval if self.interval else 0.0

    def _verified(self, count: int) -> float:
        return count * VERIFIED_A_TURN * (DAY / self.verify_every) if self.verify_every and self.interval else 0.0

    def listed(self) -> float:
        """Calls a day at the source that each cycle makes: its listing, and every value where each is read anew."""
        return self.cycles * (self.listing_calls + (self.paths if self.every_value else 0))

    def verified(self, *, batch: int = 1) -> float:
        """Calls a day of the verification at the source; `batch` that are due in one cycle are one call."""
        # A cycle of KV v1 reads every value anyway, so nothing is left to verify.
        reads = 0.0 if self.every_value else self._verified(self.paths)
        due = reads / self.cycles if self.cycles else 0.0
        # Where one or more are due a cycle makes one call at least, which up to `batch` of them share.
        return self.cycles * max(min(due, 1.0), due / batch)

    def requests(self, target: str, *, readable: bool = True) -> float:
        """Requests a day to a site: the listing, and the comparisons where values may be read."""
        return self.cycles + (self._verified(self.names.get(target, 0)) if readable else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceForecast:
    """How many calls all jobs make to one source, and what AWS asks for them."""

    source: str
    calls: float
    """A day."""
    dollars: float | None
    """A month of 30 days, where calls have a price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetForecast:
    """Requests to one site."""

    target: str
    requests: float
    """A day."""
    share: float
    """Of what the rate limit allows in a day."""
    secrets: int
    push_all: timedelta
    """As long it takes to write every secret once."""


def of_source(name: str, jobs: Sequence[JobFacts], *, is_aws: bool) -> SourceForecast:
    """The calls of a quiet day."""
    here = [job for job in jobs if job.source == name]
    calls = sum(job.listed() + job.verified(batch=AWS_BATCH if is_aws else 1) for job in here)
    dollars = calls * 30 * AWS_DOLLARS_A_CALL if is_aws else None
    return SourceForecast(source=name, calls=calls, dollars=dollars)


def of_target(name: str, jobs: Sequence[JobFacts], *, limit: int, window: timedelta) -> TargetForecast:
    """The requests of a quiet day, and how long a push of everything takes."""
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
