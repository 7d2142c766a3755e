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
    """Their cycle is over."""
    unconfirmed_creates: set[str] = field(default_factory=set)
    """Names whose creation may or may not have happened: list before anything else."""
    rows: dict[str, Record | None] = field(default_factory=dict)
    """By name, as the ledger has them now; None for one that is gone."""
    look_again: bool = False
    """Something turned out not to be as listed."""
    left_over: bool = False
    """The time was up before all actions were sent."""
    broken: SyncdError | None = None
    """The site as a whole refuses or does not answer."""
    unsent: int = 0
    """Actions that were not sent, because the time was up or the process is asked to stop."""
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
    """What else the trail says of this transaction."""

    @classmethod
    def joined(cls, batches: Sequence[LedgerBatch]) -> LedgerBatch:
        """All of them as one."""
        return cls(**{part.name: [item for one in batches for item in getattr(one, part.name)] for part in fields(cls)})

    def enter(self, rows: dict[str, Record | None]) -> None:
        """Bring the rows up to date with what was written."""
        rows.update({record.name: None for record in self.drop})
        rows.update({record.name: record for record in self.put})
