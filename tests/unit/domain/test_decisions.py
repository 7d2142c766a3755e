"""Batches that wait, releases, pauses: bound to what was decided, and to the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain.decisions import HeldAction, Pause, batched, protective_now

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def waiting(name: str, to: str = "kv2:2@x", cause: str = "rule prod") -> HeldAction:
    return HeldAction(
        site="s", job="j", target="t", cause=cause, action="update", name=name, ref=f"v:{name}", from_version="kv2:1@x",
        to_version=to, remote_id="id",
    )  # fmt: skip


def test_what_comes_together_is_one_batch_and_causes_are_apart() -> None:
    found = batched([waiting("A"), waiting("B"), waiting("C", cause="max_updates")], (), NOW)
    assert [(one.name, len(one.batch)) for one in found] == [("C", 12), ("A", 12), ("B", 12)]
    assert found[1].batch == found[2].batch != found[0].batch
    again = batched([waiting("B"), waiting("A"), waiting("C", cause="max_updates")], (), NOW)
    assert [one.batch for one in again] == [one.batch for one in found], "the same actions have the same id"


def test_what_changes_leaves_its_batch_and_the_rest_keeps_it() -> None:
    first = batched([waiting("A"), waiting("B")], (), NOW)
    later = batched([waiting("A", to="kv2:3@y"), waiting("B")], first, NOW + timedelta(hours=1))
    batches = {one.name: one.batch for one in later}
    assert batches["B"] == first[0].batch != batches["A"]
    assert {one.name: one.since for one in later}["B"] == NOW


@pytest.mark.parametrize(("ago", "holds"), [(0, True), (23, True), (25, False), (-1, False)])
def test_a_release_holds_for_a_day_and_never_from_the_future(ago: int, holds: bool) -> None:
    one = replace(waiting("A"), released_at=NOW - timedelta(hours=ago))
    assert one.is_released(NOW) is holds and not waiting("A").is_released(NOW)


def test_whom_a_pause_covers() -> None:
    def pause(scope: str, name: str) -> Pause:
        return Pause(scope=scope, name=name, at=NOW, until=None, by="ann", reason="x")

    assert (
        pause("all", "").covers("a", "b")
        and pause("job", "a").covers("a", "b")
        and pause("target", "b").covers("a", "b")
    )
    assert not pause("job", "b").covers("a", "b") and not pause("target", "a").covers("a", "b")
    assert "until it is resumed" in str(pause("job", "a"))


def test_a_jump_of_the_clock_ends_no_protection() -> None:
    jump = (NOW, timedelta(days=3))
    assert protective_now(NOW + timedelta(minutes=5), jump) == NOW + timedelta(minutes=5) - timedelta(days=3)
    assert protective_now(NOW + timedelta(hours=2), jump) == NOW + timedelta(hours=2)
    assert protective_now(NOW, None) == NOW
