"""A record's state machine: its row before a request, and after each way that the request can end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import (
    Action,
    Create,
    Delete,
    DesiredSecret,
    FindingKind,
    LostWrite,
    Outcome,
    Pending,
    Reason,
    Record,
    Result,
    SecretRef,
    SecretValue,
    Update,
    WriteResult,
)  # fmt: skip
from syncd.errors import NameTaken, SecretGone, SecretRefused, TargetError, TargetUnavailable
from syncd.reconcile.apply.transitions import after_failure, after_success, history_line, opened, put_back, result_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
REF, OTHER = (
    SecretRef(source="vault", path="secret/a", field="k"),
    SecretRef(source="vault", path="secret/b", field="k"),
)
DESIRED = DesiredSecret(
    name="KEY", ref=REF, version="2", description="d2", job="job", value=SecretValue("v"), fingerprint="f2"
)
RECORD = Record(
    site="site", name="KEY", target="shop", job="job", ref=REF, remote_id="id-1", description="d1", version="1",
    fingerprint="f1", pinned_at=NOW, verified_at=NOW, status="synced",
)  # fmt: skip
LOST = TargetUnavailable("lost", maybe_done=True)


def update(reason: Reason = Reason.ROTATED, **more: Any) -> Update:
    record = more.pop("record", RECORD)
    return Update(desired=more.pop("desired", DESIRED), record=record, reason=reason, **more)


DELETE = Delete(record=RECORD, reason="gone", kind=FindingKind.MISSING)
CREATE = Create(desired=DESIRED, record=None)


def journaled(action: Action) -> Record:
    return opened(action, "site", "shop", NOW)


@pytest.mark.parametrize(
    ("action", "pending"),
    [
        (CREATE, Pending.CREATE),
        (update(), Pending.UPDATE),
        (update(Reason.ADOPT), Pending.ADOPT),
        (update(Reason.ADOPT_SAME, describe_only=True), Pending.ADOPT),
        (DELETE, Pending.DELETE),
    ],
)
def test_what_is_under_way_is_journaled(action: Action, pending: Pending) -> None:
    row = journaled(action)
    assert (row.pending, row.pending_at, row.name) == (pending, NOW, "KEY")
    assert row.remote_id == (None if action is CREATE else "id-1")


def test_a_creation_knows_what_it_would_be() -> None:
    row = journaled(CREATE)
    assert (row.ref, row.description, row.fingerprint, row.version) == (REF, "d2", "f2", "")


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (CREATE, {"remote_id": "new", "version": "2", "fingerprint": "f2", "unverified": False, "adopted": False}),
        (update(), {"version": "2", "fingerprint": "f2", "description": "d2", "verified_at": NOW}),
        (update(Reason.DRIFT, restore=True), {"restores": (NOW,)}),
        (update(Reason.DESCRIPTION, describe_only=True), {"version": "1", "fingerprint": "f1", "verified_at": None}),
        (update(Reason.MOVED, desired=replace(DESIRED, ref=OTHER)), {"ref": OTHER, "fingerprint": "f2"}),
        (
            update(Reason.MOVED, desired=replace(DESIRED, ref=OTHER, job="next"), describe_only=True),
            {"ref": OTHER, "job": "next", "fingerprint": "f1"},
        ),
        (update(Reason.SOUGHT, describe_only=True), {"unverified": True, "unlisted_tried_at": NOW, "version": "1"}),
        (update(Reason.UNLISTED), {"unlisted_tried_at": NOW}),
        (update(Reason.ADOPT, desired=replace(DESIRED, job="other")), {"job": "other"}),
    ],
)
def test_a_success(action: Action, expected: dict[str, Any]) -> None:
    done = after_success(action, journaled(action), WriteResult(id="new" if action is CREATE else "id-1"), NOW)
    assert done.put is not None and done.put.pending is None and done.drop is None
    assert {key: getattr(done.put, key) for key in expected} == expected


def test_what_is_created_in_the_place_of_one_that_vanished_waits_out_the_hour() -> None:
    sought = update(Reason.UNLISTED)
    gone = after_failure(sought, journaled(sought), SecretGone("gone"), NOW).put
    assert gone is not None and gone.remote_id is None
    anew = Create(desired=DESIRED, record=gone)
    done = after_success(anew, journaled(anew), WriteResult(id="id-2"), NOW).put
    assert done is not None and done.unlisted_tried_at == NOW
    first = after_success(CREATE, journaled(CREATE), WriteResult(id="id-1"), NOW).put
    assert first is not None and first.unlisted_tried_at is None


def test_a_deletion_that_succeeds_drops_its_row() -> None:
    assert after_success(DELETE, journaled(DELETE), WriteResult(), NOW).drop is not None


def test_a_new_name_drops_the_row_of_the_old_one() -> None:
    renamed = update(Reason.CASE, desired=replace(DESIRED, name="Key"), rename=True)
    done = after_success(renamed, journaled(renamed), WriteResult(id="id-1"), NOW)
    assert done.put is not None and done.put.name == "Key" and done.drop is not None and done.drop.name == "KEY"


def test_restores_of_long_ago_are_forgotten_and_those_of_today_kept() -> None:
    long_ago, today = NOW - timedelta(days=2), NOW - timedelta(hours=2)
    record = replace(RECORD, restores=(long_ago, today))
    action = update(Reason.DRIFT, record=record, restore=True)
    done = after_success(action, journaled(action), WriteResult(id="id-1"), NOW)
    assert done.put is not None and done.put.restores == (today, NOW)


@pytest.mark.parametrize(
    ("action", "error", "kept", "fails", "unconfirmed"),
    [
        (CREATE, LOST, "row", False, True),
        (CREATE, NameTaken("taken"), None, False, True),
        (CREATE, SecretRefused("no"), "dropped", True, False),
        (update(), LOST, "row", True, False),
        (update(), SecretRefused("no"), "row", True, False),
        (update(), SecretGone("gone"), "row", False, False),
        (update(Reason.ADOPT), SecretRefused("no"), "dropped", True, False),
        (update(Reason.ADOPT), LOST, "row", True, False),
        (DELETE, LOST, "row", True, False),
        (DELETE, SecretRefused("no"), "row", True, False),
    ],
)
def test_a_failure(action: Action, error: TargetError, kept: str | None, fails: bool, unconfirmed: bool) -> None:
    done = after_failure(action, journaled(action), error, NOW)
    assert (done.fails, done.is_unconfirmed) == (fails, unconfirmed)
    assert (done.put is not None) is (kept == "row") and (done.drop is not None) is (kept == "dropped")


@pytest.mark.parametrize(
    ("action", "error", "expected"),
    [
        (update(), LOST, {"unverified": True, "pending": None}),
        (update(Reason.DESCRIPTION, describe_only=True), LOST, {"unverified": False, "pending": None}),
        (update(), SecretRefused("no"), {"unverified": False, "pending": None, "version": "1"}),
        (DELETE, LOST, {"pending": Pending.DELETE}),
        (DELETE, SecretRefused("no"), {"pending": None}),
        (update(), SecretGone("gone"), {"remote_id": None, "pending": None, "version": "1"}),
        (update(Reason.ADOPT), LOST, {"pending": Pending.ADOPT}),
    ],
)
def test_the_row_after_a_failure(action: Action, error: TargetError, expected: dict[str, Any]) -> None:
    row = after_failure(action, journaled(action), error, NOW).put
    assert row is not None and {key: getattr(row, key) for key in expected} == expected


def test_an_earlier_creation_may_still_come() -> None:
    earlier = replace(RECORD, remote_id=None, pending=Pending.CREATE, pending_at=NOW - timedelta(minutes=1))
    action = Create(desired=DESIRED, record=earlier)
    assert after_failure(action, journaled(action), SecretRefused("no"), NOW).put == earlier


@pytest.mark.parametrize("adopted", [True, False])
def test_what_is_sought_and_gone(adopted: bool) -> None:
    action = update(Reason.SOUGHT, record=replace(RECORD, adopted=adopted), describe_only=True)
    done = after_failure(action, journaled(action), SecretGone("gone"), NOW)
    assert (done.put is not None) is adopted, "an adopted one never becomes ours to delete, also under another id"
    assert done.put is None or (done.put.remote_id is None and done.put.adopted)


@pytest.mark.parametrize(
    ("action", "back"),
    [(update(), RECORD), (DELETE, RECORD), (update(Reason.ADOPT), None), (CREATE, None)],
)
def test_what_the_site_asked_to_wait_with_is_as_it_was(action: Action, back: Record | None) -> None:
    done = put_back(action, journaled(action))
    assert done.put == back and (done.drop is None) is (back is not None)


def test_an_adopted_one_that_the_site_lost_stays_adopted_until_it_is_made_again() -> None:
    gone = replace(RECORD, remote_id=None, adopted=True, status="missing")
    action = Create(desired=DESIRED, record=gone)
    assert put_back(action, journaled(action)).put == gone
    assert after_failure(action, journaled(action), SecretRefused("no"), NOW).put == gone


@pytest.mark.parametrize("action", [CREATE, DELETE])
def test_what_can_give_no_new_date_is_no_lost_write(action: Action) -> None:
    error = TargetUnavailable("lost", maybe_done=True)
    error.lost_tries = 1
    done = after_failure(action, journaled(action), error, NOW)
    assert done.put is not None and done.put.pending is not None
    assert done.put.lost_writes == (() if isinstance(action, Delete) else (LostWrite(NOW, "f2"),)), (
        "a creation's tells when it was tried"
    )


@pytest.mark.parametrize(
    ("error", "result"), [(None, Result.DONE), (LOST, Result.LOST), (SecretRefused("no"), Result.REFUSED)]
)
def test_how_far_an_action_came(error: Exception | None, result: Result) -> None:
    assert result_of(error) is result
    line = history_line(Outcome(action=update(Reason.DRIFT, restore=True), error=error), RECORD, NOW)
    assert (line.result, line.action, line.version) == (result, "restore", "2")
