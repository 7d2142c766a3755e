"""What is known of a record's source reference: "could not read" is never "was deleted". Pure."""

from __future__ import annotations

from syncd.domain import Presence, Record, Rule, Snapshot
from syncd.domain.naming import selects
from syncd.reconcile.observe.evidence import ListingEvidence


def empty_rules(record: Record, evidence: ListingEvidence) -> list[Rule]:
    """Globs that should show the record's path, and list nothing at all: that is not believed."""
    return [
        rule
        for rule in evidence.rules
        if rule.path.has_wildcard and selects(rule, record.ref) and _lists_nothing(evidence.snapshots[rule.index])
    ]


def _lists_nothing(snapshot: Snapshot) -> bool:
    return snapshot.complete and not snapshot.entries


ROLLED_BACK = "its path is rolled back; what is gone is another version of it"


def presence_of(record: Record, evidence: ListingEvidence) -> tuple[Presence, str]:
    """Judge a record that the job no longer maps to its name. Returns: its presence, and why.

    Absent needs a complete listing of every rule that selects the reference. Orphan needs complete listings of all
    rules of the job, because the new name of a moved mapping must be known before the old one may go.
    """
    selecting = [rule for rule in evidence.rules if selects(rule, record.ref)]
    if not selecting:
        # Its rule spells it in another way now, and what is there is another version than the one that was asked for.
        if record.ref.path in evidence.former_rollback_paths and not record.pin:
            return Presence.UNKNOWN, ROLLED_BACK
        if not evidence.complete:
            return Presence.UNKNOWN, evidence.gap()
        return Presence.ORPHAN, "no rule of its job selects it any more"
    for rule in selecting:
        if not evidence.is_complete(rule):
            return Presence.UNKNOWN, evidence.gap((rule,))
    return _of_selected(record, selecting, evidence)


def _of_selected(record: Record, selecting: list[Rule], evidence: ListingEvidence) -> tuple[Presence, str]:
    keys = {(record.ref.path, rule.pin) for rule in selecting}
    if keys & evidence.unread:
        return Presence.UNKNOWN, "its path could not be read"
    if not keys & evidence.listed:
        if record.ref.path in evidence.rollback_paths and not record.pin:
            return Presence.UNKNOWN, ROLLED_BACK
        if any(rule.tags for rule in selecting):
            return Presence.ABSENT, "its path is gone at the source, or lost the tags that its rule asks for"
        return Presence.ABSENT, "its path is gone at the source"
    states = [evidence.paths[key] for key in keys if key in evidence.paths]
    if not states:
        return Presence.UNKNOWN, "its path was never read"
    if record.ref.field is None or any(record.ref.field in (state.fields or ()) for state in states):
        if not evidence.complete:
            return Presence.UNKNOWN, evidence.gap()
        return Presence.ORPHAN, "its rule gives it another name now"
    # A value that does not parse lacks every field, which proves of none that it was removed.
    if any(state.fields is None for state in states):
        return Presence.UNKNOWN, "its path was read but has no fields"
    if any(evidence.is_older(key) for key in keys):
        return Presence.UNKNOWN, "its path is rolled back to a version that lacks it; the newest one was not looked at"
    return Presence.ABSENT, "its field is gone at the source"
