"""How far a cycle has come, and how long it waits for a site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from syncd.domain import Finding, Outcome, Record
from syncd.domain.decisions import HeldAction
from syncd.errors import SyncdError, TargetUnavailable
from syncd.reconcile.planned_pass import PlannedPass
from syncd.reconcile.record.cycle_result import Seen
from syncd.reconcile.record.report import LeftOut
from syncd.reconcile.rules.gate import still_waiting

MOST_WAIT = 180.0
"""Seconds that a cycle waits in all for a site that asks to slow down, while nothing gets done."""


@dataclass(slots=True)
class Progress:
    """How far a cycle has come."""

    outcomes: list[Outcome] = field(default_factory=list)
    noticed: list[Finding] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    unsent: int = 0
    looks: int = 0
    """Passes so far, without those that left work over (`ApplyResult.left_over`)."""
    deletes_wait: bool = False
    """Did the last pass leave deletions for a pass of their own?"""
    planned: PlannedPass | None = None
    news: frozenset[str] = frozenset()
    """Source paths that any pass read in a version which the ledger did not have."""
    looked_at: datetime | None = None
    """When the last pass looked."""
    error: SyncdError | None = None
    rows: Sequence[Record] | None = None
    """As the last pass left them; None for a cycle that did not see everything."""
    goes_on: bool = True

    def seen(self, held: Iterable[HeldAction], place: tuple[str, str, str]) -> Seen | None:
        """Return what the cycle leaves for the ledger; None if it did not see everything.

        `held`: what waited for a release before. `place`: site, job and target.
        """
        if self.rows is None or self.planned is None:
            return None
        actions = {name: action for name, (action, _) in self.left_out.actions.items()}
        known = {item.identity for item in self.planned.waiting}
        still = tuple(item for item in still_waiting(held, actions, place) if item.identity not in known)
        return Seen(self.rows, self.planned.waiting, self.planned.remote, self.left_out, still)

    def fail(self, error: SyncdError) -> None:
        """The cycle ends without having seen everything."""
        # Without rows nothing is booked as seen: statuses and batches stay as an earlier cycle left them.
        self.error, self.rows, self.goes_on = error, None, False


@dataclass(slots=True)
class Patience:
    """Tells how long to wait for a site that asks to slow down, as long as something gets done in between."""

    waited: float = 0.0
    outcomes: int = 0

    def wait_for(self, failure: TargetUnavailable, outcomes: int) -> float | None:
        """Return the seconds to wait; None once the site has asked for long enough, or if it asks for nothing.

        `outcomes`: how many actions of the cycle have ended so far.
        """
        if failure.retry_after is None or not failure.asks_to_wait:
            return None
        if outcomes > self.outcomes:
            self.waited, self.outcomes = 0.0, outcomes
        self.waited += failure.retry_after
        return failure.retry_after if self.waited <= MOST_WAIT else None
