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
        """List what the rule selects: paths with their versions, no values.

        Raises `SourceError` if the listing as a whole fails, and never an exception of an SDK.
        """

    def read(self, entries: Sequence[SourceEntry]) -> Iterator[ReadResult]:
        """Read the documents of these paths, and yield one result for each, in any order. Raises `SourceError`."""

    def find(self, rule: Rule, path: str) -> Snapshot:
        """Look at exactly this path, and return what the rule selects of it.

        `path`: a name from outside, never a pattern. Raises as `snapshot` does.
        """

    # Filters are left out: a secret that lost a rule's tag is there, and may not look gone.
    def check_path(self, path: str, pin: str = "") -> PathCheck:
        """Look directly at one path, without any filter of a rule; `pin`: the pinned version or stage, if any.

        Raises `SourceError` where the source does not tell whether it is there.
        """

    def check(self, rules: Sequence[Rule]) -> Iterator[ReadFailure | RuleCheck]:
        """Log in, list each rule and read one secret of it, and yield what came of each.

        Yields a `RuleCheck` for a rule that could be listed, a `ReadFailure` for whatever could not be listed or read.
        Raises `SourceError`.
        """

    def close(self) -> None:
        """Close the connections."""


class Queue(Protocol):
    """The queue that a source's events come from. Both methods raise `SourceError`."""

    def receive(self) -> tuple[frozenset[str], list[str]]:
        """Wait a while for events. Returns: the names of secrets that changed, and receipts to give to `done`."""

    # Called once the names were handed on: a queue brings again what nobody said this of.
    def done(self, receipts: list[str]) -> None:
        """Take the events of these receipts off the queue, because their names were handed on."""
