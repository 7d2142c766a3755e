"""The audit trail in both ledgers: streams, intents and their one end, and what `verify` sees."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from syncd.domain.audit import CONTROL, Entry
from syncd.domain.ports import AuditBatch
from syncd.errors import LedgerError
from syncd.ledger.audit import append
from syncd.ledger.audit_reading import Filter
from syncd.ledger.store import Ledger
from tests.contract.test_stores import RECORD, hold, ledger, opened, place  # noqa: F401  # fixtures


def intent(name: str) -> Entry:
    return Entry(event="secret.create", outcome="intent", name=name, site="s", job="j")


def end(name: str, outcome: str = "done") -> Entry:
    return Entry(event="secret.create", outcome=outcome, name=name, site="s", job="j")


def written(ledger: Ledger) -> None:  # noqa: F811
    with hold(ledger) as journal:
        journal.write(audit=AuditBatch(intents=(intent("A"), intent("B"))))
        journal.write(audit=AuditBatch(ends=(end("B"),), intents=(intent("C"),)))
        journal.write(audit=AuditBatch(ends=(end("A"), end("C", "failed"))))


def rows(ledger: Ledger, stream: str = "s") -> list[tuple[int, str, str | None, str | None, int | None]]:  # noqa: F811
    lines = [line for line in ledger.audit.lines(Filter()) if line["stream"] == stream]
    lines.sort(key=lambda line: line["seq"])
    return [(line["seq"], line["event"], line["name"], line["outcome"], line["intent"]) for line in lines]


def test_each_intent_has_one_end_that_names_it(ledger: Ledger) -> None:  # noqa: F811
    written(ledger)
    assert rows(ledger) == [
        (1, "audit.opened", None, None, None),
        (2, "secret.create", "A", "intent", None),
        (3, "secret.create", "B", "intent", None),
        (4, "secret.create", "B", "done", 3),
        (5, "secret.create", "C", "intent", None),
        (6, "secret.create", "A", "done", 2),
        (7, "secret.create", "C", "failed", 5),
    ]
    assert ledger.audit.verify({}) == ([], 7)


def test_what_a_killed_process_had_under_way_ends_as_unknown_once(place: tuple[str, str]) -> None:  # noqa: F811
    killed = opened(place)
    with hold(killed) as journal:
        journal.write(audit=AuditBatch(intents=(intent("A"), intent("B"))))
        journal.write(audit=AuditBatch(ends=(end("A"),)))
    killed.close()
    later = opened(place)
    for _ in range(2):
        with hold(later):
            pass
    assert rows(later)[-1] == (5, "secret.create", "B", "unknown", 3) and len(rows(later)) == 5
    assert later.audit.verify({}) == ([], 5)
    later.close()


def test_a_row_and_its_line_are_written_together_or_not_at_all(ledger: Ledger) -> None:  # noqa: F811
    written(ledger)
    before = ledger.audit_heads()
    unwritable = replace(intent("D"), detail={"what": object()})
    with hold(ledger) as journal, pytest.raises(TypeError):
        journal.write(put=[RECORD], audit=AuditBatch(intents=(unwritable,)))
    assert ledger.audit_heads() == before and ledger.records("s") == ()


def test_many_begin_one_stream_at_once(place: tuple[str, str]) -> None:  # noqa: F811
    ledgers, ready = [opened(place) for _ in range(4)], threading.Barrier(4)

    def hold_and_write(one: Ledger, number: int, stream: str) -> None:
        with one.reading():  # connected
            ready.wait()
        with one.writing() as connection:
            append(connection, stream, [Entry(event="secret.frozen", name=str(number))], one._clock())

    with ThreadPoolExecutor(4) as pool:
        for stream in map(str, range(20)):
            list(pool.map(hold_and_write, ledgers, range(4), [stream] * 4))
    assert ledgers[0].audit.verify({}) == ([], 20 * 5)
    for one in ledgers:
        one.close()


def test_a_finding_has_a_line_when_it_begins_and_when_it_ends(ledger: Ledger) -> None:  # noqa: F811
    drift = {("drift.found", "A"): Entry(event="drift.found", name="A", site="s", job="j")}
    for open_now in (drift, drift, {}, {}):
        with hold(ledger) as journal:
            journal.findings("j", open_now, ())
    assert [row[1:3] for row in rows(ledger)[1:]] == [("drift.found", "A"), ("finding.ended", "A")]


def test_the_control_stream_has_a_line_for_each_other_configuration(ledger: Ledger) -> None:  # noqa: F811
    for digest in ("a", "a", "b", "b", "a"):
        ledger.audit.note_configuration(digest, {})
    assert [row[1] for row in rows(ledger, CONTROL)] == ["audit.opened", *["config.loaded"] * 3]


TAMPERED = {
    "altered": ('UPDATE syncd_audit SET line = replace(line, \'"name":"A"\', \'"name":"Z"\') WHERE seq = 2', 2),
    "a column": ("UPDATE syncd_audit SET name = 'Z' WHERE seq = 3", 3),
    "a hash": ("UPDATE syncd_audit SET hash = 'f' WHERE seq = 4", 4),
    "removed": ("DELETE FROM syncd_audit WHERE seq = 3", 3),
    "the first": ("DELETE FROM syncd_audit WHERE seq = 1", 1),
    "the tail": ("DELETE FROM syncd_audit WHERE seq > 5", 6),
    "moved": ("UPDATE syncd_audit SET seq = 99 WHERE seq = 4", 4),
    "all": ("DELETE FROM syncd_audit", 1),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_done_to_it_is_seen_and_where(ledger: Ledger, what: str) -> None:  # noqa: F811
    written(ledger)
    statement, seq = TAMPERED[what]
    with ledger.writing() as connection:
        connection.execute(text(statement))
    broken, _ = ledger.audit.verify({})
    assert [(one.stream, one.seq) for one in broken] == [("s", seq)]


def test_a_tail_cut_off_with_its_head_needs_heads_kept_elsewhere(ledger: Ledger) -> None:  # noqa: F811
    written(ledger)
    seq, digest = ledger.audit_heads("s")["s"]
    (earlier,) = (line for line in ledger.audit.lines(Filter()) if line["seq"] == 5)
    with ledger.writing() as connection:
        connection.execute(text("DELETE FROM syncd_audit WHERE seq > 5"))
        update = text("UPDATE syncd_audit_heads SET seq = 5, hash = :hash")
        connection.execute(update, {"hash": earlier["hash"]})
    assert ledger.audit.verify({})[0] == []
    assert [(one.stream, one.seq) for one in ledger.audit.verify({"s": {seq: digest}})[0]] == [("s", 6)]
    assert [(one.stream, one.seq) for one in ledger.audit.verify({"gone": {1: digest}})[0]] == [("gone", 1)]
    assert [(one.stream, one.seq) for one in ledger.audit.verify({"s": {5: "f" * 64}})[0]] == [("s", 5)]


def test_lines_are_found_by_what_they_say(ledger: Ledger) -> None:  # noqa: F811
    written(ledger)
    ledger.audit.note(Entry(event="secret.frozen", name="A", site="s"))
    assert [line["outcome"] for line in ledger.audit.lines(Filter(name="A"))] == ["intent", "done", None]
    assert len(list(ledger.audit.lines(Filter(event="secret.*")))) == 7
    assert len(list(ledger.audit.lines(Filter(site="s"), most=2))) == 2
    (newest,) = ledger.audit.lines(Filter(), most=1)
    assert newest["event"] == "secret.frozen"
    now = ledger._clock()
    assert not list(ledger.audit.lines(Filter(since=now + timedelta(seconds=1))))
    assert list(ledger.audit.lines(Filter(until=now + timedelta(seconds=1))))


def test_a_look_beside_a_writer_is_no_alarm(place: tuple[str, str]) -> None:  # noqa: F811
    writer, reader, stop = opened(place), opened(place), threading.Event()

    def write() -> None:
        while not stop.is_set():
            writer.audit.note(Entry(event="secret.frozen"))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert [reader.audit.verify({})[0] for _ in range(15)] == [[]] * 15
    finally:
        stop.set()
        thread.join()
        writer.close()
        reader.close()


def test_a_head_that_is_gone_or_set_back_is_seen_and_holds_up_writing(ledger: Ledger) -> None:  # noqa: F811
    written(ledger)
    with ledger.writing() as connection:
        connection.execute(text("UPDATE syncd_audit_heads SET seq = 3"))
    assert [(one.stream, one.seq) for one in ledger.audit.verify({})[0]] == [("s", 3)]
    with ledger.writing() as connection:
        connection.execute(text("DELETE FROM syncd_audit_heads"))
    assert [(one.stream, one.seq) for one in ledger.audit.verify({})[0]] == [("s", 7)]
    with pytest.raises(LedgerError, match="no head"), hold(ledger) as journal:
        journal.write(audit=AuditBatch(intents=(intent("D"),)))


def test_one_configuration_has_one_line_whoever_loads_it_at_once(place: tuple[str, str]) -> None:  # noqa: F811
    opened(place).close()
    ready = threading.Barrier(4)

    def load(_: int) -> None:
        one = opened(place)
        ready.wait()
        one.audit.note_configuration("digest", {})
        one.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load, range(4)))
    last = opened(place)
    assert [row[1] for row in rows(last, CONTROL)].count("config.loaded") == 1
    last.close()


@pytest.mark.parametrize("line", ["x", "{}", "[]", "null"])
def test_a_damaged_open_line_has_its_end_and_is_named(place: tuple[str, str], line: str) -> None:  # noqa: F811
    killed = opened(place)
    with hold(killed) as journal:
        journal.write(audit=AuditBatch(intents=(intent("A"),)))
    with killed.writing() as connection:
        connection.execute(text("UPDATE syncd_audit SET line = :line WHERE seq = 2"), {"line": line})
    killed.close()
    later = opened(place)
    with hold(later):
        pass
    assert [(one.stream, one.seq, one.what) for one in later.audit.verify({})[0]] == [("s", 2, "was altered")]
    with later.reading() as connection:
        ended = connection.execute(text("SELECT name, outcome FROM syncd_audit WHERE seq = 3")).one()
    assert tuple(ended) == ("A", "unknown")
    if line == "x":
        with pytest.raises(LedgerError, match="damaged"):
            list(later.audit.lines(Filter()))
    later.close()


@pytest.mark.parametrize("event", ["%", "secret_create", "*\\", "SECRET.%"])
def test_a_pattern_of_events_knows_stars_only(ledger: Ledger, event: str) -> None:  # noqa: F811
    written(ledger)
    assert list(ledger.audit.lines(Filter(event=event))) == []


def test_no_site_is_called_as_the_control_stream(ledger: Ledger) -> None:  # noqa: F811
    with pytest.raises(LedgerError), hold(ledger, CONTROL):
        pass


def test_a_finding_of_a_job_that_sends_nothing_there_any_more_ends(ledger: Ledger) -> None:  # noqa: F811
    for job in ("old", "moved"):
        with hold(ledger) as journal:
            journal.findings(
                job, {("orphan.found", job): Entry(event="orphan.found", name=job, site="s", job=job)}, {"old", "moved"}
            )
    with hold(ledger) as journal:
        journal.findings("new", {}, {"new", "moved"})
    assert [row[1:3] for row in rows(ledger)[3:]] == [("finding.ended", "old")]


def test_a_finding_ends_where_its_site_goes_under_another_key(ledger: Ledger) -> None:  # noqa: F811
    with hold(ledger) as journal:
        journal.findings("j", {("drift.found", "A"): Entry(event="drift.found", name="A", site="s", job="j")}, {"j"})
    ledger.join_sites("s", "other", [])
    assert [row[1:3] for row in rows(ledger)[1:]] == [("drift.found", "A"), ("finding.ended", "A")]
    assert ledger.audit.verify({})[0] == []


@pytest.mark.parametrize("what", ["altered", "removed", "put in", "reordered", "cut off"])
def test_of_twenty_streams_the_one_that_was_touched_is_named(ledger: Ledger, what: str) -> None:  # noqa: F811
    streams = [f"site-{number:02}" for number in range(20)]
    with ledger.writing() as connection:
        for stream in streams:
            append(connection, stream, [Entry(event="secret.frozen", name=str(n)) for n in range(50)], ledger._clock())
    heads = {stream: {head[0]: head[1]} for stream, head in ledger.audit.heads().items()}
    assert ledger.audit.verify(heads) == ([], 20 * 51)
    touched, seq = streams[13], 30
    commands = {
        "altered": ["UPDATE syncd_audit SET line = replace(line, 'frozen', 'thawed') WHERE stream = :s AND seq = 30"],
        "removed": ["DELETE FROM syncd_audit WHERE stream = :s AND seq = 30"],
        "put in": [
            "UPDATE syncd_audit SET seq = seq + 1000 WHERE stream = :s AND seq >= 30",
            "UPDATE syncd_audit SET seq = seq - 999 WHERE stream = :s AND seq >= 1000",
            ("INSERT INTO syncd_audit SELECT stream, 30, at, event, outcome, site, name, job, actor, line, hash"
            " FROM syncd_audit WHERE stream = :s AND seq = 29"),
        ],
        "reordered": [
            "UPDATE syncd_audit SET seq = 999 WHERE stream = :s AND seq = 30",
            "UPDATE syncd_audit SET seq = 30 WHERE stream = :s AND seq = 31",
            "UPDATE syncd_audit SET seq = 31 WHERE stream = :s AND seq = 999",
        ],
        "cut off": [
            "DELETE FROM syncd_audit WHERE stream = :s AND seq > 29",
            ("UPDATE syncd_audit_heads SET seq = 29, hash = (SELECT hash FROM syncd_audit WHERE stream = :s AND seq = 29)"
            " WHERE stream = :s"),
        ],
    }  # fmt: skip
    with ledger.writing() as connection:
        for command in commands[what]:
            connection.execute(text(command), {"s": touched})
    broken, _ = ledger.audit.verify(heads)
    assert [(one.stream, one.seq) for one in broken] == [(touched, seq)]
