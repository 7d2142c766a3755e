"""What follows the runs of jobs holds up no job, and is done once for all that ended meanwhile."""

from __future__ import annotations

import threading

import pytest

from syncd.bootstrap import after_run
from syncd.bootstrap.after_run import AfterRun


def with_a_slow_step() -> tuple[AfterRun, threading.Event, threading.Event, list[int]]:
    """It has begun. Returns: with it, what ends all, what lets it go on, and its calls."""
    after, goes_on, begun, calls = (
        AfterRun(ended := threading.Event()),
        threading.Event(),
        threading.Event(),
        list[int](),
    )

    def slow() -> None:
        calls.append(1)
        begun.set()
        goes_on.wait(10)

    after.append(slow)
    after.soon()
    assert begun.wait(10)
    return after, ended, goes_on, calls


def test_a_step_that_is_stuck_holds_up_nobody() -> None:
    after, ended, goes_on, calls = with_a_slow_step()
    for _ in range(50):
        after.soon()
    goes_on.set()
    ended.set()
    after.end()
    assert 2 <= len(calls) <= 3, "once for all that ended meanwhile, and once at the end"


def test_the_end_waits_for_no_step_that_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after_run, "LAST_SECONDS", 0.05)
    after, ended, goes_on, calls = with_a_slow_step()
    ended.set()
    after.end()
    assert calls == [1]
    goes_on.set()


def test_a_step_with_a_bug_ends_itself_alone() -> None:
    after, calls = AfterRun(threading.Event()), list[str]()
    after.append(lambda: calls.append("first"))
    after.append(lambda: calls.index("nobody") and None)
    after.append(lambda: calls.append("third"))
    after.end()
    assert calls == ["first", "third"]
