"""Which faults keep a run from what somebody asked for."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from syncd.daemon.asked_for import KEPT, WHOLE_JOB, AskedFor, cause_of, has_failed
from syncd.domain import Create, DesiredSecret, Outcome, ReadFailure, SecretRef, SyncReport
from syncd.domain.audit import Actor, Cause
from syncd.errors import SecretRefused, SourceUnavailable, TargetUnavailable
from tests.unit.daemon.test_wakeups import job

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def report(*failed: str, error: bool = False) -> SyncReport:
    return SyncReport(
        job="j", target="t", started_at=NOW, finished_at=NOW, seconds=0.0,
        failures=tuple(ReadFailure(location=place, message="m", hint="h") for place in failed),
        error=SourceUnavailable("away") if error else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("failed", "asked", "counts"),
    [
        ((), ("kv/app/x",), False),
        (("kv/app/x",), ("kv/app/x",), True),
        (("kv/app/x",), ("kv/app/x#field",), True),
        (("kv/app/c",), ("kv/app/x",), False),  # another one, which may be denied for good
        (("kv/app/c", "kv/app/"), ("kv/app/x",), True),
        (("kv/app/*",), ("kv/app/x",), True),
        (("kv/",), ("kv/app/x",), True),
        (("kv/other/**",), ("kv/app/x", "kv/other/y"), True),
        (("kv/app/c",), (WHOLE_JOB,), False),
    ],
)
def test_what_is_beside_it_keeps_nobody_from_it(failed: tuple[str, ...], asked: tuple[str, ...], counts: bool) -> None:
    assert has_failed(report(*failed), asked) is counts


def test_a_pause_is_no_fault() -> None:
    assert not has_failed(replace(report(error=True), rests="paused by alice"), (WHOLE_JOB, "kv/app/x"))


def test_an_error_of_the_whole_source_or_site_keeps_everybody_from_it() -> None:
    assert has_failed(report(error=True), (WHOLE_JOB,)) and has_failed(report(error=True), ("kv/app/x",))


@pytest.mark.parametrize(
    ("asked", "passes", "counts"),
    [
        (("secret/a",), True, True),
        (("secret/a#k",), False, True),
        (("secret/b",), True, False),
        ((WHOLE_JOB,), True, True),
        ((WHOLE_JOB,), False, False),  # what the site refuses for good has its own delays
    ],
)
def test_what_could_not_be_sent_keeps_whoever_asked_for_it(asked: tuple[str, ...], passes: bool, counts: bool) -> None:
    ref = SecretRef(source="vault", path="secret/a", field="k")
    create = Create(desired=DesiredSecret(name="A", ref=ref, version="1", description="d", job="j"), record=None)
    error = TargetUnavailable("503", maybe_done=True) if passes else SecretRefused("too long")
    failed = replace(report(), outcomes=(Outcome(action=create, error=error),))
    assert has_failed(failed, asked) is counts


ALICE, BOB, EVENT = Actor("token", "alice"), Actor("token", "bob"), Actor("event", "vault audit")
JOB = job("p/*")


def who(asked_for: AskedFor) -> dict[str, str]:
    return {path: item.by.id for path, item in asked_for.of("job").items()}


def test_who_asked_is_forgotten_with_what_was_done_and_no_sooner() -> None:
    asked_for = AskedFor()
    asked_for.note("job", ALICE, ("p/a", "p/b"))
    asked_for.note("job", BOB, ())
    wanted = asked_for.of("job")
    assert who(asked_for) == {"p/a": "alice", "p/b": "alice", WHOLE_JOB: "bob"} and asked_for.of("other") == {}
    asked_for.done("job", wanted, {"p/b": None})
    assert who(asked_for) == {"p/b": "alice"}
    # Who asks while it runs is heard again.
    wanted = asked_for.of("job")
    asked_for.note("job", BOB, ("p/b",))
    asked_for.done("job", wanted, {})
    assert who(asked_for) == {"p/b": "bob"}


def test_an_event_takes_nothing_of_a_persons_decision() -> None:
    for order in ((ALICE, EVENT), (EVENT, ALICE)):
        asked_for = AskedFor()
        for by in order:
            asked_for.note("job", by, ("p/a",))
        assert who(asked_for) == {"p/a": "alice"}
    asked_for.note("job", BOB, ("p/a",))
    assert who(asked_for) == {"p/a": "bob"}, "the last person"


def test_nobody_asks_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """One site may be away for days."""
    asked_for, now = AskedFor(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    asked_for.note("job", ALICE, ())
    for later, kept in ((KEPT - 1, True), (KEPT + 1, False)):
        monkeypatch.setattr(time, "monotonic", lambda later=later: now + later)
        asked_for.done("job", asked_for.of("job"), {WHOLE_JOB: frozenset({"site-2"})})
        assert bool(asked_for.of("job")) is kept


@pytest.mark.parametrize(
    ("about", "ref", "site", "by"),
    [
        (("p/a",), "aws:p/a#k", "s", "alice"),
        (("p/a",), "aws:p/a", "s", "alice"),
        (("p/a#k",), "aws:p/a#k", "s", "alice"),
        (("p/a#k",), "aws:p/a#other", "s", "job j"),
        (("p/a",), "aws:p/ab#k", "s", "job j"),
        (("p/a",), "aws:p/a#1#k", "s", "job j"),  # a path may hold the sign
        (("p/a",), "vault:p/a#k", "s", "job j"),
        (("p/a",), None, "s", "job j"),
        ((), "aws:p/b#k", "s", "alice"),
        ((), None, None, "alice"),
    ],
)
def test_lines_are_of_whoever_asked_for_what_they_tell(
    about: tuple[str, ...], ref: str | None, site: str | None, by: str
) -> None:
    asked_for = AskedFor()
    asked_for.note("j", ALICE, about)
    cause = cause_of(JOB, asked_for.of("j"), Cause(run="r"))
    assert cause.of(ref, site)[0].id == by and cause.run == "r"


def test_what_is_done_on_a_site_is_asked_for_there_no_more() -> None:
    asked_for = AskedFor()
    for about in (("p/a",), ()):
        asked_for.note("j", ALICE, about)
    away = frozenset({"site-2"})
    asked_for.done("j", asked_for.of("j"), {"p/a": away, WHOLE_JOB: away})
    cause = cause_of(JOB, asked_for.of("j"), Cause())
    for ref in ("aws:p/a#k", "aws:p/b#k"):
        assert cause.of(ref, "site-1")[0].kind == "schedule" and cause.of(ref, "site-2")[0].id == "alice"


def test_what_was_released_is_whoever_released_it() -> None:
    asked_for = AskedFor()
    asked_for.note("j", ALICE, ("p/a#k",))
    asked_for.note("j", EVENT, ("p/a",))
    cause = cause_of(JOB, asked_for.of("j"), Cause())
    assert cause.of("aws:p/a#k", "s")[0] == ALICE and cause.of("aws:p/a#other", "s")[0] == EVENT
