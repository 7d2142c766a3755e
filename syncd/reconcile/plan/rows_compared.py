"""Rows with a doubtful value at the site: compared, written once more, or reported, as the policy says. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from syncd.domain import DesiredSecret, FindingKind, Reason, Record, RemoteSecret, Update, brings_another_value
from syncd.domain.recency import happened_within
from syncd.domain.write_window import Change, may_lag, recently_lost
from syncd.reconcile.plan.builder import Row, Verdict, act, note, report, update
from syncd.reconcile.plan.theirs import SOMEBODY, left, objection_to_restore

LATER = "what the site holds is compared in a later pass"


def compare_moved_ledger(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """Judge a record without a fingerprint (a ledger that was moved): only the site's value tells what it holds."""
    evidence = row.evidence
    unknown = desired.name not in evidence.site_values
    if row.policies.restore or evidence.site_values.get(desired.name) == desired.fingerprint:
        return compare_first(row, desired, record, listed, Reason.VERIFY)
    if unknown and evidence.may_compare(desired.name):
        later = report(FindingKind.BEHIND, desired, LATER)
        return Verdict(compare=desired.name) + later
    what = "its value at Wix may not be read" if unknown else "the site holds another value than the source"
    return left(desired, record, what)


def seen_unchanged(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict | None:
    """Ask for the site's value, and report Unchanged where it is still the one that we sent.

    None where the value may not be read, or where value or description is somebody else's.
    """
    evidence, site_value = row.evidence, row.evidence.site_values.get(desired.name)
    if desired.name in evidence.postponed:
        return report(FindingKind.BEHIND, desired, LATER)
    if site_value is None and evidence.may_compare(desired.name):
        return Verdict(compare=desired.name) + report(FindingKind.UNCHANGED, desired)
    if site_value is None or site_value != record.fingerprint or listed.description != record.description:
        return None
    same = replace(record, theirs=False, lost_writes=(), window=None, pinned_at=listed.updated_at, verified_at=row.now)
    return note(same) + report(FindingKind.UNCHANGED, desired)


def mark_arrived(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """The response to a write of the mark alone was lost, and the listing proves that it was committed.

    A change by somebody else after it would look the same, so the value is compared where it may be read.
    """
    evidence = row.evidence
    site_value = evidence.site_values.get(desired.name)
    marked = replace(record, description=listed.description)
    if desired.name in evidence.postponed:
        return report(FindingKind.BEHIND, desired, LATER)
    if site_value not in {None, record.fingerprint}:
        objection = objection_to_restore(row, desired, marked, SOMEBODY)
        return objection or update(desired, marked, Reason.DRIFT, restore=True)
    may_compare = evidence.may_compare(desired.name)
    # A write whose answer was lost has its content unverified: where nothing can be compared, ours is written again.
    if site_value is None and not may_compare:
        return update(desired, marked, Reason.UNVERIFIED)
    verified_at = row.now if site_value else None
    arrived = replace(marked, theirs=False, window=None, pinned_at=listed.updated_at, verified_at=verified_at)
    compare = Verdict(compare=desired.name if may_compare and site_value is None else "")
    return compare + note(arrived) + report(FindingKind.UNCHANGED, desired)


def tells_nothing(change: Change, record: Record, listed: RemoteSecret, now: datetime) -> bool:
    """Does the listed date tell nothing: we know no date of our last write, or it is from before that write?

    The latter only once every listing has to show the write: then the site was put back. False without a date.
    """
    if listed.updated_at is None:
        return False  # a site without dates: the periodic verification looks
    return change is Change.UNTOLD or (change is Change.EARLIER and not may_lag(record, now))


def doubted(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """Judge a record whose listed date tells nothing.

    Compare its value. Where values may not be read, write ours once for this date, or report it, as the policy says.
    """
    evidence = row.evidence
    if desired.name in evidence.postponed:
        return report(FindingKind.BEHIND, desired, LATER)
    may_compare = evidence.may_compare(desired.name)
    if not row.policies.restore and not may_compare:
        why = "its date at Wix is not of our last write, and its value may not be read"
        return left(desired, record, why)
    compared = may_compare and desired.name in evidence.site_values
    if compared and evidence.site_values[desired.name] == desired.fingerprint == record.fingerprint:
        verified = _verified(record, desired, listed, row.now, late=True)
        return note(verified) + report(FindingKind.UNCHANGED, desired)
    if may_compare and not compared:
        return Verdict(read_value=desired.name, compare=desired.name) + report(FindingKind.UNCHANGED, desired)
    what = "not as we left it: its date at Wix is older than our last write"
    once = replace(record, doubted_at=listed.updated_at)
    return objection_to_restore(row, desired, record, what) or update(desired, once, Reason.DOUBTED)


def compare_first(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret, reason: Reason) -> Verdict:
    """Where the site's values may be read, write only what differs; elsewhere write."""
    evidence = row.evidence
    if desired.name in evidence.postponed:
        return report(FindingKind.BEHIND, desired, LATER)
    same_value = desired.fingerprint is not None and evidence.site_values.get(desired.name) == desired.fingerprint
    if same_value and listed.name == desired.name == record.name:
        if listed.description != desired.description:
            is_drift = reason is Reason.DRIFT
            return act(Update(desired=desired, record=record, reason=reason, restore=is_drift))
        verified = _verified(record, desired, listed, row.now, late=reason is not Reason.LATE)
        return note(verified) + report(FindingKind.UNCHANGED, desired)
    known = desired.name in evidence.site_values or desired.name in evidence.uncompared
    # The write stands until a comparison makes it needless; where there can be none, it goes.
    compare = Verdict(compare=desired.name if evidence.site_values_readable and not known else "")
    return compare + update(desired, record, reason, rename=needs_its_name(desired, record, listed))


def of_unknown_content(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """Judge a record whose content at the site is not verified: compare first.

    A value that was read, and that no write of ours carried, is somebody else's: the policy decides.
    """
    site_value, rename = row.evidence.site_values.get(desired.name), needs_its_name(desired, record, listed)
    carried = {desired.fingerprint, record.fingerprint, *(write.fingerprint for write in record.lost_writes)}
    # A write of which nobody knows what it carried may have left any value.
    if site_value is None or site_value in carried or carried & {None, ""}:
        return compare_first(row, desired, record, listed, Reason.UNVERIFIED)
    # A new value goes out whatever the policy.
    objection = (
        None
        if brings_another_value(desired, record, if_unknown=False)
        else objection_to_restore(row, desired, record, SOMEBODY)
    )
    if objection is None:
        return update(desired, record, Reason.UNVERIFIED, rename=rename, restore=True)
    return objection + note(replace(record, theirs=True, unverified=False, lost_writes=()))


def _verified(record: Record, desired: DesiredSecret, listed: RemoteSecret, now: datetime, *, late: bool) -> Record:
    """Return the row once the site was seen to hold what it should.

    `late`: may the lost writes still commit? False: what was seen is one of them, and it counts no more.
    """
    return replace(
        record,
        version=desired.version,
        fingerprint=desired.fingerprint,
        description=listed.description,
        source_updated_at=desired.made_at(record.source_updated_at),
        unverified=False,
        theirs=False,
        lost_writes=recently_lost(record, now)[0 if late else 1 :],
        window=None,
        pinned_at=listed.updated_at,
        verified_at=now,
        last_synced_at=record.last_synced_at or now,
    )


def verification_is_due(record: Record, every: timedelta, now: datetime) -> bool:
    """Is a verification due? Each secret has a moment of its own within the second half of the interval."""
    if record.verified_at is None or not happened_within(record.verified_at, now, every):
        return True
    # By its name: the readings are spread over many cycles, and are the same in each process.
    share = int(hashlib.sha256(record.name.encode()).hexdigest()[:4], 16) / 0xFFFF
    return now - record.verified_at >= every * (0.5 + 0.5 * share)


def verify(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """Read again, compare, and write what differs; only what was read counts as verified."""
    evidence, unchanged = row.evidence, report(FindingKind.UNCHANGED, desired)
    site_value = evidence.site_values.get(desired.name)
    if desired.fingerprint is None:
        return Verdict(read_value=desired.name) + unchanged
    if desired.name in evidence.uncompared or desired.name in evidence.postponed:
        return unchanged  # still due
    if evidence.site_values_readable and site_value is None:
        return Verdict(compare=desired.name) + unchanged
    if listed.description != record.description or site_value not in {None, desired.fingerprint}:
        objection = objection_to_restore(row, desired, record, "the verification found something else at Wix")
        return objection or update(desired, record, Reason.VERIFY, restore=True)
    return note(replace(record, verified_at=row.now)) + unchanged


def needs_its_name(desired: DesiredSecret, record: Record, listed: RemoteSecret) -> bool:
    """May our secret have another name at Wix than it should? A listing that lags shows the name before our last write.

    With a lost answer nobody knows which name that write left.
    """
    return record.unverified or not listed.name == record.name == desired.name
