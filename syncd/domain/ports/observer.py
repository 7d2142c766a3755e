"""Who hears what a cycle does, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from syncd.domain import (
    Finding,
    Outcome,
    ReadFailure,
)

TellWait = Callable[[str, float], None]
"""Called with what is waited for, and for how many seconds at most."""


@dataclass(frozen=True, slots=True)
class WhileWaiting:
    """What is asked and told while something is waited for."""

    stop: Callable[[], bool] = lambda: False
    """Returns True if the wait is to be given up."""
    tell: TellWait = lambda *_: None
    """Called again and again while the wait lasts."""


Clock = Callable[[], datetime]
"""Returns the current time, with a time zone. It is passed in: nothing below the bootstrap asks the machine's clock."""


class CycleObserver(Protocol):
    """Hears what a cycle does while it works: logs, metrics, a progress bar."""

    def on_planned(self, count: int) -> None:
        """A pass is about to carry out this many actions."""

    def on_outcome(self, outcome: Outcome, job: str, target: str) -> None:
        """An action ended."""

    # What lasts is told when it begins, not loudly in every cycle.
    def on_finding(self, finding: Finding, job: str, target: str, *, known: bool) -> None:
        """A cycle found something. `known`: the cycle before found the same."""

    def on_failure(self, failure: ReadFailure, job: str, target: str) -> None:
        """A place of the source could not be read."""


class SilentObserver:
    """An observer that does nothing."""

    def on_planned(self, count: int) -> None:
        """See `CycleObserver`."""

    def on_outcome(self, outcome: Outcome, job: str, target: str) -> None:
        """See `CycleObserver`."""

    def on_finding(self, finding: Finding, job: str, target: str, *, known: bool) -> None:
        """See `CycleObserver`."""

    def on_failure(self, failure: ReadFailure, job: str, target: str) -> None:
        """See `CycleObserver`."""
