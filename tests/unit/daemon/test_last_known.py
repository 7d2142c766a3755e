"""Who asks for something slow is not held up, and is never told nothing where something is known."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue

import pytest

from syncd.daemon import last_known
from syncd.daemon.last_known import LastKnown
from syncd.errors import LedgerBusy, LedgerError


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock on."""
    at = [0.0]
    monkeypatch.setattr(last_known.time, "monotonic", lambda: at[0])

    def move(seconds: float) -> None:
        at[0] += seconds

    return move


class Slow:
    """Work that ends when it is told to, with what it is told."""

    def __init__(self, move: Callable[[float], None], seconds: float) -> None:
        self._move, self._seconds = move, seconds
        self.ends: Queue[str | Exception] = Queue()
        self.begun = threading.Semaphore(0)
        self.number = 0

    def __call__(self, key: str) -> str:
        self.number += 1
        self.begun.release()
        end = self.ends.get(timeout=10)
        self._move(self._seconds)
        if isinstance(end, Exception):
            raise end
        return f"{key} {end}"


def test_what_is_quick_is_fresh_each_time(time: Callable[[float], None]) -> None:
    del time
    asked: list[str] = []
    known = LastKnown(lambda key: asked.append(key) or len(asked))
    assert [known("a"), known("a"), known("b")] == [1, 2, 3]


def test_the_first_slow_answer_is_on_its_way_and_then_known(
    time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_known, "PATIENCE", 0.01)
    monkeypatch.setattr(last_known, "FIRST_PATIENCE", 0.01)
    slow = Slow(time, 60)
    known = LastKnown(slow)
    for _ in range(3):
        with pytest.raises(LedgerBusy):
            known("a")
    assert slow.number == 1, "many ask, one works"
    _end(known, slow, "first")
    assert known("a") == "a first"
    time(300)
    assert known("a") == "a first"
    assert slow.number == 1, "what took a minute is kept for ten"
    time(400)
    assert known("a") == "a first", "the last answer at once, while a fresh one is made"
    slow.begun.acquire()
    slow.begun.acquire()
    _end(known, slow, "second")
    assert known("a") == "a second"


def test_a_quick_failure_is_told_and_tried_again(time: Callable[[float], None]) -> None:
    slow = Slow(time, 0)
    known = LastKnown(slow)
    slow.ends.put(LedgerError("the disk is gone"))
    with pytest.raises(LedgerError, match="disk is gone"):
        known("a")
    slow.ends.put("well")
    assert known("a") == "a well"


def test_a_slow_failure_is_told_once_and_tried_again_at_once(
    time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_known, "PATIENCE", 0.01)
    monkeypatch.setattr(last_known, "FIRST_PATIENCE", 0.01)
    slow = Slow(time, 60)
    known = LastKnown(slow)
    with pytest.raises(LedgerBusy):
        known("a")
    _end(known, slow, LedgerError("the disk is gone"))
    with pytest.raises(LedgerError, match="disk is gone"):
        known("a")
    _end(known, slow, "well")
    assert known("a") == "a well"
    time(1000)
    known("a")
    _end(known, slow, LedgerError("the disk is gone"))
    assert known("a") == "a well", "what was known says more than a failure"
    _end(known, slow, "better")
    assert known("a") == "a better"


def test_one_is_worked_out_at_a_time_and_few_are_kept(
    time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_known, "PATIENCE", 0.01)
    monkeypatch.setattr(last_known, "FIRST_PATIENCE", 0.01)
    monkeypatch.setattr(last_known, "MOST", 2)
    slow = Slow(time, 60)
    known = LastKnown(slow)
    for key in "abc":
        with pytest.raises(LedgerBusy):
            known(key)
    assert slow.number == 1
    for _ in "abc":
        slow.ends.put("x")
    _wait(known)
    assert [known(key) for key in "bc"] == ["b x", "c x"]
    with pytest.raises(LedgerBusy):
        known("a")
    slow.ends.put("y")
    _wait(known)


def _end(known: LastKnown[str, str], slow: Slow, how: str | Exception) -> None:
    slow.ends.put(how)
    _wait(known)


def _wait(known: LastKnown[str, str]) -> None:
    """Until nothing is under way."""
    for thread in threading.enumerate():
        if thread.name == "last-known":
            thread.join(10)
