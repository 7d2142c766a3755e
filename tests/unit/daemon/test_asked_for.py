"""Which faults keep a run from what somebody asked for."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from syncd.daemon.asked_for import KEPT, WHOLE_JOB, About, Ask, AskedFor, Named, Wanted, cause_of
from syncd.daemon.run_result import Result, not_done
from syncd.domain import (
    Create,
    DesiredSecret,
    Finding,
    FindingKind,
    Outcome,
    ReadFailure,
    Record,
    SecretRef,
    SyncReport,
)
from syncd.domain.audit import Actor, Cause, Entry, end_of, entry_of
from syncd.errors import SecretRefused, SourceUnavailable, TargetUnavailable
from tests.unit.daemon.test_wakeups import job

ALICE, BOB, EVENT = Actor("token", "alice"), Actor("token", "bob"), Actor("event", "vault audit")
JOB = job("p/*")
WANTED = Wanted(by=ALICE)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def report(*failed: str, error: bool = False) -> SyncReport:
    return SyncReport(
        job="j", target="t", started_at=NOW, finished_at=NOW, seconds=0.0,
        failures=tuple(ReadFailure(location=place, message="m", hint="h") for place in failed),
        error=SourceUnavailable("away") if error else None,
    )  # fmt: skip


X = Named("s", "X")


@pytest.mark.parametrize(
    ("failed", "asked", "counts"),
    [
        ((), "kv/app/x", False),
        (("kv/app/x",), "kv/app/x", True),
        (("kv/app/c",), "kv/app/x", False),  # another one, which may be denied for good
        (("kv/app/x1",), "kv/app/x10", False),
        (("kv/app/x",), "kv/app/x/y", False),  # a secret beside a folder of its name
        (("kv/app/",), "kv/app/x", True),
        (("kv/app/*",), "kv/app/x", True),
        (("kv/app/x1*",), "kv/app/x10", True),
        (("kv/",), "kv/app/x", True),
        (("kv/other/**",), "kv/app/x", False),
        (("kv/app/c",), WHOLE_JOB, False),
        (("kv/app/c",), X, False),
    ],
)
def test_what_is_beside_it_keeps_nobody_from_it(failed: tuple[str, ...], asked: About, counts: bool) -> None:
    assert (not_done(report(*failed), "s", {asked}) == {asked}) is counts


def test_a_pause_is_no_fault() -> None:
    result = Result()
    result.take("s", {WHOLE_JOB: WANTED, "kv/app/x": WANTED, X: WANTED})
    result.add(replace(report("kv/app/x", error=True), rests="paused by alice"), "s")
    assert not result.not_done and not result.faults


def test_an_error_of_the_whole_source_or_site_keeps_everybody_from_it() -> None:
    asked = {WHOLE_JOB, "kv/app/x", X}
    assert not_done(report(error=True), "s", asked) == asked
    assert not_done(report(error=True), "another", asked) == asked - {X}


@pytest.mark.parametrize("kind", FindingKind)
def test_a_name_that_could_not_be_read_is_not_done(kind: FindingKind) -> None:
    told = replace(report(), findings=(Finding(kind=kind, name="X", message="m"),))
    assert bool(not_done(told, "s", {X, Named("s", "Y")})) is (kind in {FindingKind.FAILED, FindingKind.BEHIND})


@pytest.mark.parametrize(
    ("asked", "counts"),
    [("secret/a", True), ("secret/b", False), (Named("s", "A"), True), (Named("s", "B"), False), (WHOLE_JOB, False)],
)
@pytest.mark.parametrize("passes", [True, False])
def test_what_could_not_be_sent_keeps_whoever_asked_for_it(asked: About, counts: bool, *, passes: bool) -> None:
    ref = SecretRef(source="vault", path="secret/a", field="k")
    create = Create(desired=DesiredSecret(name="A", ref=ref, version="1", description="d", job="j"), record=None)
    error = TargetUnavailable("503", maybe_done=True) if passes else SecretRefused("too long")
    failed = replace(report(), outcomes=(Outcome(action=create, error=error),))
    assert bool(not_done(failed, "s", {asked})) is counts
    result = Result()
    result.add(failed, "s")
    # What the site refuses for good has its own delays.
    assert bool(result.faults) is passes


def test_a_fault_keeps_each_asker_where_it_was_alone() -> None:
    result = Result()
    for site in ("one", "two", "three"):
        result.take(site, {f"kv/app/{name}": WANTED for name in "xyz"})
    result.add(report("kv/app/y"), "one")
    result.add(report(error=True), "two")
    result.add(replace(report(), lagging=frozenset({"kv/app/z"})), "three")
    sites = {about: sorted(sites) for about, sites in result.not_done.items()}
    assert sites == {"kv/app/x": ["two"], "kv/app/y": ["one", "two"], "kv/app/z": ["three", "two"]}
    assert result.kept_from() == {"kv/app/y", "kv/app/z"}, "the site that is away lists once it is back"
    assert result.faults == {"kv/app/y"} and result.sites_away == {"two"}


def who(asked_for: AskedFor) -> dict[About, str]:
    return {about: item.by.id for about, item in asked_for.of("job").items()}


def test_who_asked_is_forgotten_with_what_was_done_and_no_sooner() -> None:
    asked_for = AskedFor()
    asked_for.note("job", Ask(by=ALICE, about=("p/a", "p/b")))
    asked_for.note("job", Ask(by=BOB))
    wanted = asked_for.of("job")
    assert who(asked_for) == {"p/a": "alice", "p/b": "alice", WHOLE_JOB: "bob"} and asked_for.of("other") == {}
    asked_for.done("job", {"s": wanted}, {"p/b": {"s"}})
    assert who(asked_for) == {"p/b": "alice"}
    # Who asks while it runs is heard again.
    wanted = asked_for.of("job")
    asked_for.note("job", Ask(by=BOB, about=("p/b",)))
    asked_for.done("job", {"s": wanted}, {})
    assert who(asked_for) == {"p/b": "bob"}


def test_an_event_takes_nothing_of_a_persons_decision() -> None:
    for order in ((ALICE, EVENT), (EVENT, ALICE)):
        asked_for = AskedFor()
        for by in order:
            asked_for.note("job", Ask(by=by, about=("p/a",)))
        assert who(asked_for) == {"p/a": "alice"}
    asked_for.note("job", Ask(by=BOB, about=("p/a",)))
    assert who(asked_for) == {"p/a": "bob"}, "the last person"


@pytest.mark.parametrize(("lasts", "kept"), [(KEPT, KEPT), (20.0, 20.0), (86_400.0, KEPT)])
def test_nobody_asks_for_ever(monkeypatch: pytest.MonkeyPatch, lasts: float, kept: float) -> None:
    """One site may be away for days; and what is sent after the end of a rollback is nobody's."""
    asked_for, now = AskedFor(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    asked_for.note("job", Ask(by=ALICE, lasts=lasts))
    for later in (kept - 1, kept + 1):
        monkeypatch.setattr(time, "monotonic", lambda later=later: now + later)
        assert bool(asked_for.of("job")) is (later < kept)
        asked_for.done("job", {"site-2": asked_for.of("job")}, {WHOLE_JOB: {"site-2"}})
        assert bool(asked_for.of("job")) is (later < kept)


def sent(name: str = "A", path: str = "p/a", field: str | None = "k", site: str = "s", source: str = "aws") -> Entry:
    ref = SecretRef(source=source, path=path, field=field)
    return Entry(event="secret.update", name=name, site=site, ref=str(ref), sends=ref)


FOUND = replace(sent(), event="secret.held", sends=None)


@pytest.mark.parametrize(
    ("about", "line", "by"),
    [
        ("p/a", sent(), "alice"),
        ("p/a", sent(field=None), "alice"),
        ("p/a", sent(field="a#b"), "alice"),
        ("p/a", sent(path="p/ab"), "job j"),
        # A path may hold the sign.
        ("p/a", sent(path="p/a#1"), "job j"),
        ("p/a", sent(path="p/a#1", field=None), "job j"),
        ("p/a", sent(source="vault"), "job j"),
        ("p/a", FOUND, "job j"),
        ("p/a", Entry(event="limit.withheld"), "job j"),
        (Named("s", "A"), sent(), "alice"),
        (Named("s", "A"), sent(name="B"), "job j"),
        (Named("s", "A"), sent(site="s2"), "job j"),
        (Named("s", "A"), FOUND, "job j"),
        (WHOLE_JOB, sent(path="p/b"), "alice"),
        (WHOLE_JOB, FOUND, "alice"),
        (WHOLE_JOB, Entry(event="limit.withheld"), "alice"),
    ],
)
def test_lines_are_of_whoever_asked_for_what_they_tell(about: About, line: Entry, by: str) -> None:
    asked_for = AskedFor()
    asked_for.note("j", Ask(by=ALICE, about=(about,)))
    cause = cause_of(JOB, asked_for.of("j"), Cause(run="r"))
    assert cause.of(line)[0].id == by and cause.run == "r"


def test_a_line_of_a_request_says_of_which_secret_it_is() -> None:
    ref = SecretRef(source="aws", path="p/a", field="k")
    create = Create(desired=DesiredSecret(name="A", ref=ref, version="1", description="d", job="j"), record=None)
    record = Record(site="s", name="A", target="t", job="j", ref=ref)
    outcome = Outcome(action=create, error=SecretRefused("too long"))
    assert entry_of(create, record, NOW).sends == end_of(outcome, record, NOW).sends == ref


@pytest.mark.parametrize("asked", [None, frozenset({"site-1", "site-2"})])
def test_what_is_done_on_a_site_is_asked_for_there_no_more(asked: frozenset[str] | None) -> None:
    asked_for = AskedFor()
    asked_for.note("j", Ask(by=ALICE, about=("p/a", WHOLE_JOB), sites=asked))
    for away in ({"site-2", "site-3"}, {"site-2"}):
        taken = dict.fromkeys(("site-1", "site-2", "site-3"), asked_for.of("j"))
        asked_for.done("j", taken, {"p/a": away, WHOLE_JOB: away})
    cause = cause_of(JOB, asked_for.of("j"), Cause())
    for path in ("p/a", "p/b"):
        by = {site: cause.of(sent(path=path, site=site))[0].id for site in ("site-1", "site-2", "site-3")}
        assert by == {"site-1": "job j", "site-2": "alice", "site-3": "job j"}
    asked_for.done("j", {"site-1": asked_for.of("j")}, {})
    assert asked_for.of("j"), "it was not its turn where it is left"
    asked_for.done("j", {"site-2": asked_for.of("j")}, {"p/a": {"site-1"}})
    assert not asked_for.of("j")


def test_what_is_asked_for_between_the_turns_of_two_sites_is_done_on_the_second_alone() -> None:
    asked_for, result = AskedFor(), Result()
    result.take("one", asked_for.of("j"))
    asked_for.note("j", Ask(by=ALICE, about=("p/a",)))
    result.take("two", asked_for.of("j"))
    for site in ("one", "two"):
        result.add(report(), site)
    asked_for.done("j", result.taken, result.not_done)
    assert {path: item.sites for path, item in asked_for.of("j").items()} == {"p/a": {"one"}}


def test_where_it_never_was_its_turn_nothing_is_done() -> None:
    asked_for, result = AskedFor(), Result()
    asked_for.note("j", Ask(by=ALICE, about=("p/a",)))
    result.add(report(error=True), "one")
    result.take("two", asked_for.of("j"))
    result.add(report(), "two")
    asked_for.done("j", result.taken, result.not_done)
    assert {path: item.sites for path, item in asked_for.of("j").items()} == {"p/a": {"one"}}


@pytest.mark.parametrize("last", ["the name", "the path"])
@pytest.mark.parametrize("of_path", [BOB, EVENT])
def test_of_two_who_ask_the_last_person_is_told(last: str, of_path: Actor) -> None:
    """One lets a secret go on a site, and another one rolls its path back, or an event of it comes late."""
    asked_for = AskedFor()
    asks = [Ask(by=ALICE, about=(Named("s", "A"),)), Ask(by=of_path, about=("p/a",))]
    for ask in asks if last == "the path" else reversed(asks):
        asked_for.note("j", ask)
    cause = cause_of(JOB, asked_for.of("j"), Cause())
    assert cause.of(sent())[0] == (BOB if last == "the path" and of_path is BOB else ALICE)
    assert cause.of(sent(name="B", field="other"))[0] == of_path


def test_an_event_is_kept_until_what_it_named_was_seen_and_a_person_is_not() -> None:
    asked_for = AskedFor()
    for by, path in ((ALICE, "p/a"), (EVENT, "p/b"), (EVENT, "p/c")):
        asked_for.note("j", Ask(by=by, about=(path,)))
    result = Result()
    result.take("s", asked_for.of("j"))
    result.still_expected(("p/a", "p/b"))
    asked_for.done("j", result.taken, result.not_done)
    assert set(asked_for.of("j")) == {"p/b"}


@pytest.mark.parametrize("during", [True, False])
def test_an_event_that_comes_while_a_persons_request_is_done_is_the_next_one(
    monkeypatch: pytest.MonkeyPatch, *, during: bool
) -> None:
    clock = itertools.count(1_000.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    asked_for = AskedFor()
    asked_for.note("job", Ask(by=ALICE, about=("p/a",)))
    if not during:
        asked_for.note("job", Ask(by=EVENT, about=("p/a",)))
    wanted = asked_for.of("job")
    if during:
        asked_for.note("job", Ask(by=EVENT, about=("p/a",)))
    # What the run was begun for is done; what an event told before it began, too.
    asked_for.done("job", {"s": wanted}, {})
    assert who(asked_for) == ({"p/a": "vault audit"} if during else {})


def test_an_event_is_told_where_a_persons_request_is_done_already() -> None:
    asked_for = AskedFor()
    asked_for.note("j", Ask(by=ALICE, about=("p/a",), sites=frozenset({"two"})))
    asked_for.note("j", Ask(by=EVENT, about=("p/a",)))
    cause = cause_of(JOB, asked_for.of("j"), Cause(), asked_for.beside("j"))
    assert cause.of(sent(site="two"))[0] == ALICE and cause.of(sent(site="one"))[0] == EVENT
    # Once the run has ended, the next version comes by itself.
    taken = dict.fromkeys(("one", "two"), asked_for.of("j"))
    asked_for.done("j", taken, {"p/a": {"two"}})
    cause = cause_of(JOB, asked_for.of("j"), Cause(), asked_for.beside("j"))
    assert cause.of(sent(site="two"))[0] == ALICE and cause.of(sent(site="one"))[0].kind == "schedule"


def test_what_is_handed_on_is_for_the_same_time_and_sites(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for, now = AskedFor(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    asked_for.note("job", Ask(by=ALICE, about=("p/a", X), rights=frozenset({"s", "t"}), lasts=20))
    monkeypatch.setattr(time, "monotonic", lambda: now + 5)
    asked_for.done("job", dict.fromkeys(("s", "t"), asked_for.of("job")), {"p/a": {"s"}})
    left = asked_for.take_left(lambda _job, _path: False)
    assert left["job", "p/a"].again() == Ask(by=ALICE, sites=frozenset({"s"}), rights=frozenset({"s", "t"}), lasts=15)
    assert not asked_for.take_left(lambda _job, _path: False)


def test_an_event_after_a_persons_request_has_run_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for, now = AskedFor(), time.monotonic()
    asked_for.note("job", Ask(by=ALICE, about=("p/a",), lasts=20))
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    asked_for.note("job", Ask(by=EVENT, about=("p/a",)))
    assert who(asked_for) == {"p/a": "vault audit"}
