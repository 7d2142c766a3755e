"""Somebody else's changes at Wix: how they are known, and the one check before anything writes over them. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from syncd.domain import DesiredSecret, FindingKind, Record, RemoteSecret, Update, brings_another_value
from syncd.domain.job import DAY
from syncd.domain.recency import happened_within
from syncd.domain.write_window import Change, judge, may_be_late_commit
from syncd.reconcile.plan.builder import NOTHING, Row, Verdict, note, owns, report
from syncd.reconcile.plan.inputs import MAX_RESTORES

SOMEBODY = "changed at Wix by somebody else"
RESTORE_HINT = "drift_policy: restore writes our value again"


def is_found(record: Record, listed: RemoteSecret | None, now: datetime) -> bool:
    """Does the listing show somebody else's change, beyond what a lost write of ours could do?"""
    if record.theirs or record.unverified or listed is None:
        return record.theirs
    return judge(record, listed.updated_at) is Change.THEIRS and not may_be_late_commit(record, now)


def with_known_change(row: Row, record: Record) -> Record:
    """Return the row with somebody else's change noted, if the listing shows one.

    For callers that judge nothing of its value.
    """
    if not record.theirs and not record.is_open and is_found(record, row.listed, row.now):
        return replace(record, theirs=True)
    return record


def at_its_version(record: Record, desired: DesiredSecret) -> Record:
    """Return the record moved to the wanted version if the value is the same, so that nothing is sent to Wix.

    Else the value would be read again in each cycle. A record with another value stays as it is.
    """
    if (
        desired.fingerprint is None
        or not owns(record, desired)
        or brings_another_value(desired, record, if_unknown=False)
    ):
        return record
    return replace(record, version=desired.version, source_updated_at=desired.made_at(record.source_updated_at))


def as_policy_says(row: Row, desired: DesiredSecret, record: Record, verdict: Verdict, what: str) -> Verdict:
    """Let the policy decide where a verdict would write our old value over somebody else's change.

    Verdicts on a recorded secret pass here; one that writes no such value is returned as it is. A write that the
    policy allows counts as a restore. `what`: the change, in words.
    """
    writes = [action for action in verdict.actions if isinstance(action, Update) and not action.describe_only]
    # A new value goes out whatever the policy. A new version may be of another field: its value is asked for first.
    if not record.theirs or not writes or brings_another_value(desired, record, if_unknown=False):
        return verdict
    objection = objection_to_restore(row, desired, record, what)
    if objection is not None:
        moved = at_its_version(verdict.record_update or record, desired)
        return (note(moved) if moved != record else NOTHING) + replace(objection, compare=verdict.compare)
    return replace(verdict, actions=tuple(replace(action, restore=True) for action in writes))


def left(desired: DesiredSecret, record: Record, what: str) -> Verdict:
    """Report a change that `drift_policy: report` leaves at the site, and note it in the row."""
    return _known(record) + report(FindingKind.DRIFT, desired, what, RESTORE_HINT)


def _known(record: Record) -> Verdict:
    return NOTHING if record.theirs else note(replace(record, theirs=True))


def objection_to_restore(row: Row, desired: DesiredSecret, record: Record, what: str) -> Verdict | None:
    """Return the verdict that leaves somebody else's change, and notes it in the row; None if it may be undone.

    It is left where the policy says so, or after `MAX_RESTORES` restores within a day.
    """
    recent = [at for at in record.restores if happened_within(at, row.now, DAY)]
    if not row.policies.restore:
        return left(desired, record, what)
    if len(recent) < MAX_RESTORES:
        return None
    return _known(record) + report(
        FindingKind.CONTESTED,
        desired,
        f"{what}; restored {len(recent)} times within a day, no longer fought over",
        f"find who writes it at Wix, or freeze it: syncd state freeze {desired.name} --target {row.inputs.target} "
        "--until 7d --reason '…'",
    )
