"""Rows for a wanted name whose id is on the site: drift, rotation, verification, or nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from syncd.domain import DesiredSecret, FindingKind, Reason, Record, RemoteSecret, Update, brings_another_value
from syncd.domain.recency import happened_within
from syncd.domain.write_window import Change, is_of_a_lost_write, judge, may_be_late_commit, may_lag, recently_lost
from syncd.reconcile.plan.builder import NOTHING, Row, Verdict, act, note, owns, report, update
from syncd.reconcile.plan.theirs import SOMEBODY, at_its_version, is_found, left, objection_to_restore

LATER = "what the site holds is compared in a later pass"


def judge_listed(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """The record's id is on the site: the last rows of the truth table, most urgent first."""
    change = judge(record, listed.updated_at)
    pinned = record
    if _is_of_before(record, listed, row.now):
        change = Change.EARLIER
    # The first listing of our write tells its exact date: from then on any other one is somebody else's.
    if change is Change.OURS and (record.window or record.pinned_at != listed.updated_at):
        pinned = replace(record, window=None, pinned_at=listed.updated_at)
    elif change is Change.UNTOLD and listed.updated_at and (may_lag(record, row.now) or record.doubted_at):
        # Our write's answer had no date: the first date that is listed after it is taken for its own.
        pinned, change = replace(record, pinned_at=listed.updated_at), Change.OURS
    if not pinned.unverified:
        pinned = at_its_version(pinned, desired)
    noted = note(pinned) if pinned != record else NOTHING
    # A date of ours (a look-up by id, another description) hides no change that was found before it.
    change = Change.THEIRS if record.theirs and change is Change.OURS else change
    # A new version writes over it; where that waits for somebody, the change is to be known meanwhile.
    if is_found(pinned, listed, row.now) and desired.version != record.version and not record.theirs:
        pinned = replace(pinned, theirs=True)
        noted = note(pinned)
    return noted + _judge_pinned(row, desired, pinned, listed, change)


def _judge_pinned(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret, change: Change) -> Verdict:
    rename, new_version = _needs_its_name(desired, record, listed), desired.version != record.version
    squatter = row.same_name
    # Names are unique at Wix: giving ours its name back would be refused as long as the other has it.
    if rename and squatter is not None and squatter.id != listed.id:
        why = f"our secret is called {listed.name} at Wix, and another one has its name"
        return report(FindingKind.CONFLICT, desired, why, "remove or rename one of the two at Wix")
    # A date that tells nothing is judged before anything is written for another reason.
    is_same = not record.unverified and not brings_another_value(desired, record, if_unknown=False)
    if is_same and not row.policies.restore and _tells_nothing(change, record, listed, row.now):
        return _doubted(row, desired, record, listed)
    if not owns(record, desired):
        return _moved(row, desired, record, listed, change)
    # What the site holds is not known: nothing else about the value can be judged before that.
    if record.unverified:
        return _of_unknown_content(row, desired, record, listed)
    # The configuration changed the case, so this is no drift, and counts for no restore. What somebody else changed and
    # the policy leaves is left whole: a new name would give it a date of ours, and hide the change.
    if record.name != desired.name:
        is_theirs = change is Change.THEIRS and not may_be_late_commit(record, row.now)
        asks = is_theirs and not brings_another_value(desired, record, if_unknown=False)
        objection = asks and objection_to_restore(row, desired, record, f"{SOMEBODY}; it keeps the name {record.name}")
        return objection or update(desired, record, Reason.CASE, rename=rename, restore=is_theirs)
    if rename and not _lags(change, record, row.now):
        return _renamed(row, desired, record, listed)
    other = Reason.ROLLED_BACK if desired.rolled_back else Reason.ROTATED
    # The update asks for the value; where that turns out to be the old one, no update is left.
    if new_version and desired.fingerprint is None:
        return update(desired, record, other)
    if desired.fingerprint is not None and record.fingerprint is None and not (new_version and record.version):
        return _compare_moved_ledger(row, desired, record, listed)
    if desired.fingerprint is not None and desired.fingerprint != record.fingerprint:
        return update(desired, record, other if new_version else Reason.VERIFY)
    return _settled(row, desired, record, listed, change)


def _is_of_before(record: Record, listed: RemoteSecret, now: datetime) -> bool:
    """Does it look otherwise than our last write left it, with a date from before that, however shortly?

    Asked until a listing has shown that write: within the slack of clocks the date alone would pass for it.
    """
    if record.pinned_at is not None or listed.updated_at is None or not may_lag(record, now):
        return False
    is_other = (listed.name, listed.description) != (record.name, record.description)
    return is_other and (record.window is None or listed.updated_at < record.window.start)


def _needs_its_name(desired: DesiredSecret, record: Record, listed: RemoteSecret) -> bool:
    """May our secret have another name at Wix than it should? A listing that lags shows the name before our last write.

    With a lost answer nobody knows which name that write left.
    """
    return record.unverified or not listed.name == record.name == desired.name


def _lags(change: Change, record: Record, now: datetime) -> bool:
    """Does the listing show what was there before our last write?"""
    return change is Change.EARLIER and may_lag(record, now)


def _moved(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret, change: Change) -> Verdict:
    """Its name comes from another reference now (a renamed source, a moved path). The same value is not sent again."""
    rename = _needs_its_name(desired, record, listed)
    if brings_another_value(desired, record, if_unknown=False):
        return update(desired, record, Reason.MOVED, rename=rename)
    if record.unverified:
        return _of_unknown_content(row, desired, record, listed)
    arrived = listed.description == desired.description != record.description
    if change is Change.THEIRS and arrived and not rename:
        # The response to that write of the mark was lost, and it was committed.
        return _mark_arrived(row, desired, replace(record, ref=desired.ref, pin=desired.pin), listed)
    if change is Change.OURS and not rename:
        # The mark is made of the reference, so it changes even where the value does not.
        return act(Update(desired=desired, record=record, reason=Reason.MOVED, describe_only=True))
    # The value is the one that we sent, and the site holds what somebody else made of it: the policy for that holds.
    is_theirs = change is Change.THEIRS or (listed.name != record.name and not _lags(change, record, row.now))
    objection = objection_to_restore(row, desired, record, SOMEBODY) if is_theirs else None
    return objection or update(desired, record, Reason.MOVED, rename=rename)


def _compare_moved_ledger(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """A ledger that was moved has no fingerprints: nothing but the site's value tells what the site holds."""
    evidence = row.evidence
    unknown = desired.name not in evidence.site_values
    if row.policies.restore or evidence.site_values.get(desired.name) == desired.fingerprint:
        return _compare_first(row, desired, record, listed, Reason.VERIFY)
    if unknown and evidence.may_compare(desired.name):
        later = report(FindingKind.BEHIND, desired, LATER)
        return Verdict(compare=desired.name) + later
    what = "its value at Wix may not be read" if unknown else "the site holds another value than the source"
    return left(desired, record, what)


def _renamed(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    if objection := objection_to_restore(row, desired, record, f"renamed to {listed.name} at Wix"):
        # A new source version still goes out, under whatever name our secret has there.
        rotated = brings_another_value(desired, record, if_unknown=False)
        return objection + (update(desired, record, Reason.ROTATED) if rotated else NOTHING)
    return update(desired, record, Reason.RENAMED, rename=True)


def _settled(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret, change: Change) -> Verdict:
    """The site should hold this version already: drift, description, verification, or nothing."""
    now, every = row.now, row.policies.verify_every
    if change is Change.THEIRS and listed.description == desired.description != record.description:
        return _mark_arrived(row, desired, record, listed)
    # The later date may be of a lost write of our own: then nothing of somebody else's is undone. A value that was read
    # and that none of those carried is somebody else's.
    site_value = row.evidence.site_values.get(desired.name)
    is_read = site_value not in {None, desired.fingerprint} and not is_of_a_lost_write(record, str(site_value), now)
    if change is Change.THEIRS and may_be_late_commit(record, now) and not is_read:
        return _compare_first(row, desired, record, listed, Reason.LATE)
    if change is Change.THEIRS:
        return _of_others(row, desired, record, listed)
    # Once for each date: a site whose dates stand still would be written to in every cycle.
    if _tells_nothing(change, record, listed, now) and record.doubted_at != listed.updated_at:
        return _doubted(row, desired, record, listed)
    # Of jobs that share a secret only one describes it, else they would take turns.
    if desired.description != record.description and record.job == desired.job:
        return act(Update(desired=desired, record=record, reason=Reason.DESCRIPTION, describe_only=True))
    # What a listing that lags shows besides the value verifies nothing: it stays due.
    if every and _verification_is_due(record, every, now) and not _lags(change, record, now):
        return _verify(row, desired, record, listed)
    return report(FindingKind.UNCHANGED, desired)


def _of_others(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """A later date alone is no change of the value: a mark of ours may have come late, or somebody put ours back."""
    every, looked = row.policies.verify_every, record.verified_at
    moved_since = looked is None or (listed.updated_at is not None and listed.updated_at > looked)
    # What is known to be theirs is compared once for each date, and when its verification is due.
    may_look = not record.theirs or moved_since or bool(every and _verification_is_due(record, every, row.now))
    if may_look and (seen := _seen_unchanged(row, desired, record, listed)):
        return seen
    is_seen = may_look and desired.name in row.evidence.site_values
    compared = replace(record, verified_at=row.now) if is_seen else record
    if objection := objection_to_restore(row, desired, compared, SOMEBODY):
        return (note(compared) if is_seen else NOTHING) + objection
    return _compare_first(row, desired, record, listed, Reason.DRIFT)


def _seen_unchanged(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict | None:
    """Ask for what the site holds, and find it unchanged; None where it may not be read, or is somebody else's."""
    evidence, site_value = row.evidence, row.evidence.site_values.get(desired.name)
    if desired.name in evidence.postponed:
        return report(FindingKind.BEHIND, desired, LATER)
    if site_value is None and evidence.may_compare(desired.name):
        return Verdict(compare=desired.name) + report(FindingKind.UNCHANGED, desired)
    if site_value is None or site_value != record.fingerprint or listed.description != record.description:
        return None
    same = replace(record, theirs=False, lost_writes=(), window=None, pinned_at=listed.updated_at, verified_at=row.now)
    return note(same) + report(FindingKind.UNCHANGED, desired)


def _mark_arrived(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
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


def _tells_nothing(change: Change, record: Record, listed: RemoteSecret, now: datetime) -> bool:
    """No date that we know, or one from before a write that every listing shows by now (a site put back)."""
    if listed.updated_at is None:
        return False  # a site without dates: the periodic verification looks
    return change is Change.UNTOLD or (change is Change.EARLIER and not may_lag(record, now))


def _doubted(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """Compare; where values may not be read, write ours once for this date, or report it, as the policy says."""
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


def _compare_first(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret, reason: Reason) -> Verdict:
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
    return compare + update(desired, record, reason, rename=_needs_its_name(desired, record, listed))


def _of_unknown_content(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """Compare first. A value that was read, and that no write of ours carried, is somebody's: the policy holds."""
    site_value, rename = row.evidence.site_values.get(desired.name), _needs_its_name(desired, record, listed)
    carried = {desired.fingerprint, record.fingerprint, *(write.fingerprint for write in record.lost_writes)}
    # A write of which nobody knows what it carried may have left any value.
    if site_value is None or site_value in carried or carried & {None, ""}:
        return _compare_first(row, desired, record, listed, Reason.UNVERIFIED)
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
    """The row once the site was seen to hold what it should. Not `late`: what was seen is one of the lost writes."""
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


def _verification_is_due(record: Record, every: timedelta, now: datetime) -> bool:
    """Each secret at a moment of its own within the second half of the interval."""
    if record.verified_at is None or not happened_within(record.verified_at, now, every):
        return True
    # By its name: the readings are spread over many cycles, and are the same in each process.
    share = int(hashlib.sha256(record.name.encode()).hexdigest()[:4], 16) / 0xFFFF
    return now - record.verified_at >= every * (0.5 + 0.5 * share)


def _verify(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
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
