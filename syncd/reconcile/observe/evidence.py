"""What one cycle saw of a job's sources, and what that proves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from syncd.domain import DesiredSecret, PathState, ReadFailure, ReadResult, Rule, Snapshot

Key = tuple[str, str]
"""A path and its pin."""


def key_of(desired: DesiredSecret) -> Key:
    """The path and pin that a wanted name comes from."""
    return desired.ref.path, desired.pin


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingEvidence:
    """What one cycle saw of a job's sources."""

    source: str
    rules: tuple[Rule, ...]
    snapshots: Mapping[int, Snapshot]
    """By rule index."""
    paths: Mapping[Key, PathState]
    """What is known of each path: the version whose fields are known, and these fields."""
    unread: frozenset[Key] = frozenset()
    """Listed at a version that could not be read or parsed."""
    listed: frozenset[Key] = field(default=frozenset())
    """Every entry of every snapshot."""
    documents: Mapping[Key, ReadResult] = field(default_factory=dict)
    """What was read in this cycle."""
    rolled_back: Mapping[str, str] = field(default_factory=dict)
    """Listed paths that a person rolled back to an older version, each with the words that say so."""
    rollback_paths: frozenset[str] = frozenset()
    """Paths that a person rolled back, whether or not they are listed: their newest version may be gone by now."""
    former_rollback_paths: frozenset[str] = frozenset()
    """The same as they were spelled when they were rolled back."""
    unsendable: tuple[ReadFailure, ...] = ()
    """Secrets that the source answered for, and that have nothing to send."""

    @property
    def complete(self) -> bool:
        """Were all rules listed completely, and did each glob list something (else it may be a typing mistake)?"""
        return all(self.is_complete(rule) for rule in self.rules)

    def is_complete(self, rule: Rule) -> bool:
        """Was this rule listed completely? A glob that lists nothing was not."""
        snapshot = self.snapshots[rule.index]
        # An emptied tree looks like a wrong policy or an empty mount, so it proves no absence.
        return snapshot.complete and bool(snapshot.entries or not rule.path.has_wildcard)

    def gap(self, rules: Sequence[Rule] | None = None) -> str:
        """Return, in words, the first rule that was not listed completely; empty if each was.

        `rules`: look at these alone; None: at all. A glob that lists nothing is not believed.
        """
        rule = next((rule for rule in rules or self.rules if not self.is_complete(rule)), None)
        if rule is None:
            return ""
        if self.snapshots[rule.index].complete:
            return f"rule {rule.path} lists nothing, which is not believed"
        return f"rule {rule.path} could not be listed completely"

    @property
    def paths_listed(self) -> frozenset[str]:
        """Every path that was shown, also of secrets that have nothing to send."""
        return frozenset(path for path, _ in self.listed) | {failure.location for failure in self.unsendable}

    @property
    def known_by_rule(self) -> dict[int, frozenset[str]]:
        """By rule index, the listed paths of which is known what the rule makes now.

        The paths of secrets that are known to have nothing to send are among them.
        """
        known = self.paths.keys() - self.not_known
        return {
            index: frozenset(
                (
                    *(entry.ref.path for entry in seen.entries if (entry.ref.path, entry.pin) in known),
                    *(failure.location for failure in seen.failures if failure.of_secret),
                )
            )
            for index, seen in self.snapshots.items()
        }

    @property
    def mounts(self) -> dict[str, str]:
        """By mount (or account), its id: of each listing that told it."""
        return {seen.mount: seen.mount_id for seen in self.snapshots.values() if seen.mount_id}

    @property
    def not_known(self) -> frozenset[Key]:
        """Paths without known current fields: the newest version was not read, or an older one was looked at."""
        return self.unread | {(path, "") for path in self.rolled_back}

    def is_older(self, key: Key) -> bool:
        """Does a rollback read an older version here? What that lacks may be in the newest one."""
        path, pin = key
        return not pin and path in self.rolled_back

    def lacks_field(self, path: str, field_name: str | None, pin: str) -> bool:
        """Was the path read and parsed at its listed version, and is the field missing from it?"""
        key = (path, pin)
        state = self.paths.get(key)
        if state is None or state.fields is None or field_name is None or key in self.unread:
            return False
        # What an older version lacks may be there in the newest one, which nobody looked at.
        if self.is_older(key):
            return False
        return key in self.listed and field_name not in state.fields
