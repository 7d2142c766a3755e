"""What one daemon passes on to another through the ledger is taken once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import pytest

from syncd.domain.audit import Actor
from syncd.ledger import wakeups
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from syncd.ledger.wakeups import Wish

AT = datetime(2026, 6, 1, tzinfo=UTC)
DEVICE = Actor("event", "vault audit", "token device")


@pytest.fixture
def ledger(state: Path) -> Iterator[Ledger]:
    made = Ledger(sqlite_engine(state, durable=False), str(state), state)
    yield made
    made.close()


def test_what_is_passed_on_is_taken_once(ledger: Ledger) -> None:
    assert ledger.wakeups.take() == []
    wishes = [
        Wish(by=DEVICE, job="b"),
        Wish(by=DEVICE, job="x" * 300, sites=frozenset({"shop", "bank"})),
        Wish(by=DEVICE, paths=(("team", "kv/*"), (None, "kv/a")), sites=frozenset()),
        Wish(by=DEVICE, paths=((None, "kv/b"),), left_on=frozenset({"bank"}), ends=AT),
        Wish(by=DEVICE, paths=(("team", "kv/a"),), expected=(("team", "kv/a", 0), ("team", "kv/b", 7))),
    ]
    for wish in (*wishes, *wishes):
        ledger.wakeups.put(wish)
    assert sorted(ledger.wakeups.take(), key=str) == sorted(wishes, key=str)
    assert ledger.wakeups.take() == []


def test_no_more_are_kept_than_somebody_will_look_at(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device goes on posting, and nobody takes it."""
    monkeypatch.setattr(wakeups, "MOST", 3)
    kept = [ledger.wakeups.put(Wish(by=DEVICE, paths=((None, f"kv/{number}"),))) for number in range(9)]
    assert kept == [True] * 3 + [False] * 6, "and whoever asks is told"
    assert len(ledger.wakeups.take()) == 3


@pytest.mark.parametrize(
    "kept", ["", "nonsense", "[1]", '{"job": 3}', '{"paths": [["x"], 3, ["a", 1]]}', '{"sites": null, "by": []}']
)
def test_what_cannot_be_read_wakes_no_job_and_goes(ledger: Ledger, kept: str) -> None:
    ledger.set_meta("wakeup:x", kept)
    (wish,) = ledger.wakeups.take()
    assert (wish.job, wish.paths, wish.by) == ("", (), Actor("system", "syncd")) and ledger.wakeups.take() == []


def test_of_one_path_the_version_of_both_wishes_is_looked_for(ledger: Ledger) -> None:
    def wish(*versions: int) -> Wish:
        told = tuple(("", f"kv/{number}", version) for number, version in enumerate(versions))
        return Wish(by=DEVICE, paths=(("", "kv/0"),), expected=told)

    for one in (wish(3), wish(2), wish(2, 5)):
        assert ledger.wakeups.put(one)
    (both,) = ledger.wakeups.take()
    assert both.expected == (("", "kv/0", 3), ("", "kv/1", 5))
    for one in (wish(7), wish(0), wish(1)):
        ledger.wakeups.put(one)
    assert ledger.wakeups.take()[0].expected == (("", "kv/0", 0),), "deleted between the two"


@pytest.mark.parametrize(
    ("ends", "left"), [(None, inf), (AT + timedelta(seconds=8), 8.0), (AT - timedelta(days=1), -86_400.0)]
)
def test_a_wish_is_in_nobodys_name_once_it_is_over(ends: datetime | None, left: float) -> None:
    assert Wish(by=DEVICE, ends=ends).seconds_left(AT) == left
