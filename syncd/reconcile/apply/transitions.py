"""Rows and history lines after an action. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from syncd.domain import ADOPTING, Create, Delete, HistoryEntry, Outcome, Reason, Record, Result, Update, WriteResult
from syncd.domain.recency import happened_within
from syncd.domain.write_window import recently_lost
from syncd.reconcile.plan.planner import DAY


def succeeded(action: Create | Update, record: Record, written: WriteResult, now: datetime) -> Record:
    """The row after a write that was answered."""
    wanted = action.desired
    if isinstance(action, Update) and action.reason == Reason.SOUGHT:
        # It is there, and nobody knows what it holds: somebody else's change may be hidden by this one.
        return replace(record, pending=None, unverified=True, unlisted_tried_at=now)
    done = replace(
        record,
        name=wanted.name,
        remote_id=written.id,
        description=wanted.description,
        pending=None,
        window=written.window,
        pinned_at=None,
        last_synced_at=now,
        status="synced",
    )
    if isinstance(action, Create):
        done = replace(done, lost_writes=(), doubted_at=None, unlisted_tried_at=None, adopted=False)
    else:
        came = 1 if action.reason is Reason.LATE else 0  # what this write answers is one of the lost ones
        waiting = recently_lost(record, now)[came:]
        moved = action.reason == Reason.MOVED or action.reason in ADOPTING
        lately = tuple(at for at in record.restores if happened_within(at, now, DAY))
        done = replace(
            done,
            lost_writes=(*waiting, *[now] * written.lost_tries),
            job=wanted.job if moved else record.job,
            restores=(*lately, now) if action.restore else lately,
            unlisted_tried_at=now if action.reason == Reason.UNLISTED else record.unlisted_tried_at,
        )
        if action.describe_only:
            # Its date hides a change that the listing did not show yet: compared as soon as that may be.
            done = replace(done, verified_at=None)
        if action.describe_only and action.reason is not Reason.MOVED:
            return done
        if action.describe_only:
            return replace(
                done,
                ref=wanted.ref,
                pin=wanted.pin,
                version=wanted.version,
                source_updated_at=wanted.updated_at or record.source_updated_at,
                absent_at=None,
                absent_for=timedelta(0),
            )
    return replace(
        done,
        ref=wanted.ref,
        pin=wanted.pin,
        version=wanted.version,
        fingerprint=wanted.fingerprint,
        unverified=False,
        source_updated_at=wanted.updated_at or record.source_updated_at,
        verified_at=now,
        absent_at=None,
        absent_for=timedelta(0),
    )


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
