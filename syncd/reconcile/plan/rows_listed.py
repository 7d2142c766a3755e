"""Rows for a wanted name with its id on the site: drift, rotation, verification, or nothing. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from syncd.domain import DesiredSecret, FindingKind, Reason, Record, RemoteSecret, Update, brings_another_value
from syncd.domain.value_templates import form_in
from syncd.domain.write_window import Change, is_of_a_lost_write, judge, may_be_late_commit, may_lag
from syncd.reconcile.plan.builder import NOTHING, Row, Verdict, act, note, owns, report, update
from syncd.reconcile.plan.rows_compared import (
    compare_first,
    compare_moved_ledger,
    doubted,
    mark_arrived,
    needs_its_name,
    of_unknown_content,
    seen_unchanged,
    tells_nothing,
    verification_is_due,
    verify,
)
from syncd.reconcile.plan.theirs import SOMEBODY, at_its_version, is_found, objection_to_restore


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
    rename, new_version = needs_its_name(desired, record, listed), desired.version != record.version
    squatter = row.same_name
    # Names are unique at Wix: giving ours its name back would be refused as long as the other has it.
    if rename and squatter is not None and squatter.id != listed.id:
        why = f"our secret is called {listed.name} at Wix, and another one has its name"
        return report(FindingKind.CONFLICT, desired, why, "remove or rename one of the two at Wix")
    # A date that tells nothing is judged before anything is written for another reason.
    is_same = not record.unverified and not brings_another_value(desired, record, if_unknown=False)
    if is_same and not row.policies.restore and tells_nothing(change, record, listed, row.now):
        return doubted(row, desired, record, listed)
    if not owns(record, desired):
        return _moved(row, desired, record, listed, change)
    # What the site holds is not known: nothing else about the value can be judged before that.
    if record.unverified:
        return of_unknown_content(row, desired, record, listed)
    # The configuration changed the case, so this is no drift, and counts for no restore. What somebody else changed and
    # the policy leaves is left whole: a new name would give it a date of ours, and hide the change.
    if record.name != desired.name:
        is_theirs = change is Change.THEIRS and not may_be_late_commit(record, row.now)
        asks = is_theirs and not brings_another_value(desired, record, if_unknown=False)
        objection = asks and objection_to_restore(row, desired, record, f"{SOMEBODY}; it keeps the name {record.name}")
        return objection or update(desired, record, Reason.CASE, rename=rename, restore=is_theirs)
    if rename and not _lags(change, record, row.now):
        return _renamed(row, desired, record, listed)
    other = _why_another_version(desired, record)
    # The update asks for the value; where that turns out to be the old one, no update is left.
    if new_version and desired.fingerprint is None:
        return update(desired, record, other)
    if desired.fingerprint is not None and record.fingerprint is None and not (new_version and record.version):
        return compare_moved_ledger(row, desired, record, listed)
    if desired.fingerprint is not None and desired.fingerprint != record.fingerprint:
        return update(desired, record, other if new_version else Reason.VERIFY)
    return _settled(row, desired, record, listed, change)


def _why_another_version(desired: DesiredSecret, record: Record) -> Reason:
    if desired.rolled_back:
        return Reason.ROLLED_BACK
    wanted, held = desired.version or "", record.version or ""
    is_form = form_in(wanted) != form_in(held) and wanted.partition("~")[0] == held.partition("~")[0]
    return Reason.OTHER_FORM if is_form else Reason.ROTATED


def _is_of_before(record: Record, listed: RemoteSecret, now: datetime) -> bool:
    """Does the listing still show what was there before our last write?

    Its name or description is not as we wrote it, and its date is from before that write, however shortly. Asked until
    a listing has shown the write: within the slack of clocks the date alone would pass for that of the write.
    """
    if record.pinned_at is not None or listed.updated_at is None or not may_lag(record, now):
        return False
    is_other = (listed.name, listed.description) != (record.name, record.description)
    return is_other and (record.window is None or listed.updated_at < record.window.start)


def _lags(change: Change, record: Record, now: datetime) -> bool:
    """Does the listing show what was there before our last write?"""
    return change is Change.EARLIER and may_lag(record, now)


def _moved(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret, change: Change) -> Verdict:
    """Judge a name that comes from another reference now (a renamed source, a moved path).

    The same value is not sent again.
    """
    rename = needs_its_name(desired, record, listed)
    if brings_another_value(desired, record, if_unknown=False):
        return update(desired, record, Reason.MOVED, rename=rename)
    if record.unverified:
        return of_unknown_content(row, desired, record, listed)
    arrived = listed.description == desired.description != record.description
    if change is Change.THEIRS and arrived and not rename:
        # The response to that write of the mark was lost, and it was committed.
        return mark_arrived(row, desired, replace(record, ref=desired.ref, pin=desired.pin), listed)
    if change is Change.OURS and not rename:
        # The mark is made of the reference, so it changes even where the value does not.
        return act(Update(desired=desired, record=record, reason=Reason.MOVED, describe_only=True))
    # The value is the one that we sent, and the site holds what somebody else made of it: the policy for that holds.
    is_theirs = change is Change.THEIRS or (listed.name != record.name and not _lags(change, record, row.now))
    objection = objection_to_restore(row, desired, record, SOMEBODY) if is_theirs else None
    # A late write of our own is nobody's change: that it is written over is no restore.
    undoes = is_theirs and not (change is Change.THEIRS and may_be_late_commit(record, row.now))
    return objection or update(desired, record, Reason.MOVED, rename=rename, restore=undoes)


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
        return mark_arrived(row, desired, record, listed)
    # The later date may be of a lost write of our own: then nothing of somebody else's is undone. A value that was read
    # and that none of those carried is somebody else's.
    site_value = row.evidence.site_values.get(desired.name)
    is_read = site_value not in {None, desired.fingerprint} and not is_of_a_lost_write(record, str(site_value), now)
    if change is Change.THEIRS and may_be_late_commit(record, now) and not is_read:
        return compare_first(row, desired, record, listed, Reason.LATE)
    if change is Change.THEIRS:
        return _of_others(row, desired, record, listed)
    # Once for each date: a site whose dates stand still would be written to in every cycle.
    if tells_nothing(change, record, listed, now) and record.doubted_at != listed.updated_at:
        return doubted(row, desired, record, listed)
    # Of jobs that share a secret only one describes it, else they would take turns.
    if desired.description != record.description and record.job == desired.job:
        return act(Update(desired=desired, record=record, reason=Reason.DESCRIPTION, describe_only=True))
    # What a listing that lags shows besides the value verifies nothing: it stays due.
    if every and verification_is_due(record, every, now) and not _lags(change, record, now):
        return verify(row, desired, record, listed)
    return report(FindingKind.UNCHANGED, desired)


def _of_others(row: Row, desired: DesiredSecret, record: Record, listed: RemoteSecret) -> Verdict:
    """Judge a listed date that is later than our last write: look at the value first, where that is possible.

    A later date alone is no change of the value: a mark of ours may have come late, or somebody put ours back.
    """
    every, looked = row.policies.verify_every, record.verified_at
    moved_since = looked is None or (listed.updated_at is not None and listed.updated_at > looked)
    # What is known to be theirs is compared once for each date, and when its verification is due.
    may_look = not record.theirs or moved_since or bool(every and verification_is_due(record, every, row.now))
    if may_look and (seen := seen_unchanged(row, desired, record, listed)):
        return seen
    is_seen = may_look and desired.name in row.evidence.site_values
    compared = replace(record, verified_at=row.now) if is_seen else record
    if objection := objection_to_restore(row, desired, compared, SOMEBODY):
        return (note(compared) if is_seen else NOTHING) + objection
    return compare_first(row, desired, record, listed, Reason.DRIFT)
