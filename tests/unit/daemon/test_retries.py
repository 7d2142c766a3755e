"""When a job is tried again before its schedule says so."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from syncd.daemon.asked_for import KEPT
from syncd.daemon.retries import LAST, Retries

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
    retries: Retries, later: Later, faults: set[str], lagging: set[str] = frozenset(), most: int = 20
) -> list[float]:
    """How long it waits each time in a row, while these last."""
    found = []
    while len(found) < most and (wait := retries.wait("j", faults, lagging)) is not None:
        found.append(wait.total_seconds())
        later(found[-1])
    return found


def known(later: Later) -> Retries:
    """Of a job that ran before."""
    retries = Retries()
    assert retries.wait("j", ()) is None
    return retries


def test_what_somebody_asked_for_is_tried_ever_more_rarely_for_a_quarter_of_an_hour(later: Later) -> None:
    retries = known(later)
    retries.asked("j")
    assert waits(retries, later, {"kv/a"}) == [2, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    # What lasts is for the schedule, also where something else is asked for.
    retries.asked("j", {"kv/b"})
    assert waits(retries, later, {"kv/a"}) == []
    retries.asked("j", {"kv/b"})
    assert waits(retries, later, {"kv/a", "kv/b"})[:3] == [2, 2, 4]
    # But a person who asks for the job wants it tried now.
    retries.asked("j")
    assert waits(retries, later, {"kv/a", "kv/b"})[:3] == [2, 2, 4]


def test_what_a_schedule_meets_waits_for_the_schedule(later: Later) -> None:
    retries = known(later)
    assert waits(retries, later, {"kv/a"}) == []
    retries.asked("other")
    assert waits(retries, later, {"kv/a"}) == []
    retries.asked("j")
    assert retries.wait("j", ()) is None
    assert waits(retries, later, {"kv/a"}) == [], "it was done"


def test_what_a_job_does_first_is_asked_for(later: Later) -> None:
    retries = Retries()
    assert waits(retries, later, {"kv/a"}, most=3) == [2, 2, 4]
    assert retries.wait("j", ()) is None and waits(retries, later, {"kv/a"}) == []
    retries.begin_anew()
    assert waits(retries, later, {"kv/a"}, most=3) == [2, 2, 4]


def test_what_lags_is_sure_to_come_and_is_waited_for(later: Later) -> None:
    retries = known(later)
    found = waits(retries, later, set(), {"kv/a"}, most=14)
    assert found[:5] == [2, 2, 4, 8, 16] and found[-3:] == [LAST.total_seconds()] * 3
    # A path that lags anew is looked at soon.
    assert retries.wait("j", (), {"kv/a", "kv/b"}).total_seconds() == 2  # type: ignore[union-attr]
    later(KEPT)
    retries.asked("j", {"kv/a"})
    assert retries.wait("j", (), {"kv/a"}).total_seconds() == 2  # type: ignore[union-attr]
