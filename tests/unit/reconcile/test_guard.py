"""The limits of a rolling day."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.domain import Delete, DesiredSecret, Plan, Reason, Record, SecretRef, Update
from syncd.domain.job import Limit, Limits
from syncd.reconcile.guard import GuardTerms, LimitBasis, guard

REF = SecretRef(source="v", path="kv/app/x", field="f")


def record(**more: object) -> Record:
    return Record(**{"site": "s", "name": "N", "target": "t", "job": "j", "ref": REF, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "limit", "held", "deleted", "allowed", "kept"),
    [
        (1, "10%", 5, 0, 0, 1),  # never less than one
        (2, "10%", 19, 0, 0, 0),  # withheld whole
        (2, "10%", 20, 0, 0, 2),
        (2, "10%", 20, 1, 0, 0),  # the rolling day counts
        (5, "10%", 20, 0, 5, 5),
        (6, "10%", 20, 0, 5, 0),
        (3, "2", 100, 0, 0, 0),
        (1, "0", 100, 0, 0, 0),
    ],
)
def test_the_guard(count: int, limit: str, held: int, deleted: int, allowed: int, kept: int) -> None:
    actions = (Delete(record=record(name=f"N{n}", remote_id=f"id{n}"), reason="gone") for n in range(count))
    plan = Plan(actions=tuple(actions))
    given = Limit(percent=float(limit[:-1])) if limit.endswith("%") else Limit(number=int(limit))
    ids, gone = frozenset(f"id{n}" for n in range(held)), frozenset(f"gone{n}" for n in range(deleted))
    ground = LimitBasis(job_records=ids, site_records=ids, job_deleted=gone, site_deleted=gone)
    guarded = guard(plan, ground, Limits(max_deletes=given), GuardTerms(place=("job", "shop"), allowed_deletes=allowed))
    assert len(guarded.actions) == kept
    withheld = [] if kept == count else list(plan.actions)
    assert [one.exit_code for one in guarded.findings if not one.name] == ([6] if withheld else [])
    # Each that is withheld waits for a release by name, too, so that none of them passes for synced.
    assert [(one.action.name, one.cause) for one in guarded.held] == [(one.name, "max_deletes") for one in withheld]


def update(name: str, version: str) -> Update:
    desired = DesiredSecret(name=name, ref=REF, version=version, description="", job="j")
    return Update(desired=desired, record=record(name=name, remote_id=name), reason=Reason.ROTATED)


@pytest.mark.parametrize(
    ("sent", "planned", "kept", "said"),
    [
        ([], ["a2", "b2"], True, ""),
        ([], ["a2", "b2", "c2"], False, "3 updates withheld: max_updates 2 leaves 2 in this rolling day ("),
        # a second rotation of one secret is a second update
        (["a2", "b2"], ["a3"], False, "1 update withheld: max_updates 2 leaves 0 in this rolling day ("),
        (["a2", "a3"], ["a4"], False, "leaves 0"),
        (["a2"], ["a3"], True, ""),
        # the same again, after a lost answer, takes no more room
        (["a2", "b2"], ["a2", "b2"], True, ""),
        (["a2", "b2"], ["a2", "b3"], False, "2 updates withheld: max_updates 2 leaves 0 in this rolling day, and 1 of"),
        # the way back to a version of the same day is an update, too
        (["a2", "a3"], ["a2"], False, "1 update withheld: max_updates 2 leaves 0 in this rolling day ("),
        (["a2", "a3", "a2"], ["b2"], False, "leaves 0"),
        (["a2", "a2", "a2"], ["b2"], True, ""),
        # what a person released beyond the limit counts in it
        (["a2", "b2", "c2"], ["d2"], False, "leaves 0"),
    ],
)
def test_a_limit_of_updates_counts_each_version(sent: list[str], planned: list[str], kept: bool, said: str) -> None:
    plan = Plan(actions=tuple(update(item[0], item[1]) for item in planned))
    ids = frozenset("abcd")
    basis = LimitBasis(job_records=ids, site_records=ids, job_updated=tuple((item[0], item[1]) for item in sent))
    limits = Limits(max_deletes=Limit(number=0), max_updates=Limit(number=2))
    guarded = guard(plan, basis, limits, GuardTerms(place=("job", "shop")))
    assert bool(guarded.actions) is kept and said in "".join(found.message for found in guarded.findings)


@pytest.mark.parametrize(
    ("sent", "to", "kept"),
    [
        (["a2", "a1", "b2"], "2", True),  # it had that version in the same day
        (["a1", "b2", "c2"], "2", False),  # that was longer ago
        (["a2", "a1", "b2"], "3", False),  # newer than what anybody saw there
    ],
)
def test_a_rollback_that_ends_takes_no_room_for_what_was_there(sent: list[str], to: str, kept: bool) -> None:
    action = update("a", to)
    action = replace(action, record=replace(action.record, status="rolled_back"))
    basis = LimitBasis(
        job_records=frozenset("abcd"), site_records=frozenset("abcd"), job_updated=tuple((i[0], i[1]) for i in sent)
    )
    limits = Limits(max_deletes=Limit(number=0), max_updates=Limit(number=2))
    assert bool(guard(Plan(actions=(action,)), basis, limits, GuardTerms(place=("job", "shop"))).actions) is kept
