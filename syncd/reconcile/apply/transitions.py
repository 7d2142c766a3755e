"""A record's state machine: its row before a request, and after each way that the request can end. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd.domain import (
    ADOPTING,
    Action,
    Create,
    Delete,
    HistoryEntry,
    LostWrite,
    Outcome,
    Pending,
    Reason,
    Record,
    Result,
    Update,
    WriteResult,
)
from syncd.domain.job import DAY
from syncd.domain.recency import happened_within
from syncd.domain.write_window import lost, recently_lost
from syncd.errors import NameTaken, SecretGone, TargetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """How one outcome changes a ledger row: what to store, what to drop, whether the name is done for this cycle."""

    put: Record | None = None
    drop: Record | None = None
    fails: bool = False
    """This cycle leaves the name alone from now on."""
    is_unconfirmed: bool = False
    """Only a listing can tell whether it was created."""
    look_again: bool = False
    """Something at the site is not as it was listed."""


def opened(action: Action, site: str, target: str, now: datetime) -> Record:
    """The row as it is journaled before the request."""
    if isinstance(action, Delete):
        return replace(action.record, pending=Pending.DELETE, pending_at=now)
    if isinstance(action, Update):
        # From here on our mark may be written over whatever stands there.
        if action.reason is Reason.SOUGHT:
            return replace(action.record, remarked=True, pending=Pending.UPDATE, pending_at=now)
        # Told apart, because the open row of an adoption does not prove that the secret is ours.
        pending = Pending.ADOPT if action.reason in ADOPTING else Pending.UPDATE
        if pending is Pending.UPDATE and action.describe_only:
            pending = Pending.DESCRIBE
        return replace(action.record, pending=pending, pending_at=now)
    desired = action.desired
    # After a lost answer only this row tells whether what turns up at the site is ours, and what it holds.
    seed = action.record or Record(site=site, name=desired.name, target=target, job=desired.job, ref=desired.ref)
    return replace(
        seed,
        job=desired.job,
        ref=desired.ref,
        pin=desired.pin,
        remote_id=None,
        description=desired.description,
        fingerprint=desired.fingerprint,
        pending=Pending.CREATE,
        pending_at=now,
    )


def after_success(action: Action, record: Record, written: WriteResult, now: datetime) -> Transition:
    """Return what becomes of the row when the request succeeded."""
    if isinstance(action, Delete):
        return Transition(drop=record)
    if isinstance(action, Update) and action.reason is Reason.SOUGHT:
        # It is at the site, and nobody knows what it holds, but for somebody's change that was found before.
        unverified = record.unverified or not record.theirs
        sought = replace(record, pending=None, unverified=unverified, remarked=True, unlisted_tried_at=now)
        return Transition(put=sought)
    if isinstance(action, Create):
        # It is another secret under a new id: no lost write of before can reach it.
        done = replace(_written(action, record, written, now), lost_writes=(), doubted_at=None)
        # In the place of one that vanished it waits out the hour, until a listing shows it. Where that one was sent in
        # the place of another, and no listing ever showed it, the answer alone proves nothing any more.
        proves_nothing = record.unlisted_tried_at is not None and record.unverified
        done = replace(_with_value(action, replace(done, adopted=False), now), unverified=proves_nothing)
    else:
        done = _updated(action, record, written, now)
    looks = isinstance(action, Create) and done.unverified
    return Transition(put=done, drop=record if done.name != record.name else None, look_again=looks)


def _written(action: Create | Update, record: Record, written: WriteResult, now: datetime) -> Record:
    return replace(
        record,
        name=action.desired.name,
        remote_id=written.id,
        description=action.desired.description,
        pending=None,
        window=written.window,
        pinned_at=None,
        last_synced_at=now,
        status="synced",
    )


def _updated(action: Update, record: Record, written: WriteResult, now: datetime) -> Record:
    arrived = 1 if action.reason is Reason.LATE else 0  # what this write answers is one of the lost ones
    moved = action.reason is Reason.MOVED or action.reason in ADOPTING
    restores = tuple(at for at in record.restores if happened_within(at, now, DAY))
    done = replace(
        _written(action, record, written, now),
        # Earlier tries of this very write may still commit, and would pass for somebody else's change.
        lost_writes=(
            *recently_lost(record, now)[arrived:],
            *[LostWrite(now, _carried(action, record) or "")] * written.lost_tries,
        ),
        # The first job keeps the row as long as it wants it; only a move or an adoption hands it over.
        job=action.desired.job if moved else record.job,
        restores=(*restores, now) if action.restore else restores,
        unlisted_tried_at=now if action.reason is Reason.UNLISTED else record.unlisted_tried_at,
    )
    if not action.describe_only:
        return _with_value(action, done, now)
    # Its date hides a change that the listing did not show yet: compared as soon as that may be.
    done = replace(done, verified_at=None)
    return _with_reference(action, done) if action.reason is Reason.MOVED else done


def _carried(action: Update, record: Record) -> str | None:
    """The fingerprint of what the site holds if the write takes effect; None where it is not known."""
    return record.fingerprint if action.describe_only else action.desired.fingerprint


def _with_reference(action: Create | Update, record: Record) -> Record:
    """Return the row with the wanted reference, pin and version; its absence ends."""
    desired = action.desired
    return replace(
        record,
        ref=desired.ref,
        pin=desired.pin,
        version=desired.version,
        source_updated_at=desired.made_at(record.source_updated_at),
        absent_at=None,
        absent_for=timedelta(0),
    )


def _with_value(action: Create | Update, record: Record, now: datetime) -> Record:
    """Return the row after the wanted value was sent: its content is known and verified."""
    sent = _with_reference(action, record)
    known = replace(sent, unverified=False, theirs=False, remarked=False)
    return replace(known, fingerprint=action.desired.fingerprint, verified_at=now)


def after_failure(action: Action, record: Record, error: TargetError, now: datetime) -> Transition:
    """Return what becomes of the row when the request was refused or its answer was lost."""
    if isinstance(action, Create):
        return _not_created(action, record, error, now)
    # The id is gone at the site; whether the name is wanted anew is for the planner, on a new listing.
    if isinstance(error, SecretGone):
        return _gone(action, record, now)
    if isinstance(action, Delete):
        # A deletion that may have happened stays open until a listing tells.
        # One that comes late takes the secret away; it gives none a new date, so it is no lost write.
        return Transition(put=record if error.maybe_done else replace(record, pending=None), fails=True)
    if action.reason in ADOPTING:
        # A refused one is not ours; for one whose answer was lost the next listing tells, by our mark.
        if not error.maybe_done:
            return Transition(drop=record, fails=True)
        # The open entry stands for one of the tries: recovery counts it when it closes the entry.
        return Transition(
            put=replace(record, lost_writes=lost(record, now, error.lost_tries - 1, _carried(action, record))),
            fails=True,
        )
    if not error.maybe_done:
        return Transition(put=replace(record, pending=None), fails=True)
    # A write of the description alone can have changed no value, neither now nor late.
    unverified = record.unverified or not action.describe_only
    writes = lost(record, now, 0 if action.describe_only else error.lost_tries, _carried(action, record))
    return Transition(put=replace(record, pending=None, unverified=unverified, lost_writes=writes), fails=True)


def _not_created(action: Create, record: Record, error: TargetError, now: datetime) -> Transition:
    """Return what becomes of the row of a creation that failed.

    After a lost answer or a taken name only the next listing can tell; a refusal frees the name.
    """
    if error.maybe_done:
        kept = replace(record, lost_writes=lost(record, now, error.lost_tries, action.desired.fingerprint))
        return Transition(put=kept, is_unconfirmed=True, look_again=True)
    if isinstance(error, NameTaken):
        return Transition(is_unconfirmed=True, look_again=True)
    # Dropping the row would forget that a request is still out there.
    # An earlier one may still come through; and one that was adopted never becomes ours to delete.
    if action.record is not None and (action.record.pending is Pending.CREATE or action.record.adopted):
        return Transition(put=action.record, fails=True)
    return Transition(drop=record, fails=True)


def _gone(action: Update | Delete, record: Record, now: datetime) -> Transition:
    """Return what becomes of the row when the site has no secret with its id any more."""
    without_id = replace(
        record,
        remote_id=None,
        pending=None,
        pending_at=None,
        lost_writes=(),
        unverified=False,
        theirs=False,
        remarked=False,
        window=None,
        pinned_at=None,
    )
    sought = isinstance(action, Update) and action.reason is Reason.SOUGHT
    # Nothing is left to know of it, but that an adopted one never becomes ours to delete: it may come back.
    if sought and not record.adopted:
        return Transition(drop=record, look_again=True)
    never_shown = record.unlisted_tried_at is not None
    return Transition(put=replace(without_id, unlisted_tried_at=now, unverified=never_shown), look_again=True)


def put_back(action: Action, record: Record) -> Transition:
    """Return the row to what it was before an action of which the site took nothing. The action is planned again."""
    # A secret that was not taken over is not ours, so no row of it stays.
    adopting = isinstance(action, Update) and action.reason in ADOPTING
    before = action.record
    if before is not None and not adopting and (before.remote_id or before.pending or before.adopted):
        return Transition(put=before)
    return Transition(drop=record)


def result_of(error: Exception | None) -> Result:
    """How far an action with this error came."""
    if error is None:
        return Result.DONE
    return Result.LOST if getattr(error, "maybe_done", False) else Result.REFUSED


def history_line(outcome: Outcome, record: Record, now: datetime) -> HistoryEntry:
    """What the ledger remembers of an action."""
    action = outcome.action
    restored = isinstance(action, Update) and action.restore
    result = result_of(outcome.error)
    return HistoryEntry(
        at=now,
        site=record.site,
        target=record.target,
        job=record.job if isinstance(action, Delete) else action.desired.job,
        name=record.name,
        action="restore" if restored else outcome.verb,
        outcome=result.value if outcome.error is None else f"{result.value}: {outcome.error}",
        result=result,
        remote_id=outcome.remote_id,
        version=record.version if isinstance(action, Delete) else action.desired.version,
        request_id=outcome.request_id,
    )
