"""Which job a name belongs to, and when it passes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import DesiredSecret, Finding, FindingKind, Glob, Pending, Record, Rule, SecretRef
from syncd.domain.job import Job, Limit, Limits, Policies
from syncd.domain.value_templates import versioned
from syncd.reconcile.desired.desired_state import DesiredState
from syncd.reconcile.plan.handover import Handover

A, B = SecretRef(source="vault", path="secret/a", field="k"), SecretRef(source="vault", path="secret/b", field="k")


def job(name: str, path: str, given: str = "{basename}", **more: Any) -> Job:
    rule = Rule(index=0, source="vault", path=Glob(path), field="k", name=given, **more)
    limits = Limits(max_deletes=Limit(number=1))
    return Job(name=name, source="vault", targets=("shop",), rules=(rule,), policies=Policies(job=name), limits=limits)


def record(name: str, ref: SecretRef = A, **more: Any) -> Record:
    return Record(
        site="s", name=name, target="shop", job=more.pop("job", "one"), ref=ref, remote_id=f"id-{name}", **more
    )


def desired(name: str, ref: SecretRef) -> DesiredSecret:
    return DesiredSecret(name=name, ref=ref, version="1", description="", job="one")


def wanting(*secrets: DesiredSecret, **more: Any) -> DesiredState:
    return DesiredState(secrets={one.key: one for one in secrets}, **more)


def handover(*records: Record, jobs: tuple[Job, ...] = ()) -> Handover:
    jobs = jobs or (job("one", "secret/*"),)
    return Handover(
        job="one", jobs={one.name: one for one in jobs}, mounts={"vault": {"secret/": "uuid"}}, profile="api",
        records={one.name: one for one in records},
    )  # fmt: skip


NEVER, ALWAYS = (lambda _record: False), (lambda _record: True)


def test_a_rule_claims_what_it_names_and_selects() -> None:
    one = handover(record("a"))
    assert one.is_claimed(record("a")) and not one.is_claimed(record("other")) and not one.is_claimed(record("a", B))
    assert not handover(jobs=(job("one", "secret/*", tags=(("t", "1"),)),)).is_claimed(record("a"), frozenset())


def test_a_record_stays_with_its_job_while_that_wants_it() -> None:
    both = handover(record("a", job="two"), jobs=(job("one", "secret/*"), job("two", "secret/a")))
    assert both.claimed_by_own_job((), lambda _: None) == {"a"}
    assert (
        handover(record("a", job="two"), jobs=(job("one", "secret/*"), job("two", "x/*"))).claimed_by_own_job(
            (), lambda _: None
        )
        == set()
    )


@pytest.mark.parametrize(
    ("jobs", "wanted", "taken", "left"),
    [
        ((job("one", "secret/*"),), (desired("a", A),), {"a"}, set()),
        ((job("one", "x/*"),), (), set(), {"a"}),
        ((job("one", "x/*"), job("two", "secret/*")), (), {"a"}, set()),
        ((job("one", "secret/*"),), (), set(), {"a"}),
    ],
)
def test_what_a_job_that_is_gone_leaves(
    jobs: tuple[Job, ...], wanted: tuple[DesiredSecret, ...], taken: set[str], left: set[str]
) -> None:
    found = handover(record("a", job="gone"), jobs=jobs).of_gone_jobs(wanting(*wanted))
    assert found == (taken, left)


@pytest.mark.parametrize(
    ("old", "gone", "untagged", "free", "blocked"),
    [
        # the old reference is claimed still: only its end frees the name
        (record("a"), NEVER, NEVER, False, False),
        (record("a"), ALWAYS, NEVER, True, False),
        (record("a"), NEVER, ALWAYS, True, False),
    ],
)
def test_a_name_that_is_claimed(old: Record, gone: Any, untagged: Any, free: bool, blocked: bool) -> None:
    found = handover(old).transfers([desired("a", B)], gone, untagged)
    assert ("a" in found.free, "a" in found.blocked) == (free, blocked)


def test_a_name_waits_for_the_new_name_of_its_old_reference() -> None:
    rules = (job("one", "secret/*", "NEW_{basename}"),)
    old = record("b", A)
    assert "NEW_a" in handover(old, jobs=rules).transfers([desired("b", B)], NEVER, NEVER).blocked["b"]
    settled = handover(old, record("NEW_a", A), jobs=rules).transfers([desired("b", B)], NEVER, NEVER)
    assert settled.free == {"b"}
    unverified = handover(old, record("NEW_a", A, unverified=True), jobs=rules)
    assert "b" in unverified.transfers([desired("b", B)], NEVER, NEVER).blocked


@pytest.mark.parametrize("change", [{"unverified": True}, {"pending": Pending.UPDATE}, {"remote_id": None}, {"ref": B}])
def test_what_is_not_settled(change: dict[str, Any]) -> None:
    assert handover(record("a")).is_settled("a", A, "")
    assert not handover(replace(record("a"), **change)).is_settled("a", A, "")


def test_an_old_name_stays_until_its_followers_are_settled() -> None:
    old, new = record("OLD"), desired("NEW_a", A)
    rules = (job("one", "secret/*", "NEW_{basename}"),)
    assert "NEW_a" in handover(old, jobs=rules).why_an_old_name_stays(old, wanting(new))
    assert handover(old, record("NEW_a"), jobs=rules).why_an_old_name_stays(old, wanting(new)) == ""


def test_an_old_name_stays_where_its_new_one_cannot_be_made() -> None:
    old = record("OLD")
    failed = Finding(kind=FindingKind.FAILED, name="x", ref=A)
    one = handover(old, jobs=(job("one", "none/*"),))
    assert "cannot be made" in one.why_an_old_name_stays(old, wanting(findings=[failed]))
    assert one.why_an_old_name_stays(old, wanting()) == ""


FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a template and the value as it is": ({"value": "user:{k}"}, {}),
    "two templates": ({"value": "user:{k}"}, {"value": "{k}"}),
    "binary and a template": ({"binary": True}, {"value": "{k}"}),
}


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("others_first", [False, True])
@pytest.mark.parametrize("forms", FORMS)
def test_the_heir_of_a_name_is_who_makes_the_same_of_the_secret(forms: str, others_first: bool, away: bool) -> None:
    other, own = FORMS[forms]
    heir, stranger = ("z", "a") if others_first else ("a", "z")
    jobs = {
        stranger: job(stranger, "secret/a", **other),
        heir: job(heir, "secret/a", **own),
    }
    sent = versioned("1", own.get("value", ""), binary=own.get("binary", False))
    now = datetime(2026, 6, 1, tzinfo=UTC)
    worked = {"gone": now, **({heir: now - timedelta(days=1)} if away else {})}
    row = record("a", job="gone", version=sent)
    for name, is_kept_for_another in ((heir, False), (stranger, True)):
        one = replace(handover(row, jobs=tuple(jobs.values())), job=name, worked_at=worked)
        assert (one.claimed_by_own_job((), lambda _: None) == {"a"}) is is_kept_for_another


@pytest.mark.parametrize("new", ["a", "z"])
def test_a_job_that_sent_the_same_all_along_goes_on_before_a_new_one_that_does_not(new: str) -> None:
    jobs = (job("m", "secret/a"), job(new, "secret/a", value="user:{k}"))
    now = datetime(2026, 6, 1, tzinfo=UTC)
    row = record("a", job="gone", version="1")
    for name, is_kept_for_another in (("m", False), (new, True)):
        worked = {"gone": now, "m": now + timedelta(seconds=1)}
        one = replace(handover(row, jobs=jobs), job=name, worked_at=worked)
        assert (one.claimed_by_own_job((), lambda _: None) == {"a"}) is is_kept_for_another
