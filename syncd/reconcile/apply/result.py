"""What a round of actions leaves: for the cycle, and for the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from syncd.domain import HistoryEntry, Outcome, Record
from syncd.domain.audit import Entry
from syncd.errors import SiteFull, SyncdError, TargetUnavailable


@dataclass(slots=True)
class ApplyResult:
    """How a round of actions ended."""

    outcomes: list[Outcome] = field(default_factory=list)
    failed_names: set[str] = field(default_factory=set)
    """Names that this cycle leaves alone from now on: a request failed or lost its answer, or the site is full."""
    unconfirmed_creates: set[str] = field(default_factory=set)
    """Names whose creation lost its answer or met a taken name: the site has to be listed before anything else."""
    rows: dict[str, Record | None] = field(default_factory=dict)
    """Rows that this round changed, by name, as the ledger has them now; None for one that is gone."""
    look_again: bool = False
    """Something was not as listed, or may not go any more: the next pass lists and plans again."""
    left_over: bool = False
    """Work is left for another pass, though the site as a whole did not fail.

    The time was up, the process stops, the job rests, or the site asks to wait. The cycle also sets it where
    comparisons or deletions are left.
    """
    broken: SyncdError | None = None
    """The site as a whole refuses or does not answer."""
    unsent: int = 0
    """Number of actions that were not sent: the round ended before them, or they were halted while they waited."""
    full: SiteFull | None = None
    """The site takes no more secrets: no further creation is sent."""
    slow_down: TargetUnavailable | None = None
    """The site asks to wait for longer than a call does; nothing more was started, and nothing of it failed."""


@dataclass(slots=True)
class LedgerBatch:
    """What one transaction of the journal writes."""

    put: list[Record] = field(default_factory=list)
    drop: list[Record] = field(default_factory=list)
    log: list[HistoryEntry] = field(default_factory=list)
    intents: list[Entry] = field(default_factory=list)
    ends: list[Entry] = field(default_factory=list)
    """How intents of the audit trail ended."""
    notes: list[Entry] = field(default_factory=list)
    """Other lines of the audit trail that this transaction writes."""

    @classmethod
    def joined(cls, batches: Sequence[LedgerBatch]) -> LedgerBatch:
        """Join these batches into one."""
        return cls(**{part.name: [item for one in batches for item in getattr(one, part.name)] for part in fields(cls)})

    def enter(self, rows: dict[str, Record | None]) -> None:
        """Update `rows`, by name, with what this batch wrote; None for a row that was dropped."""
        rows.update({record.name: None for record in self.drop})
        rows.update({record.name: record for record in self.put})
