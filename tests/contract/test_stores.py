"""One contract for the ledger on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from syncd.domain import (
    STATUSES,
    Grant,
    HistoryEntry,
    LastRun,
    LostWrite,
    OpenProblem,
    PathState,
    Pending,
    Record,
    Result,
    SecretRef,
    Version,
    WriteWindow,
)
from syncd.domain.recency import Since
from syncd.domain.statuses import Served, status_of_record
from syncd.errors import ConfigError, LedgerBusy, LedgerError
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.postgres import postgres_engine
from syncd.ledger.request_quota import FLIGHT, Quota, RequestRate
from syncd.ledger.schema import EPOCH, MICROSECOND
from syncd.ledger.search import ORDERS, Search
from syncd.ledger.site_lock import TURNS
from syncd.ledger.store import Ledger, utc_now

AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SINCE = Since(timedelta(days=1), datetime.now(UTC) + timedelta(hours=1), AT)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    if request.param == "sqlite":
        yield "sqlite", str(tmp_path / "state.db")
        return
    url = request.getfixturevalue("postgres")
    engine = postgres_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    yield "postgres", url


def engine_at(place: tuple[str, str]) -> Engine:
    kind, where = place
    return sqlite_engine(Path(where)) if kind == "sqlite" else postgres_engine(where)


def opened(place: tuple[str, str]) -> Ledger:
    kind, where = place
    is_file = kind == "sqlite"
    return Ledger(engine_at(place), where if is_file else "in PostgreSQL", Path(where) if is_file else None)


@pytest.fixture
def ledger(place: tuple[str, str]) -> Iterator[Ledger]:
    one = opened(place)
    yield one
    one.close()


def hold(ledger: Ledger, site: str = "s", wait: float = 0):
    return ledger.lock(site, holder="tester", wait=timedelta(seconds=wait))


RECORD = Record(
    site="s",
    name="NAME",
    target="t",
    job="j",
    ref=SecretRef(source="v", path="p/ключ", field=""),
    pin="3",
    remote_id="id-1",
    adopted=True,
    description="d [syncd:o:12345678]",
    version="kv2:1@x",
    fingerprint="f" * 64,
    pending=Pending.UPDATE,
    pending_at=AT,
    lost_writes=(LostWrite(AT, "keyed"), LostWrite(AT)),
    doubted_at=AT,
    unverified=True,
    window=WriteWindow(start=AT, end=AT + timedelta(seconds=1)),
    pinned_at=AT,
    last_synced_at=AT,
    source_updated_at=AT,
    verified_at=AT,
    unlisted_tried_at=AT,
    restores=(AT, AT + timedelta(hours=1)),
    absent_at=AT,
    absent_for=timedelta(minutes=3, microseconds=1),
    frozen_until=AT,
    status="frozen",
)


def test_a_record_comes_back_as_it_was(ledger: Ledger) -> None:
    plain = Record(site="s", name="PLAIN", target="t", job="j", ref=SecretRef(source="v", path="p"))
    with hold(ledger) as journal:
        journal.write(put=[RECORD, plain])
    assert ledger.records("s") == (RECORD, plain)
    with hold(ledger) as journal:
        journal.write(put=[replace(RECORD, status="synced")], drop=[plain])
    assert ledger.records("s") == (replace(RECORD, status="synced"),)


def test_one_id_has_one_record(ledger: Ledger) -> None:
    with hold(ledger) as journal:
        journal.write(put=[RECORD])
        with pytest.raises(LedgerError):
            journal.write(put=[replace(RECORD, name="OTHER")])
    assert [record.name for record in ledger.records("s")] == ["NAME"]


def test_the_rest_comes_back_too(ledger: Ledger) -> None:
    state = PathState(
        source="v", path="p", pin="", version=Version(token="kv2:2@x", number=2, lineage="l"), fields=("a", "")
    )
    trouble = OpenProblem(site="s", job="j", subject="N", kind="failed", message="m", first_at=AT, retry_at=AT)
    run = LastRun(job="j", site="s", target="t", started_at=AT, finished_at=AT, exit_code=0)
    line = HistoryEntry(
        at=datetime.now(UTC),
        site="s",
        target="t",
        job="j",
        name="N",
        action="delete",
        outcome="sent",
        result=Result.SENT,
        remote_id="id-9",
    )
    with hold(ledger) as journal:
        journal.paths([state])
        journal.problems("s", "j", [trouble])
        journal.ran(run)
        journal.mount("v", "secret/", "uuid")
        journal.write(log=[line])
    assert ledger.known_paths("v") == {("p", ""): state}
    assert ledger.known_problems("s", "j") == {"N": trouble}
    assert ledger.runs() == (run,)
    assert ledger.known_mounts("v") == {"secret/": "uuid"}
    assert ledger.deletions("s", "j", SINCE) == ledger.deletions("s", None, SINCE) == {"id-9"}
    assert ledger.deletions("s", "other", SINCE) == set()
    with hold(ledger) as journal:
        journal.write(log=[replace(line, outcome="refused: x", result=Result.REFUSED)])
    assert ledger.deletions("s", "j", SINCE) == set()
    assert ledger.history("N")[-1].outcome == "sent"
    now = utc_now()
    ledger.grant("s", "N", timedelta(hours=24), Grant(remote_id="id-7", owner="others"))
    assert ledger.grants("s", now + timedelta(hours=23)) == {"N": Grant(remote_id="id-7", owner="others")}
    assert ledger.grants("s", now + timedelta(hours=25)) == {} == ledger.grants("s", now - timedelta(hours=1))
    assert ledger.remount("v", "secret/", {"j": "v"})
    assert ledger.known_mounts("v") == {"secret/": ""}, "whatever the next cycle finds there"


def test_the_site_is_held_by_one(place: tuple[str, str], ledger: Ledger) -> None:
    other = opened(place)
    with hold(ledger):
        with pytest.raises(LedgerBusy, match="tester"), hold(other):
            pass
        with pytest.raises(LedgerBusy), hold(ledger):
            pass
        with hold(other, "another site"):
            pass
        assert other.records("s") == ()
    with hold(other):
        pass
    other.close()


def test_who_waits_gets_it_in_order(ledger: Ledger) -> None:
    order: list[int] = []
    started = [threading.Event() for _ in range(3)]

    def wait(number: int) -> None:
        started[number].set()
        with hold(ledger, wait=10):
            order.append(number)

    with hold(ledger):
        threads = []
        for number in range(3):
            thread = threading.Thread(target=wait, args=[number])
            thread.start()
            started[number].wait()
            while len(TURNS._queues[f"{ledger.place} s"]) < number + 2:
                pass
            threads.append(thread)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2]


class Hands:
    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> datetime:
        return self.now


def test_the_quota_is_never_exceeded_and_shared(place: tuple[str, str], ledger: Ledger) -> None:
    clock, window = Hands(), timedelta(seconds=60)
    engines = [engine_at(place) for _ in range(2)]
    quotas = [Quota(engine, "", RequestRate(site="s", limit=3, window=window), clock) for engine in engines]
    tickets = [quotas[turn % 2].take()[0] for turn in range(3)]
    assert all(tickets)
    assert quotas[0].take() == (0, window + FLIGHT), "what is under way counts as long as it may take"
    for turn in (1, 2):
        quotas[turn % 2].answered(tickets[turn])
    clock.now += timedelta(seconds=5)
    quotas[0].answered(tickets[0])
    assert quotas[0].take() == (0, timedelta(seconds=55))
    clock.now += timedelta(seconds=55)
    for _ in range(2):
        quotas[1].answered(quotas[1].take()[0])
    assert quotas[1].take() == (0, timedelta(seconds=5)), "a slow request counts from its answer"
    clock.now -= timedelta(days=1)
    assert quotas[0].take() == (0, window + FLIGHT), "a clock set back costs one window, not a day"
    for engine in engines:
        engine.dispose()


def test_the_key_is_tied_to_the_ledger(ledger: Ledger) -> None:
    ledger.check_key("one")
    ledger.check_key("one")
    with pytest.raises(LedgerError, match="fingerprint key"):
        ledger.check_key("two")


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["put", "drop"]),
        st.sampled_from(["s1", "s2"]),
        st.sampled_from("abc"),
        st.fixed_dictionaries(
            {
                "job": st.sampled_from(["j1", "j2"]),
                "status": st.sampled_from(["synced", "behind", "", "failed"]),
                "pending": st.sampled_from([None, Pending.UPDATE]),
                "remote_id": st.booleans(),
                "unverified": st.booleans(),
                "frozen_until": st.sampled_from([None, AT, AT + timedelta(days=9)]),
            }
        ),
    ),
    max_size=25,
)


@pytest.mark.long
@settings(max_examples=40, deadline=None)
@given(changes=CHANGES)
def test_the_counts_are_those_of_the_rows(place: tuple[str, str], ledger: Ledger, changes: list[Any]) -> None:
    for site in ("s1", "s2"):
        with ledger.lock(site, holder="t", wait=timedelta(0)) as journal:
            journal.write(drop=ledger.records(site))
            for verb, of_site, name, facts in changes:
                if of_site != site:
                    continue
                known = {row.name: row for row in ledger.records(site)}
                if verb == "drop":
                    journal.write(drop=[known[name]] if name in known else [])
                    continue
                given = {**facts, "remote_id": f"{site}-{name}" if facts["remote_id"] else None}
                journal.write(put=[replace(RECORD, site=site, name=name, **given)])
    now = AT + timedelta(days=1)
    rows = ledger.records()
    for served in (Served(jobs={"s1": frozenset({"j1"}), "s2": frozenset({"j1", "j2"})}), Served(jobs={"s1": frozenset({"j2"})}, stale=frozenset({("s1", "j2")}))):  # fmt: skip
        expected = Counter(status_of_record(row, served, now) for row in rows)
        counted: Counter[str] = Counter()
        for tally in ledger.tallies(now):
            counted[status_of_record(tally, served, now)] += tally.count
        assert +counted == expected
        for status in STATUSES:
            for order in ORDERS:
                found, _ = ledger.find(Search(status=status, order=order), served, now)
                assert len(found) == expected[status], status
                assert all(status_of_record(row, served, now) == status for row in found)


@pytest.mark.parametrize("order", ["name", "arrival", "age"])
def test_pages_follow_each_other_without_a_gap(ledger: Ledger, order: str) -> None:
    served = Served(jobs={"s1": frozenset({"j1"}), "s2": frozenset({"j1"})})
    for site in ("s1", "s2"):
        with ledger.lock(site, holder="t", wait=timedelta(0)) as journal:
            rows = [
                replace(
                    RECORD, site=site, job="j1", name=f"n{number % 90:02}_{site if number < 90 else 'x'}",
                    remote_id=f"{site}-{number}", last_synced_at=AT + timedelta(minutes=number % 7) if number % 3 else None,
                    source_updated_at=AT if number % 2 else None,
                )
                for number in range(91)
            ]  # fmt: skip
            journal.write(put=rows)
    seen: list[tuple[str, str]] = []
    after = None
    while True:
        found, more = ledger.find(Search(order=order, after=after), served, AT)
        seen += [(row.site, row.name) for row in found]
        if not more:
            break
        last = found[-1]
        at = {"arrival": last.last_synced_at, "age": last.source_updated_at}.get(order)
        key = last.name if order == "name" else str((at - EPOCH) // MICROSECOND if at else 0)
        after = (key, last.site, last.name)
    assert len(seen) == len(set(seen)) == len(ledger.records())


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abcdef"), st.text('aB_x/"*%', min_size=1, max_size=8), st.sampled_from(["shop", "Out"])
        ),
        max_size=8,
    ),
    asked=st.text('aB_x/"*%shopU', min_size=1, max_size=5),
)
def test_a_text_finds_what_holds_it(ledger: Ledger, rows: list[tuple[str, str, str]], asked: str) -> None:
    served = Served(jobs={"s1": frozenset({"j1"})})
    with ledger.lock("s1", holder="t", wait=timedelta(0)) as journal:
        journal.write(drop=ledger.records("s1"))
        for name, path, target in rows:
            ref = SecretRef(source="v", path=path)
            one = replace(
                RECORD, site="s1", job="j1", name=f"{name}_NAME", ref=ref, target=target, remote_id=f"id-{name}"
            )
            journal.write(put=[one])
    words = asked.lower()
    expected = {
        row.name
        for row in ledger.records("s1")
        if any(words in part.lower() for part in (row.name, row.ref.path, row.target, row.site))
    }
    found, _ = ledger.find(Search(text=asked), served, AT)
    assert {row.name for row in found} == expected


def test_a_file_that_was_vacuumed_is_searched_as_before(tmp_path: Path) -> None:
    place, served = ("sqlite", str(tmp_path / "state.db")), Served(jobs={"s": frozenset({"j"})})
    ledger = opened(place)
    with ledger.lock("s", holder="t", wait=timedelta(0)) as journal:
        for number in range(9):
            journal.write(put=[replace(RECORD, name=f"NAME_{number}", remote_id=f"id-{number}")])
        journal.write(drop=[row for row in ledger.records("s") if row.name in {"NAME_0", "NAME_3"}])
    ledger.close()
    with sqlite3.connect(place[1], isolation_level=None) as database:
        database.execute("VACUUM")
        database.execute(
            "UPDATE syncd_records SET rowid = rowid + 100"
        )  # as a VACUUM may (sqlite.org/lang_vacuum.html)
    ledger = opened(place)
    with ledger.lock("s", holder="t", wait=timedelta(0)) as journal:
        journal.write(drop=[row for row in ledger.records("s") if row.name == "NAME_5"])
        journal.write(
            put=[replace(RECORD, name="NAME_7", remote_id="id-7", ref=SecretRef(source="v", path="moved/there"))]
        )
    for asked, expected in (("NAME_", 6), ("NAME_5", 0), ("moved/", 1), ("NAME_8", 1)):
        assert len(ledger.find(Search(text=asked), served, AT)[0]) == expected, asked
    ledger.close()


def test_processes_that_write_the_same_paths_wait_for_no_ring(ledger: Ledger) -> None:
    """Two jobs of one source hold two sites, and store what they read together, each in the order of its own rules."""
    states = [
        PathState(source="v", path=f"p{number}", version=Version(token="kv2:1@x"), fields=()) for number in range(200)
    ]
    jobs = [f"job{number}" for number in range(50)]
    together, failed = threading.Barrier(2, timeout=30), list[Exception]()

    def store(site: str, step: int) -> None:
        try:
            with hold(ledger, site) as journal:
                for _ in range(10):
                    together.wait()
                    journal.paths(states[::step], dict.fromkeys(jobs[::step], AT))
        except Exception as error:
            failed.append(error)
            together.abort()

    threads = [threading.Thread(target=store, args=each) for each in (("one", 1), ("two", -1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    assert len(ledger.known_paths("v")) == 200


def test_one_configuration_works_at_a_time(ledger: Ledger, place: tuple[str, str]) -> None:
    """By one clock for all machines: this process's own may be hours off."""
    with closing(opened(place)) as other:
        other._clock = other.configurations._clock = lambda: utc_now() + timedelta(hours=5)
        other.configurations.load("old", "one that is ahead")
        if place[0] == "postgres":
            ledger.configurations.load("new", "another one")
            with pytest.raises(ConfigError, match="loaded a newer configuration"), hold(other):
                pass
            told = other.configurations.another_in_force("old")
            assert told is not None and told.by == "another one"
        with hold(ledger, "t"):
            pass
        ledger.configurations.leave()
        with hold(other):
            pass
