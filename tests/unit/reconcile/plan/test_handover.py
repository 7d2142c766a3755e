"""Which job a name belongs to, and when it passes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import DesiredSecret, Glob, Record, Rule, SecretRef
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
    given = {"job": "one", "remote_id": f"id-{name}"} | more
    return Record(site="s", name=name, target="shop", ref=ref, **given)


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


def untold(_: Record | DesiredSecret) -> None:
    """The source cannot tell tags."""


def nothing(_: Record, _wanted: DesiredSecret) -> str:
    """Nothing follows that is not there yet."""
    return ""


def never_asked(*_: object) -> Any:
    raise AssertionError("asked, though the answer changes nothing")


def untagged(_: Record | DesiredSecret) -> frozenset[tuple[str, str]]:
    return frozenset()


def tagged(_: Record | DesiredSecret) -> frozenset[tuple[str, str]]:
    return frozenset({("team", "x")})


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
    ("old", "gone", "tags", "free", "blocked"),
    [
        # the old reference is claimed still: only its end frees the name
        (record("a"), NEVER, untold, False, False),
        (record("a"), ALWAYS, untold, True, False),
        (record("a"), NEVER, tagged, False, False),
        (record("a"), NEVER, untagged, True, False),
    ],
)
def test_a_name_that_is_claimed(old: Record, gone: Any, tags: Any, free: bool, blocked: bool) -> None:
    jobs = (job("one", "secret/*", tags=tuple(tagged(old))),)
    found = handover(old, jobs=jobs).transfers([desired("a", B)], gone, tags, nothing)
    assert ("a" in found.free, "a" in found.blocked) == (free, blocked)


@pytest.mark.parametrize("tags", [untold, untagged, tagged])
def test_a_name_waits_for_what_follows_its_old_reference(tags: Any) -> None:
    """By whichever rule it leaves: whatever the tags, the last question is what follows."""
    mine = job("one", "secret/b", "b")
    theirs = job("two", "secret/*", "b", tags=(("team", "y"),))
    both = handover(record("b", A, job="two"), jobs=(mine, theirs))
    waits = both.transfers([desired("b", B)], NEVER, tags, lambda _record, _wanted: "Y_a is not there yet")
    assert "b" not in waits.free and ("b" in waits.blocked) is (tags is not untold)
    assert ("b" in both.transfers([desired("b", B)], NEVER, tags, nothing).free) is (tags is not untold)
    assert "b" in both.transfers([desired("b", B)], ALWAYS, tags, lambda _record, _wanted: "Y_a").free
    pinned = both.transfers(
        [desired("b", B)], ALWAYS, tags, lambda _record, _wanted: "Y_a", lambda _record: "version 1"
    )
    assert "b" in pinned.blocked and "version 1" in pinned.blocked["b"]


@pytest.mark.parametrize("change", [{"pin": "3"}, {"version": versioned("1", "user:{k}")}])
def test_what_changes_its_pin_or_form_waits_for_what_follows_it_too(change: dict[str, Any]) -> None:
    one = handover(record("a", remote_id="id", **change))
    assert "a" in one.transfers([desired("a", A)], NEVER, untold, nothing).free
    assert "a" in one.transfers([desired("a", A)], NEVER, untold, lambda _record, _wanted: "Y is not there").blocked


def test_what_stays_as_it_was_waits_for_nothing() -> None:
    one = handover(record("a", version="1"), record("b"))
    assert one.transfers([desired("a", A), desired("b", A)], NEVER, untold, never_asked).blocked == {}


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


def two_teams(*records: Record, me: str = "one", **more: Any) -> Handover:
    """Two jobs with one glob, each for the secrets of its team."""
    jobs = {name: job(name, "secret/*", tags=(("team", team),)) for name, team in (("one", "x"), ("two", "y"))}
    return Handover(
        job=me, jobs=jobs, mounts={"vault": {"secret/": "uuid"}}, profile="api",
        records={row.name: row for row in records}, **more,
    )  # fmt: skip


STATUSES = ["synced", "held", "quarantined", "unverified", "behind", "orphan", "missing", "pending", ""]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(("tags", "is_theirs"), [(tagged, False), (untagged, False), (untold, True)])
def test_the_tags_of_a_secret_that_is_seen_tell_whose_it_is(status: str, tags: Any, is_theirs: bool) -> None:
    """Job two had it, whatever became of its row; the listing shows the secret, with its tags."""
    both = two_teams(record("a", job="two", status=status))
    wanted = [desired("a", A)]
    assert (both.claimed_by_own_job(wanted, tags) == {"a"}) is is_theirs
    assert (both.sent_by_another(wanted, tags) == {"a": "two"}) is is_theirs


@pytest.mark.parametrize("status", STATUSES)
def test_what_is_not_seen_stays_with_its_job_until_that_gives_it_up(status: str) -> None:
    both = two_teams(record("a", job="two", status=status))
    assert (both.claimed_by_own_job([], untold) == {"a"}) is (status not in {"missing", "orphan"})


@pytest.mark.parametrize(("mine", "theirs"), [("webhook", "k"), ("webhook", None), (None, "k")])
def test_two_parts_of_one_secret_under_one_name_are_no_same_secret(mine: str | None, theirs: str | None) -> None:
    """Neither sends what the other one waits for: that is a conflict, and no patience helps."""
    jobs = [
        replace(
            job(name, "secret/a", "STRIPE"), rules=(replace(job(name, "secret/a", "STRIPE").rules[0], field=field),)
        )
        for name, field in (("one", mine), ("two", theirs))
    ]
    both = handover(record("STRIPE", replace(A, field=theirs), job="two", status="synced"), jobs=tuple(jobs))
    wanted = [desired("STRIPE", replace(A, field=mine))]
    assert both.sent_by_another(wanted, untold) == {} and both.claimed_by_own_job(wanted, untold) == {"STRIPE"}
    assert both.sent_by_another([desired("STRIPE", replace(A, field=theirs))], untold) == {"STRIPE": "two"}


T = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("worked", "teller"),
    [
        ({}, None),
        ({"one": 1}, None),
        ({"one": 1, "two": -1}, None),
        ({"one": 1, "two": 1}, "one"),
    ],
)
def test_what_two_jobs_might_have_taken_over_is_told_by_the_first(worked: dict[str, int], teller: str | None) -> None:
    """Each waits for the other only until that has had a cycle since."""
    at = {"gone": T} | {name: T + timedelta(hours=hours) for name, hours in worked.items()}
    told = {me for me in ("one", "two") if two_teams(record("a", job="gone"), me=me, worked_at=at).of_gone_jobs(
        wanting())[1]}  # fmt: skip
    assert told == ({teller} if teller else set())


@pytest.mark.parametrize(("tags", "waits"), [(tagged, False), (untold, True), (untagged, False)])
def test_a_gone_jobs_secret_waits_for_no_heir_that_its_tags_do_not_name(tags: Any, waits: bool) -> None:
    """Job two never worked here: it would go first, if it took the secret at all."""
    both = two_teams(record("a", job="gone", status="synced"), worked_at={"gone": T, "one": T + timedelta(hours=1)})
    assert (both.sent_by_another([desired("a", A)], tags) == {"a": "two"}) is waits
    assert (both.claimed_by_own_job([desired("a", A)], tags) == {"a"}) is waits


def test_a_name_in_another_form_passes_to_the_job_whose_tag_it_has() -> None:
    """Its own rule is the one that takes it over; the other job's lost its tags."""
    old = record("a", replace(A, field="z"), job="two", status="orphan")
    one, two = (job(name, "secret/*", tags=(("team", team),)) for name, team in (("one", "x"), ("two", "y")))
    both = handover(old, jobs=(one, replace(two, rules=(replace(two.rules[0], field="z"),))))
    assert "a" in both.transfers([desired("a", A)], NEVER, tagged, nothing).free
    assert "a" not in both.transfers([desired("a", A)], NEVER, untold, nothing).free
    assert both.claimed_by_own_job([desired("a", A)], tagged) == frozenset()


def test_two_jobs_that_take_it_over_do_not_wait_for_one_another() -> None:
    """Both have the new tag, and make the same of it."""
    one, two, three = (job(name, "secret/*", tags=(("team", team),)) for name, team in zip(
        ("one", "two", "three"), "xyx", strict=True))  # fmt: skip
    old = record("a", replace(A, field="z"), job="two", status="orphan")
    jobs = {item.name: item for item in (one, replace(two, rules=(replace(two.rules[0], field="z"),)), three)}
    for me in ("one", "three"):
        both = replace(handover(old, jobs=tuple(jobs.values())), job=me)
        assert "a" in both.transfers([replace(desired("a", A), job=me)], NEVER, tagged, nothing).free


def test_tags_are_asked_for_where_a_rule_that_takes_it_asks_for_them() -> None:
    assert two_teams(record("a", job="two"), me="two").is_asked_for_tags(A)
    assert not handover(record("a")).is_asked_for_tags(A)


def test_a_name_in_another_case_is_claimed_as_well() -> None:
    both = handover(record("a", job="one"), jobs=(job("one", "secret/b", "a"), job("two", "secret/a", "A")))
    assert "a" not in both.transfers([desired("a", B)], NEVER, untold, nothing).free


@pytest.mark.parametrize(
    ("mounts", "may"),
    [
        ({"vault": {"secret/": "uuid"}}, True),
        ({"vault": {"secret/": "another"}}, False),
        ({"vault": {}}, True),
        ({}, True),
    ],
)
def test_an_entry_that_no_cycle_has_used_may_take_anything(mounts: dict[str, dict[str, str]], may: bool) -> None:
    """Its mounts may be named otherwise, by a namespace: only its listing tells."""
    one = replace(handover(record("a")), mounts={"first": {"secret/": "uuid"}, **mounts})
    ref = replace(A, source="first")
    assert one.may_take(job("two", "secret/*"), ref) is may
