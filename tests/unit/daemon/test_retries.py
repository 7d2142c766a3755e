"""When a job is tried again before its schedule says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest

from syncd.daemon.retries import FIRST, LAST, Retries

Later = Callable[[float], None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Let seconds pass."""
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


def waits(
    retries: Retries, later: Later, *runs: Iterable[str], most: int = 20, under: str = "a", **what: set[str]
) -> list[float]:
    """How long it waits each time in a row: `runs` fail one after the other at these places, the last one ever again."""
    found: list[float] = []
    while len(found) < most:
        began = retries.begins("j", under)
        faults = set(runs[min(len(found), len(runs) - 1)]) if runs else set()
        if (wait := retries.wait("j", faults, began=began, **what)) is None:
            break
        found.append(wait.total_seconds())
        later(found[-1])
    return found


def ended(
    retries: Retries, faults: Iterable[str] = (), lagging: Iterable[str] = (), *, began: float | None = None
) -> timedelta | None:
    """A run ended, that began just now if nothing else is said."""
    return retries.wait("j", set(faults), set(lagging), began=time.monotonic() if began is None else began)


def known(later: Later) -> Retries:
    """Of a job that ran before."""
    retries = Retries()
    retries.begins("j", "a")
    assert ended(retries, ()) is None
    return retries


ROW = [2, 2, 4, 8, 16, 32, 64, 128, 256, 512]
"""Seconds of the tries of a quarter of an hour."""


def test_what_somebody_asked_for_is_tried_ever_more_rarely_for_a_quarter_of_an_hour(later: Later) -> None:
    retries = known(later)
    retries.asked("j")
    assert waits(retries, later, {"kv/a"}) == ROW
    # What lasts is for the schedule, also where something else is asked for.
    retries.asked("j", {"kv/b"})
    assert waits(retries, later, {"kv/a"}) == []
    retries.asked("j", {"kv/b"})
    assert waits(retries, later, {"kv/a", "kv/b"})[:3] == [2, 2, 4]
    # But a person who asks for the job wants it tried now.
    retries.asked("j")
    assert waits(retries, later, {"kv/a", "kv/b"})[:3] == [2, 2, 4]


def test_however_many_places_fail_in_turn_it_is_one_row_of_tries(later: Later) -> None:
    retries = Retries()
    retries.begins("j", "a")
    assert waits(retries, later, *({f"kv/{number}"} for number in range(40))) == ROW
    assert waits(retries, later, {"kv/41"}) == []
    # Events that come all the while begin another row every ten minutes at most.
    began = 0
    for number in range(600):
        retries.asked("j", {"kv/event"})
        retries.begins("j", "a")
        began += ended(retries, {f"kv/{number}"}) == FIRST
        later(14)
    assert 2 * 600 * 14 / 900 > began > 0


def test_a_site_that_is_away_again_is_tried_again(later: Later) -> None:
    retries = known(later)
    for _ in range(3):
        assert waits(retries, later, away={"site"}) == []
        later(1_800)
        retries.asked("j", {"kv/a"})
        assert waits(retries, later, away={"site"}) == ROW


def test_what_a_schedule_meets_waits_for_the_schedule(later: Later) -> None:
    retries = known(later)
    assert waits(retries, later, {"kv/a"}) == []
    retries.asked("other")
    assert waits(retries, later, {"kv/a"}) == []
    retries.asked("j")
    retries.begins("j", "a")
    assert ended(retries, ()) is None
    assert waits(retries, later, {"kv/a"}) == [], "it was done"


@pytest.mark.parametrize("paths", [None, ("kv/b",)])
def test_who_asks_while_a_run_is_under_way_asks_for_the_next_one(later: Later, paths: tuple[str, ...] | None) -> None:
    retries = known(later)
    retries.asked("j")
    began = retries.begins("j", "a")
    later(1)
    retries.asked("j", paths)
    later(1)
    assert ended(retries, began=began) is None
    assert waits(retries, later, {"kv/a"}) == ROW
    retries.begins("j", "a")
    assert waits(retries, later, {"kv/c"}) == []


def test_a_run_of_the_configuration_before_takes_nothing_from_the_first_one_of_the_next(later: Later) -> None:
    """A reload begins one while the other one is under way."""
    retries = known(later)
    before = retries.begins("j", "a")
    later(1)
    first = retries.begins("j", "b")
    later(1)
    assert ended(retries, began=before) is None
    assert ended(retries, {"kv/a"}, began=first) == FIRST


def test_what_a_job_does_first_is_asked_for(later: Later) -> None:
    retries = Retries()
    for configuration in ("a", "b", "a"):
        assert waits(retries, later, {"kv/a"}, most=3, under=configuration) == [2, 2, 4]
        assert ended(retries, ()) is None
        assert waits(retries, later, {"kv/a"}, under=configuration) == []


def test_what_lags_is_sure_to_come_and_is_waited_for(later: Later) -> None:
    retries = known(later)
    found = waits(retries, later, lagging={"kv/a"}, most=14)
    assert found[:5] == [2, 2, 4, 8, 16] and found[-3:] == [LAST.total_seconds()] * 3
    # A path that lags anew is looked at soon.
    assert ended(retries, (), {"kv/a", "kv/b"}) == FIRST
    later(2 * 3600)
    assert ended(retries, (), {"kv/b"}) == FIRST, "it did not lag for long"
    for _ in range(2):
        later(600)
        assert ended(retries, (), {"kv/b"}) == LAST
    retries.asked("j", {"kv/b"})
    assert ended(retries, (), {"kv/b"}) == FIRST


def test_servers_that_answer_in_turn_are_asked_ever_more_rarely(later: Later) -> None:
    retries, found = known(later), list[float]()
    for number in range(40):
        wait = ended(retries, (), {f"kv/{number % 3}"})
        assert wait is not None
        found.append(wait.total_seconds())
        later(found[-1])
    assert min(found[-10:]) > 100
