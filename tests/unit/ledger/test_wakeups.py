"""What one daemon passes on to another through the ledger is taken once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.domain.audit import Actor
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger

DEVICE = Actor("event", "vault audit", "token device")


@pytest.fixture
def ledger(state: Path) -> Iterator[Ledger]:
    made = Ledger(sqlite_engine(state, durable=False), str(state), state)
    yield made
    made.close()


def test_what_is_passed_on_is_taken_once(ledger: Ledger) -> None:
    assert ledger.wakeups.take() == []
    for job in ("b", "a", "b", "x" * 300):
        ledger.wakeups.put(job, DEVICE)
    assert ledger.wakeups.take() == [("a", DEVICE), ("b", DEVICE), ("x" * 300, DEVICE)]
    assert ledger.wakeups.take() == []


@pytest.mark.parametrize("kept", ["", "nonsense", "[1]", '{"job": 3}'])
def test_what_cannot_be_read_wakes_no_job_and_goes(ledger: Ledger, kept: str) -> None:
    ledger.set_meta("wakeup:x", kept)
    assert ledger.wakeups.take() == [("", Actor("system", "syncd"))] and ledger.wakeups.take() == []
