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
from syncd.reconcile.plan.handover import Handover, Wish

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


def untold(_: Record) -> None:
    """The source cannot tell tags."""


def untagged(_: Record) -> frozenset[tuple[str, str]]:
    return frozenset()


def tagged(_: Record) -> frozenset[tuple[str, str]]:
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
    found = handover(old, jobs=jobs).transfers([desired("a", B)], gone, tags)
    assert ("a" in found.free, "a" in found.blocked) == (free, blocked)


def test_a_name_waits_for_the_new_name_of_its_old_reference() -> None:
    rules = (job("one", "secret/*", "NEW_{basename}"),)
    old = record("b", A)
    assert "NEW_a" in handover(old, jobs=rules).transfers([desired("b", B)], NEVER, untold).blocked["b"]
    settled = handover(old, record("NEW_a", A), jobs=rules).transfers([desired("b", B)], NEVER, untold)
    assert settled.free == {"b"}
    unverified = handover(old, record("NEW_a", A, unverified=True), jobs=rules)
    assert "b" in unverified.transfers([desired("b", B)], NEVER, untold).blocked


@pytest.mark.parametrize("change", [{"unverified": True}, {"pending": Pending.UPDATE}, {"remote_id": None}, {"ref": B}])
def test_what_is_not_settled(change: dict[str, Any]) -> None:
    assert handover(record("a")).is_settled("a", A, "")
    assert not handover(replace(record("a"), **change)).is_settled("a", A, "")


def test_an_old_name_stays_until_its_followers_are_settled() -> None:
    old, new = record("OLD"), desired("NEW_a", A)
    rules = (job("one", "secret/*", "NEW_{basename}"),)
    assert "NEW_a" in handover(old, jobs=rules).why_an_old_name_stays(old, wanting(new), untold)
    assert handover(old, record("NEW_a"), jobs=rules).why_an_old_name_stays(old, wanting(new), untold) == ""


def test_an_old_name_stays_where_its_new_one_cannot_be_made() -> None:
    old = record("OLD")
    failed = Finding(kind=FindingKind.FAILED, name="x", ref=A)
    one = handover(old, jobs=(job("one", "none/*"),))
    assert "cannot be made" in one.why_an_old_name_stays(old, wanting(findings=[failed]), untold)
    assert one.why_an_old_name_stays(old, wanting(), untold) == ""


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


@pytest.mark.parametrize("status", ["held", "quarantined", "unverified", "behind", "orphan", "missing", "pending", ""])
@pytest.mark.parametrize(("tags", "is_theirs"), [(tagged, False), (untagged, False), (untold, True)])
def test_a_row_that_rests_is_asked_for_its_tags(status: str, tags: Any, is_theirs: bool) -> None:
    """Job two had it, and the secret is job one's by its tags."""
    both = two_teams(record("a", job="two", status=status))
    wanted = [desired("a", A)]
    assert (both.claimed_by_own_job(wanted, tags) == {"a"}) is is_theirs
    assert (both.sent_by_another(wanted, tags) == {"a": "two"}) is is_theirs


def never_asked(_: Record) -> None:
    raise AssertionError("a source was asked, though the answer changes nothing")


def test_what_its_own_job_found_as_asked_is_its_own() -> None:
    both = two_teams(record("a", job="two", status="synced"))
    assert both.claimed_by_own_job([desired("a", A)], never_asked) == {"a"}
    assert both.sent_by_another([desired("a", A)], never_asked) == {"a": "two"}


def test_a_name_waits_for_no_name_that_the_secrets_tags_do_not_give_it() -> None:
    old = record("b", A)
    jobs = (job("one", "secret/b", "b"), job("two", "secret/*", "INV_{basename}", tags=(("sync", "wix"),)))
    both = handover(old, jobs=jobs)
    assert "b" in both.transfers([desired("b", B)], NEVER, untagged).free
    assert "INV_a" in both.transfers([desired("b", B)], NEVER, untold).blocked["b"]
    assert both.why_an_old_name_stays(old, wanting(), untagged) == ""
    assert "INV_a" in both.why_an_old_name_stays(old, wanting(), untold)


def test_two_fields_of_one_path_under_one_name_are_no_same_secret() -> None:
    other = replace(A, field="webhook")
    one = replace(job("one", "secret/a", "STRIPE").rules[0], field="webhook")
    jobs = (replace(job("one", "secret/a"), rules=(one,)), job("two", "secret/a", "STRIPE"))
    both = handover(record("STRIPE", A, job="two", status="synced"), jobs=jobs)
    assert both.sent_by_another([desired("STRIPE", other)], untold) == {}
    assert both.claimed_by_own_job([desired("STRIPE", other)], untold) == {"STRIPE"}


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


HERE, THERE = ("uuid", "a"), ("other", "a")
"""Which secret a path means."""


@pytest.mark.parametrize(
    ("old", "wishes", "settled", "waits_for"),
    [
        # another form follows: a field, all fields, the whole
        (None, [Wish("Y", replace(A, field="p"), HERE)], (), "Y"),
        (None, [Wish("Y", replace(A, field="p"), HERE)], ("Y",), ""),
        (None, [Wish("U", replace(A, field="u"), HERE), Wish("P", replace(A, field="p"), HERE)], ("U",), "P"),
        ("k", [Wish("Y", replace(A, field=None), HERE)], (), "Y"),
        # where any job makes the same form, that one follows, and the others follow nothing
        ("k", [Wish("Y", A, HERE), Wish("P", replace(A, field="p"), HERE)], ("Y",), ""),
        ("k", [Wish("Y", A, HERE), Wish("P", replace(A, field="p"), HERE)], ("P",), "Y"),
        # by another spelling, or through another entry
        ("k", [Wish("Y", SecretRef(source="second", path="other/a", field="k"), HERE)], (), "Y"),
        ("k", [Wish("Y", SecretRef(source="second", path="secret/a", field="k"), None)], (), "Y"),
        # of another place it is another secret
        ("k", [Wish("Y", SecretRef(source="second", path="secret/a", field="k"), THERE)], (), ""),
        ("k", [Wish("Y", B, ("uuid", "b"))], (), ""),
        # its own name is asked elsewhere
        ("k", [Wish("X", A, HERE)], (), ""),
    ],
)
def test_what_follows_an_old_name(
    old: str | None, wishes: list[Wish], settled: tuple[str, ...], waits_for: str
) -> None:
    row = record("X", replace(A, field=old))
    sent = [record(wish.name, wish.ref, job="two") for wish in wishes if wish.name in settled]
    assert handover(row, *sent).unsettled_wish(row, wishes) == waits_for


@pytest.mark.parametrize(
    "change", [{"remote_id": None}, {"pending": Pending.UPDATE}, {"unverified": True}, {"ref": B}, {"ref": replace(A, field="z")}]
)  # fmt: skip
def test_what_is_not_settled_is_waited_for(change: dict[str, Any]) -> None:
    row = record("X", replace(A, field=None))
    sent = replace(record("Y", replace(A, field="p"), job="two"), **change)
    assert handover(row, sent).unsettled_wish(row, [Wish("Y", replace(A, field="p"), HERE)]) == "Y"


def test_a_name_in_another_form_passes_to_the_job_whose_tag_it_has() -> None:
    """Its own rule is the one that takes it over; the other job's lost its tags."""
    old = record("a", replace(A, field="z"), job="two", status="orphan")
    one, two = (job(name, "secret/*", tags=(("team", team),)) for name, team in (("one", "x"), ("two", "y")))
    both = handover(old, jobs=(one, replace(two, rules=(replace(two.rules[0], field="z"),))))
    assert "a" in both.transfers([desired("a", A)], NEVER, tagged).free
    assert "a" not in both.transfers([desired("a", A)], NEVER, untold).free
    assert both.claimed_by_own_job([desired("a", A)], tagged) == frozenset()
