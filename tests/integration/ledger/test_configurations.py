"""Of the daemons on one ledger the one that loaded its configuration last works, and no older one beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncd.errors import ConfigError, LedgerError
from syncd.ledger.configurations import ALIVE, HEARD, KEYS
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger


class Daemons:
    """Two processes on one ledger, and one clock."""

    def __init__(self, path: Path) -> None:
        self.now = datetime(2026, 11, 29, 12, tzinfo=UTC)
        self.steady = 0.0
        self.path = path
        self.one, self.two = self.another(), self.another()

    def another(self) -> Ledger:
        """One more process on the ledger."""
        made = Ledger(sqlite_engine(self.path, durable=False), str(self.path), self.path, lambda: self.now)
        made.configurations._steady = lambda: self.steady
        return made

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)
        self.steady += timedelta(**span).total_seconds()

    def steps(self, **span: float) -> None:
        """The clock is set, and no time passes."""
        self.now += timedelta(**span)

    def silence(self) -> None:
        """So long that who says nothing counts as gone, for the first one, which listens."""
        self.later(seconds=ALIVE.total_seconds() + 1)
        works(self.one)
        self.later(seconds=HEARD.total_seconds() + 1)


@pytest.fixture
def daemons(state: Path) -> Iterator[Daemons]:
    with ExitStack() as stack:
        both = Daemons(state)
        stack.callback(both.one.close)
        stack.callback(both.two.close)
        both.one.configurations.load("old", "the first")
        both.later(seconds=30)
        yield both


def lives(ledger: Ledger) -> None:
    """A minute of its own has passed."""
    ledger.configurations._told_at = float("-inf")
    ledger.configurations.tell_that_it_lives()


def works(ledger: Ledger) -> bool:
    try:
        with ledger.lock("s", holder="tester", wait=timedelta(0)):
            return True
    except ConfigError as error:
        assert "loaded a newer configuration" in error.message
        return False


def test_the_older_one_sends_nothing_while_the_newer_one_lives(daemons: Daemons) -> None:
    daemons.two.configurations.load("new", "the second")
    for _ in range(20):
        assert not works(daemons.one) and works(daemons.two)
        daemons.later(minutes=5)
        lives(daemons.two)


def test_it_lives_though_its_schedules_are_rare(daemons: Daemons) -> None:
    daemons.two.configurations.load("new", "the second")
    for _ in range(60):
        daemons.later(minutes=1)
        lives(daemons.one)
        lives(daemons.two)
    assert not works(daemons.one) and works(daemons.two)


def test_one_that_ends_in_good_order_need_not_be_waited_for(daemons: Daemons) -> None:
    daemons.two.configurations.load("new", "the second")
    daemons.two.configurations.leave()
    assert works(daemons.one)


@pytest.mark.parametrize("later", ["old", "new"])
def test_of_replicas_the_one_that_loaded_last_counts_for_all(daemons: Daemons, later: str, state: Path) -> None:
    """A third one loads another file between two that have the same one."""
    daemons.two.configurations.load("new", "the second")
    daemons.later(seconds=1)
    third = daemons.another()
    third.configurations.load(later, "the third")
    lives(daemons.one)
    lives(daemons.two)
    assert (works(daemons.one), works(daemons.two), works(third)) == (later == "old", later == "new", True)
    # Another one with the same file has not ended with it.
    third.configurations.leave()
    lives(daemons.one if later == "old" else daemons.two)
    assert works(daemons.one) is (later == "old")
    third.close()


def test_the_same_configuration_is_for_all(daemons: Daemons) -> None:
    daemons.two.configurations.load("old", "the second")
    assert works(daemons.one) and works(daemons.two)


def test_once_the_newer_one_is_gone_the_older_one_goes_on(daemons: Daemons) -> None:
    daemons.two.configurations.load("new", "the second")
    assert works(daemons.two) and not works(daemons.one)
    daemons.silence()
    assert works(daemons.one)
    assert works(daemons.two), "one that was only slow has the newer one all the same"
    assert not works(daemons.one)


def test_loading_it_again_is_what_counts(daemons: Daemons) -> None:
    """A rollout that is undone: the old file is loaded anew."""
    daemons.two.configurations.load("new", "the second")
    daemons.later(seconds=1)
    daemons.one.configurations.load("old", "the first")
    assert works(daemons.one) and not works(daemons.two)


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_jumps_stops_nobody_for_good(daemons: Daemons, hours: float) -> None:
    daemons.two.configurations.load("new", "the second")
    daemons.later(hours=hours)
    assert works(daemons.two)
    daemons.later(hours=-hours)
    assert works(daemons.two)


@pytest.mark.parametrize("by", [{"minutes": -2}, {"minutes": 11}, {"hours": -3}, {"hours": 3}, {"days": 400}])
def test_a_clock_that_steps_gives_the_older_one_no_turn(daemons: Daemons, by: dict[str, float]) -> None:
    """Nor does a night's sleep of the machine or of the database: the newer one has a minute to say its word."""
    daemons.two.configurations.load("new", "the second")
    assert not works(daemons.one)
    daemons.steps(**by)
    for _ in range(3):
        assert not works(daemons.one)
        daemons.later(seconds=20)
    lives(daemons.two)
    for _ in range(10):
        assert not works(daemons.one) and works(daemons.two)
        daemons.later(minutes=1)
        lives(daemons.two)


@pytest.mark.parametrize("ahead", [timedelta(hours=1), -timedelta(hours=1)])
def test_the_last_one_counts_whatever_a_clock_said_when_it_was_loaded(state: Path, ahead: timedelta) -> None:
    with ExitStack() as stack:
        both = Daemons(state)
        stack.callback(both.one.close)
        stack.callback(both.two.close)
        both.now += ahead
        both.one.configurations.load("old", "the first")
        both.now -= ahead
        both.later(minutes=1)
        both.two.configurations.load("new", "the second")
        for _ in range(20):
            assert not works(both.one) and works(both.two)
            both.later(minutes=5)
            lives(both.one)
            lives(both.two)


def test_a_number_is_never_given_twice(daemons: Daemons, state: Path) -> None:
    """The newer one falls silent, the older one goes on in its place, and a third one is rolled out."""
    for _ in range(3):
        daemons.two.configurations.load("new", "the second")
    daemons.silence()
    lives(daemons.one)
    assert works(daemons.one)
    third = daemons.another()
    third.configurations.load("third", "the third")
    for _ in range(3):
        for ledger in (daemons.one, daemons.two, third):  # the second one has come back
            lives(ledger)
            assert works(ledger) is (ledger is third)
    third.close()


@pytest.mark.parametrize("how", ["leaves", "falls silent"])
def test_the_older_one_says_within_a_minute_that_it_goes_on(daemons: Daemons, how: str) -> None:
    daemons.two.configurations.load("new", "the second")
    if how == "leaves":
        daemons.two.configurations.leave()
    else:
        daemons.silence()
    command = daemons.two.configurations
    assert command.another_of_late("of a command") is not None, "whoever is about to go on keeps its trail"
    lives(daemons.one)
    told = command.another_in_force("of a command")
    assert told is not None and told.by == "the first"
    daemons.later(days=1)
    assert command.another_of_late("of a command") is None, "no daemon for a day is none"


def test_another_one_with_the_newer_file_lives_on(daemons: Daemons, state: Path) -> None:
    """One of two new replicas is stopped in the middle of a rollout."""
    third = daemons.another()
    third.configurations.load("new", "the third")
    daemons.two.configurations.load("new", "the second")
    daemons.two.configurations.leave()
    assert not works(daemons.one) and works(third)
    third.close()


def test_a_run_under_way_ends_as_it_began(daemons: Daemons, state: Path) -> None:
    """The daemon's own reload stops none of its runs; another daemon's does."""
    again = daemons.another()
    again.configurations.load("changed", "the first")
    assert works(daemons.one) and works(again)
    daemons.two.configurations.load("new", "the second")
    assert not works(daemons.one) and not works(again) and works(daemons.two)
    daemons.two.configurations.leave()
    again.configurations.leave()
    assert daemons.two.configurations.another_in_force("x") is None, "a process is there once"
    again.close()


@pytest.mark.parametrize("asks", ["works", "lives"])
def test_what_could_not_be_said_is_owed(daemons: Daemons, asks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger fails in the moment of a reload: nothing is sent by a configuration that does not count."""
    two = daemons.two.configurations
    with monkeypatch.context() as patch:
        patch.setattr(two, "_now", _fails)
        for attempt in (lambda: two.load("new", "the second"), two.tell_that_it_lives, lambda: works(daemons.two)):
            with pytest.raises(LedgerError):
                attempt()
        assert works(daemons.one)
    two.tell_that_it_lives() if asks == "lives" else works(daemons.two)
    assert works(daemons.two) and not works(daemons.one)


def _fails(_: object) -> None:
    raise LedgerError("the database went away", hint="wait")


def test_why_one_rests_is_told_to_people(daemons: Daemons) -> None:
    daemons.two.configurations.load("new", "the second")
    assert "newer configuration (the second)" in daemons.one.configurations.why_it_rests()
    assert daemons.two.configurations.why_it_rests() == ""
    daemons.two.configurations.leave()
    assert daemons.one.configurations.why_it_rests() == ""


@pytest.mark.parametrize("kept", ["", "nonsense", "{}", "[1]", '{"digest": 3, "since": "x", "seen": null}'])
def test_what_cannot_be_read_forbids_nothing(daemons: Daemons, kept: str) -> None:
    daemons.two.set_meta(f"{KEYS}x", kept)
    assert works(daemons.one)


def test_a_command_is_told_and_not_stopped(daemons: Daemons) -> None:
    assert works(daemons.two), "it is no daemon"
    told = daemons.two.configurations.another_in_force("mine")
    assert told is not None and told.by == "the first"
    assert daemons.two.configurations.another_in_force("old") is None
    daemons.later(seconds=ALIVE.total_seconds() + 1)
    assert daemons.two.configurations.another_in_force("mine") is None
