"""What one look at a source has shown so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from syncd.domain import PathState, ReadFailure, ReadResult, Rule, Snapshot, SourceEntry
from syncd.reconcile.observe.evidence import Key


@dataclass(slots=True)
class SeenSoFar:
    """What was listed and read, and what could not be."""

    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    """By the number of the rule."""
    entries: dict[Key, SourceEntry] = field(default_factory=dict)
    unread: set[Key] = field(default_factory=set)
    documents: dict[Key, ReadResult] = field(default_factory=dict)
    confirmed: set[Key] = field(default_factory=set)
    """Paths whose older version is believed."""
    changed: dict[Key, PathState] = field(default_factory=dict)
    """What is to be stored in the ledger, and is not yet."""
    unsendable: list[ReadFailure] = field(default_factory=list)
    older: set[Key] = field(default_factory=set)
    """Paths that were listed or read in an older version than before, which is not believed yet."""
    disputed: set[Key] = field(default_factory=set)
    """Paths listed as another secret than was read last, made earlier by its date and not believed yet."""
    lagging: set[str] = field(default_factory=set)
    """Paths that are listed in a version which could not be read yet."""
    news: set[str] = field(default_factory=set)
    """Paths that were read in a version that the ledger did not have."""
    untold: set[str] = field(default_factory=set)
    """Those of `news` that the ledger was not told of yet."""

    def unlist(self, key: Key) -> None:
        """Remove a path that was listed and turned out not to be there."""
        del self.entries[key]
        for index, snapshot in self.snapshots.items():
            kept = tuple(entry for entry in snapshot.entries if (entry.ref.path, entry.pin) != key)
            self.snapshots[index] = replace(snapshot, entries=kept)

    @property
    def listing_calls(self) -> int:
        """Number of calls to the source that the listings took."""
        return sum(snapshot.calls for snapshot in self.snapshots.values())

    def listing_methods(self, rules: Iterable[Rule]) -> dict[str, str]:
        """How each rule's path was listed."""
        listed = self.snapshots
        return {rule.path.text: listed[rule.index].listing_method for rule in rules if rule.index in listed}
