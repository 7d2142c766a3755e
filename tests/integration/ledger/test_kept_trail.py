"""What is removed of the trail by age, and what a removal that is none leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from syncd.domain.audit import CAUSE, CONTROL, RUN, Actor, Cause, Entry
from syncd.domain.in_force import InForce
from syncd.domain.ports import AuditBatch
from syncd.ledger import audit as trail
from syncd.ledger.audit_reading import Filter
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from tests.fakes import SetClock

RIGHTS = {"tokens": {"alice": ["release"]}}


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def ledger(state: Path, clock: SetClock) -> Iterator[Ledger]:
    made = Ledger(sqlite_engine(state, durable=False), str(state), state, clock)
    with made.lock("s", holder="h", wait=timedelta(0)) as journal:
        for number in range(10):
            journal.write(audit=AuditBatch(notes=(Entry(event="drift.found", name=f"N{number}", site="s"),)))
    yield made
    made.close()


def heads_of(ledger: Ledger) -> dict[str, dict[int, str]]:
    return {stream: {seq: digest} for stream, (seq, digest) in ledger.audit.heads().items()}


def forged(ledger: Ledger, clock: SetClock, *, keep: int, pruned_in: str = CONTROL, checkpoints: Any = None) -> None:
    """Remove the lines of `s` up to one, with a checkpoint of one's own and a line that tells of it."""
    told = {"s": [keep, "f00"]} if checkpoints is None else checkpoints
    with ledger.writing() as connection:
        connection.execute(text("delete from syncd_audit where stream = 's' and seq <= :seq"), {"seq": keep})
        row = {"seq": keep}
        connection.execute(text("insert into syncd_audit_checkpoints values ('s', :seq, 'f00')"), row)
        entry = Entry(event="audit.pruned", detail={"lines": keep, "until": "2026", "checkpoints": told})
        trail.append(connection, pruned_in, [entry], clock())


def test_a_whole_stream_that_was_removed_is_named(ledger: Ledger, clock: SetClock) -> None:
    heads = heads_of(ledger)
    forged(ledger, clock, keep=max(heads["s"]))
    for expected in (heads, {}):
        (broken,), _ = ledger.audit.verify(expected)
        assert broken.stream == "s"


@pytest.mark.parametrize("keep", [1, 4, 9])
def test_a_part_of_a_stream_that_was_removed_is_named(ledger: Ledger, clock: SetClock, keep: int) -> None:
    forged(ledger, clock, keep=keep)
    assert [item.stream for item in ledger.audit.verify({})[0]] == ["s"]


@pytest.mark.parametrize("stream", ["t", "zz"])
def test_a_line_of_another_stream_vouches_for_nothing(ledger: Ledger, clock: SetClock, stream: str) -> None:
    with ledger.writing() as connection:
        trail.held_head(connection, stream)
    forged(ledger, clock, keep=4, pruned_in=stream, checkpoints={})
    broken, _ = ledger.audit.verify({})
    assert "s" in {item.stream for item in broken}


def test_what_is_in_force_stays_in_the_trail(ledger: Ledger, clock: SetClock) -> None:
    """A configuration that nobody changed for longer than lines are kept: it says who may release."""
    ledger.audit.note_configuration("digest", RIGHTS)
    for _ in range(30):
        clock.now += timedelta(days=1)
        ledger.audit.note(Entry(event="job.paused"))
        ledger.audit.prune(timedelta(days=5), None)
        ledger.audit.note_configuration("digest", RIGHTS)
        (line,) = ledger.audit.lines(Filter(event="config.loaded"))
        assert line["detail"]["tokens"] == RIGHTS["tokens"] and line["detail"]["digest"] == "digest"
    assert ledger.audit.verify({})[0] == []


def test_the_daemons_configuration_stays_as_the_daemons(ledger: Ledger, clock: SetClock) -> None:
    """A command with another file loads its own, and serves nobody."""
    CAUSE.set(Cause(actor=Actor("system", "syncd", "syncd run"), config="of the daemon"))
    ledger.audit.note_configuration("daemon", RIGHTS)
    loaded_at = clock.now
    CAUSE.set(Cause(actor=Actor("person", "ann", "syncd pause")))
    for day in range(12):
        clock.now += timedelta(days=1)
        ledger.audit.note_configuration(f"laptop {day % 2}", {"tokens": {}})
        ledger.audit.prune(timedelta(days=5), None)
    lines = [line for line in ledger.audit.lines(Filter(event="config.loaded")) if line["detail"]["digest"] == "daemon"]
    assert [line["actor"]["via"] for line in lines] == ["syncd run"] and lines[0]["config"] == "of the daemon"
    assert datetime.fromisoformat(lines[0]["detail"]["since"]) == loaded_at
    CAUSE.set(Cause())


def by(via: str, digest: str) -> None:
    CAUSE.set(Cause(actor=Actor("system", "syncd", via), config=digest))


def in_force(ledger: Ledger, at: datetime) -> str | None:
    found = InForce(at)
    for line in ledger.audit.lines(Filter(event="config.loaded")):
        found.take(line)
    return found.line["detail"]["digest"] if found.line else None


@pytest.mark.parametrize("commands_a_day", [0, 5])
def test_each_day_that_is_kept_knows_what_was_in_force(ledger: Ledger, clock: SetClock, commands_a_day: int) -> None:
    """However old its line is, however often it was told again, and however many commands load other files."""
    loads, keep = {0: "a", 8: "b", 9: "c", 30: "d"}, 10
    begin, true = clock.now, {}
    for day in range(48):
        if day in loads:
            by(RUN, loads[day])
            ledger.audit.note_configuration(loads[day], RIGHTS)
        for number in range(commands_a_day):
            by("syncd sync", f"file {number}")
            ledger.audit.note_configuration(f"file {number}", {"tokens": {}})
        true[day] = max(key for key in loads if key <= day)
        clock.now += timedelta(days=1)
        ledger.audit.note(Entry(event="job.paused"))
        ledger.audit.prune(timedelta(days=keep), None)
        if day % 6 == 5:
            for past in range(max(0, day - keep + 1), day + 1):
                assert in_force(ledger, begin + timedelta(days=past, hours=12)) == loads[true[past]], (day, past)
    assert ledger.audit.verify({})[0] == []
    CAUSE.set(Cause())


@pytest.mark.parametrize("prunes", [False, True])
def test_the_last_one_loaded_is_in_force_whatever_the_clocks_said(
    ledger: Ledger, clock: SetClock, prunes: bool
) -> None:
    """A is loaded on a node whose clock is five minutes ahead, and B two minutes later on another one."""
    true = clock.now
    for digest, ahead, minutes in (("before", 0, 0), ("a", 5, 10), ("b", 0, 12)):
        clock.now = true + timedelta(minutes=minutes + ahead)
        by(RUN, digest)
        ledger.audit.note_configuration(digest, RIGHTS)
    for day in range(1, 30 if prunes else 2):
        clock.now = true + timedelta(days=day)
        ledger.audit.note(Entry(event="job.paused"))
        if prunes:
            ledger.audit.prune(timedelta(days=5), None)
    assert in_force(ledger, clock.now) == "b"
    CAUSE.set(Cause())


def test_a_daemon_says_what_it_loaded_though_a_command_had_it_first(ledger: Ledger, clock: SetClock) -> None:
    """CI runs the new file once, and then the daemon is restarted with it."""
    for via, digest in ((RUN, "alice"), ("syncd sync", "bob"), (RUN, "bob"), ("syncd sync", "bob"), (RUN, "bob")):
        clock.now += timedelta(hours=1)
        by(via, digest)
        ledger.audit.note_configuration(digest, RIGHTS)
    assert in_force(ledger, clock.now + timedelta(hours=1)) == "bob"
    lines = list(ledger.audit.lines(Filter(event="config.loaded")))
    assert [(line["actor"]["via"], line["detail"]["digest"]) for line in lines] == [
        (RUN, "alice"), ("syncd sync", "bob"), (RUN, "bob"),
    ]  # fmt: skip
    CAUSE.set(Cause())


def test_a_cursor_goes_forward_alone(ledger: Ledger) -> None:
    ledger.audit.mark_shipped("sink", {"s": 7})
    ledger.audit.mark_shipped("sink", {"s": 3, CONTROL: 1})
    assert [(line.stream, line.seq) for line in ledger.audit.unshipped("sink", 3)] == [("s", 8), ("s", 9), ("s", 10)]
