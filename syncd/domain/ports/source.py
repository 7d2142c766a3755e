"""What a source is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from syncd.domain import (
    PathCheck,
    ReadFailure,
    ReadResult,
    Rule,
    RuleCheck,
    Snapshot,
    SourceEntry,
)


class Source(Protocol):
    """Where secrets come from. A place that cannot be read is a `ReadFailure`, never an absence."""

    name: str

    def snapshot(self, rule: Rule) -> Snapshot:
        """What the rule selects, as versions. Raises nothing of the SDK's; `SourceError` for the whole."""

    def read(self, entries: Sequence[SourceEntry]) -> Iterator[ReadResult]:
        """The documents of these paths, in any order, one answer each. Raises `SourceError`."""

    def find(self, rule: Rule, path: str) -> Snapshot:
        """What the rule selects at exactly this path, which is a name from outside and never a pattern."""

    # Filters are left out: a secret that lost a rule's tag is there, and may not look gone.
    def check_path(self, path: str, pin: str = "") -> PathCheck:
        """A direct look at one path, without any filter of a rule. Raises `SourceError` where it cannot be told."""

    def check(self, rules: Sequence[Rule]) -> Iterator[ReadFailure | RuleCheck]:
        """Try the login and each rule's permissions."""

    def close(self) -> None:
        """Close the connections."""


class Queue(Protocol):
    """Where a source's events come from. Both raise `SourceError`."""

    def receive(self) -> tuple[frozenset[str], list[str]]:
        """Names that changed, and receipts."""

    # Called once the names were handed on: a queue brings again what nobody said this of.
    def done(self, receipts: list[str]) -> None:
        """The names are in hand."""
