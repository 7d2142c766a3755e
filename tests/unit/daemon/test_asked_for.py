"""Which faults keep a run from what somebody asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from syncd.daemon.asked_for import WHOLE_JOB, AskedFor, has_failed
from syncd.domain import Create, DesiredSecret, Outcome, ReadFailure, SecretRef, SyncReport
from syncd.domain.audit import Actor
from syncd.errors import SecretRefused, SourceUnavailable, TargetUnavailable

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


def test_who_asked_is_forgotten_with_what_was_done_and_no_sooner() -> None:
    alice, bob = Actor("token", "alice"), Actor("token", "bob")
    asked_for = AskedFor()
    asked_for.note("job", alice, ("p/a", "p/b"))
    asked_for.note("job", bob, ())
    asked = asked_for.of("job")
    assert asked == {"p/a": alice, "p/b": alice, WHOLE_JOB: bob} and asked_for.of("other") == {}
    asked_for.done("job", asked, {"p/b"})
    assert asked_for.of("job") == {"p/b": alice}
    # Who asks while it runs is heard again.
    asked = asked_for.of("job")
    asked_for.note("job", bob, ("p/b",))
    asked_for.done("job", asked, set())
    assert asked_for.of("job") == {"p/b": bob}
