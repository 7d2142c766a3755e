"""A configured job: its rules, what it allows, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from syncd.domain.source import Rule
from syncd.domain.windows import Windows

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What a job's configuration lets syncd do on its own: adopt, restore, delete, and how often it verifies."""

    job: str
    # Nothing of others is touched and nothing is destroyed without consent: both are off by default.
    adopt: bool = False
    restore: bool = True
    delete: bool = False
    grace: timedelta = DAY
    # Of a job without a schedule: one cycle of it adds two hours of absence at most.
    interval: timedelta = timedelta(hours=1)
    verify_every: timedelta | None = DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A number, or a share in percent of the records that the ledger holds: at least 1, but 0 for 0%."""

    number: int | None = None
    percent: float | None = None

    def of(self, held: int) -> int:
        """Return how many actions it allows out of `held` records.

        A share is rounded down; 0% is 0, any other share is at least 1.
        """
        if self.number is not None:
            return self.number
        return max(1, int(held * self.percent / 100)) if self.percent else 0

    def __str__(self) -> str:
        return str(self.number) if self.number is not None else f"{self.percent:g}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a job allows in a rolling day; None: no limit."""

    max_deletes: Limit
    # Off by default, unlike the limit of deletions: a mass rotation is legitimate.
    max_updates: Limit | None = None
    max_creates: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A configured job, ready to run."""

    name: str
    source: str
    targets: tuple[str, ...]
    rules: tuple[Rule, ...]
    policies: Policies
    limits: Limits
    windows: Windows = field(default_factory=Windows)
    objective: timedelta | None = None
    """How long after a new source version every site must have it."""
