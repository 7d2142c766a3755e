"""What is known of a record's source reference: "could not read" is never "was deleted". Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from syncd.domain import PathState, Presence, Record, Rule, Snapshot
from syncd.domain.naming import selects


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingEvidence:
    """What one cycle saw of a job's sources."""

    rules: tuple[Rule, ...]
    snapshots: Mapping[int, Snapshot]
    """By rule index."""
    paths: Mapping[tuple[str, str], PathState]
    """By (path, pin): the version whose fields are known."""
    unread: frozenset[tuple[str, str]] = frozenset()
    """Listed at a version that could not be read or parsed."""
    listed: frozenset[tuple[str, str]] = field(default=frozenset())
    """(path, pin) of every entry of every snapshot."""

    @property
    def complete(self) -> bool:
        """Were all rules listed completely, and does no glob list nothing (which may be a typing mistake)?"""
        return all(self.is_complete(rule) for rule in self.rules)

    def is_complete(self, rule: Rule) -> bool:
        """Was this rule listed completely, and is it no glob that lists nothing?"""
        snapshot = self.snapshots[rule.index]
        return snapshot.complete and bool(snapshot.entries or not rule.path.has_wildcard)

    def gap(self, rules: Sequence[Rule] | None = None) -> str:
        """Which rule (of these, or of all) was not listed as one can believe; empty if each was."""
        rule = next((rule for rule in rules or self.rules if not self.is_complete(rule)), None)
        if rule is None:
            return ""
        if self.snapshots[rule.index].complete:
            return f"rule {rule.path} lists nothing, which is not believed"
        return f"rule {rule.path} could not be listed completely"


def empty_rules(record: Record, picture: ListingEvidence) -> list[Rule]:
    """Globs that should show the record's path, and list nothing at all: that is not believed."""
    return [
        rule
        for rule in picture.rules
        if rule.path.has_wildcard and selects(rule, record.ref) and _lists_nothing(picture.snapshots[rule.index])
    ]


def _lists_nothing(snapshot: Snapshot) -> bool:
    return snapshot.complete and not snapshot.entries


def presence_of(record: Record, picture: ListingEvidence) -> tuple[Presence, str]:
    """Judge a record that the job no longer maps to its name, and say why.

    Absent needs a complete listing of every rule that selects the reference; an orphan needs a complete
    job, because the new name of a moved mapping must be known before the old one may go.
    """
    selecting = [rule for rule in picture.rules if selects(rule, record.ref)]
    if not selecting:
        if not picture.complete:
            return Presence.UNKNOWN, picture.gap()
        return Presence.ORPHAN, "no rule of its job selects it any more"
    for rule in selecting:
        if not picture.is_complete(rule):
            return Presence.UNKNOWN, picture.gap((rule,))
    return _of_selected(record, selecting, picture)


def _of_selected(record: Record, selecting: list[Rule], picture: ListingEvidence) -> tuple[Presence, str]:
    keys = {(record.ref.path, rule.pin) for rule in selecting}
    if keys & picture.unread:
        return Presence.UNKNOWN, "its path could not be read"
    if not keys & picture.listed:
        return Presence.ABSENT, "its path is gone at the source"
    states = [picture.paths[key] for key in keys if key in picture.paths]
    if not states:
        return Presence.UNKNOWN, "its path was never read"
    if record.ref.field is None or any(record.ref.field in (state.fields or ()) for state in states):
        if not picture.complete:
            return Presence.UNKNOWN, picture.gap()
        return Presence.ORPHAN, "its rule gives it another name now"
    if any(state.fields is None for state in states):
        return Presence.UNKNOWN, "its path was read but has no fields"
    return Presence.ABSENT, "its field is gone at the source"
