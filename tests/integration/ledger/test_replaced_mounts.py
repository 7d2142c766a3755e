"""Rows and rollbacks of a place when a person says that another one is there now: who has them, by which name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncd.domain import Record, SecretRef, Version
from syncd.domain.decisions import Rollback
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HERE = "1f2e3d4c-0000"


@pytest.fixture
def ledger(state: Path) -> Iterator[Ledger]:
    found = Ledger(sqlite_engine(state, durable=False), "here", None, clock=lambda: NOW)
    yield found
    found.close()


@dataclass(frozen=True)
class Case:
    rows: Mapping[str, str]
    """Job to the source of its row of `app/x`."""
    readers: Mapping[str, str]
    """Job to the source that the configuration gives it."""
    rollbacks: Mapping[str, tuple[int, int]]
    """Source to the hour in which `app/x` was rolled back, and to the hours until the end; both from now."""
    expected: Mapping[str, int]
    """Source to the hour of the rollback that it has afterwards."""
    replaced: str = "a"
    names: Mapping[str, str] = field(default_factory=lambda: {"a": HERE})


TWO = {"a": HERE, "b": HERE}
CASES = {
    "nothing is moved": Case({"j": "a"}, {"j": "a"}, {"a": (-1, 9)}, {"a": -1}),
    "nothing is rolled back": Case({"j": "a"}, {"j": "a"}, {}, {}),
    "an old name had it": Case({"j": "b"}, {"j": "b"}, {"a": (-1, 9)}, {"a": -1, "b": -1}, "b", TWO),
    "another entry had it": Case(
        {"j": "b", "k": "a"}, {"j": "b", "k": "a"}, {"a": (-1, 9)}, {"a": -1, "b": -1}, "b", TWO
    ),
    "its own is kept": Case({"j": "b"}, {"j": "b"}, {"a": (-1, 9), "b": (-2, 9)}, {"a": -1, "b": -2}, "b", TWO),
    "of two other names the later": Case(
        {"j": "c"}, {"j": "c"}, {"a": (-1, 9), "b": (-2, 9)}, {"a": -1, "b": -2, "c": -1}, "c", {**TWO, "c": HERE}
    ),
    "its reader went to another entry": Case({"j": "a"}, {"j": "b"}, {"a": (-1, 9)}, {"b": -1}, "a", TWO),
    "the entry has a later one": Case({"j": "a"}, {"j": "b"}, {"a": (-2, 9), "b": (-1, 9)}, {"b": -1}, "a", TWO),
    "the entry has an earlier one": Case({"j": "a"}, {"j": "b"}, {"a": (-1, 9), "b": (-2, 9)}, {"b": -1}, "a", TWO),
    "the later one ran out": Case({"j": "a"}, {"j": "b"}, {"a": (-1, 0), "b": (-2, 9)}, {"a": -1, "b": -2}, "a", TWO),
    "the earlier one ran out": Case({"j": "a"}, {"j": "b"}, {"a": (-1, 9), "b": (-2, 0)}, {"b": -1}, "a", TWO),
    "another place of another id has one": Case(
        {"j": "b"}, {"j": "b"}, {"a": (-1, 9)}, {"a": -1}, "b", {"a": "other", "b": HERE}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_rollback_goes_with_its_secret(ledger: Ledger, name: str) -> None:
    case = CASES[name]
    prepare(ledger, case)
    assert ledger.remount(case.replaced, "app/", case.readers)
    with ledger.reading() as connection:
        kept = connection.exec_driver_sql("SELECT source, label FROM syncd_rollbacks").all()
    assert {source: int(label) for source, label in kept} == case.expected


@pytest.mark.parametrize(
    ("mount", "path"),
    [("app/", "app/x"), ("account", "app/x"), ("account", "arn:aws:secretsmanager:eu-west-1:{}:secret:app/x-AbCdEf")],
)
def test_two_places_before_are_two(ledger: Ledger, mount: str, path: str) -> None:
    for number, account in enumerate(("111111111111", "222222222222")):
        with ledger.lock("s", holder="me", wait=timedelta(0)) as journal:
            journal.mount("a", mount, f"eu-west-1:{account}")
            journal.write(put=[row(f"j{number}", "a", path.format(account))])
        # Its reader goes to a name that no cycle has seen yet.
        assert ledger.remount("a", mount, {f"j{number}": "unseen"})
    sources = {record.job: record.ref.source for record in ledger.records("s")}
    assert len(set(sources.values())) == 2 and all(source.startswith("a before ") for source in sources.values())


def test_what_is_named_by_the_arn_of_another_account_stays(ledger: Ledger) -> None:
    shared = "arn:aws:secretsmanager:eu-west-1:999999999999:secret:shared-AbCdEf"
    with ledger.lock("s", holder="me", wait=timedelta(0)) as journal:
        journal.mount("a", "account", "eu-west-1:111111111111")
        journal.mount("a", "arn:eu-west-1:999999999999", "eu-west-1:999999999999")
        journal.write(put=[row("j", "a"), row("k", "a", shared)])
    assert ledger.remount("a", "account", {"j": "b", "k": "b"})
    assert {record.job: record.ref.source[:2] for record in ledger.records("s")} == {"j": "a ", "k": "a"}


def test_a_row_that_kept_its_old_name_goes_with_its_job(ledger: Ledger) -> None:
    case = Case({"j": "a", "k": "b"}, {"j": "b", "k": "b"}, {"a": (-1, 9)}, {}, names=TWO)
    prepare(ledger, case)
    assert ledger.remount("b", "app/", case.readers)
    assert {record.job: record.ref.source for record in ledger.records("s")} == {"j": "b", "k": "b"}
    assert ("b", "app/x") in ledger.decisions.rollbacks()


def test_what_was_taken_over_from_a_name_that_is_gone_can_be_replaced_too(ledger: Ledger) -> None:
    case = Case({"j": "a", "gone": "a"}, {"j": "b", "other": "c"}, {"a": (-1, 9)}, {})
    prepare(ledger, case)
    assert ledger.orphaned_mounts("b", {"b", "c"}) == {"app/": {HERE}}
    assert ledger.remount("b", "app", case.readers)
    assert {r.job: r.ref.source for r in ledger.records("s")} == {"j": "b", "gone": "a"}
    assert ledger.orphaned_mounts("b", {"b", "c"}, "j") == {}, "the next cycle accepts what it finds"
    assert set(ledger.decisions.rollbacks()) == {("a", "app/x"), ("b", "app/x")}
    assert not ledger.remount("b", "app/", case.readers), "it is accepted already"
    assert not ledger.remount("b", "nosuch/", case.readers)


def test_what_others_left_in_a_mount_of_that_name_says_nothing_of_a_source_in_use(ledger: Ledger) -> None:
    """Job k went to another source and left a row behind under a name that is gone; a is another place all along."""
    prepare(ledger, Case({"j": "a", "k": "gone"}, {}, {"a": (-1, 9)}, {}, names={"a": HERE, "gone": "there"}))
    readers = {"j": "a", "k": "d"}
    assert ledger.remount("a", "app/", readers)
    assert ledger.orphaned_mounts("a", set(readers.values()), "j") == {} and ledger.known_mounts("a") == {"app/": ""}
    assert not ledger.remount("a", "app/", readers)
    assert {r.job: r.ref.source for r in ledger.records("s")} == {"j": "a", "k": "gone"}
    assert set(ledger.decisions.rollbacks()) == {("a", "app/x")}, "nothing of another place is rolled back by it"
    assert ledger.orphaned_mounts("d", set(readers.values()), "k") == {"app/": {"there"}}


def test_of_two_places_that_are_gone_a_job_takes_over_its_own(ledger: Ledger) -> None:
    names = {"a": HERE, "b": "there", "c": "empty"}
    prepare(ledger, Case({"j": "a", "k": "b"}, {}, {}, {}, names=names))
    assert ledger.orphaned_mounts("new", {"new"}, "j") == {"app/": {HERE}}
    assert ledger.orphaned_mounts("new", {"new"}, "k") == {"app/": {"there"}}
    assert ledger.orphaned_mounts("new", {"new"}, "renamed") == {"app/": {HERE, "there"}}, "one of them, and no third"
    assert ledger.orphaned_mounts("new", {"new", "a"}, "j") == {"app/": {"there"}}


def test_a_place_that_nobody_learnt_anew_lets_no_source_lead_anywhere(ledger: Ledger) -> None:
    """The mount of a was replaced, and a was called b before any cycle accepted the new one; now it is called c."""
    prepare(ledger, Case({"j": "a", "k": "b"}, {}, {}, {}, names={"a": "", "b": HERE}))
    assert ledger.orphaned_mounts("c", {"c"}, "renamed") == {"app/": {HERE}}
    assert ledger.orphaned_mounts("c", {"c"}, "j") == {}, "a person said that whatever is there is the one"


def test_all_places_that_are_gone_can_be_replaced_at_once(ledger: Ledger) -> None:
    names = {"a": HERE, "b": "there"}
    prepare(ledger, Case({"j": "a", "i": "b", "k": "b"}, {}, {"a": (-1, 9), "b": (-2, 9)}, {}, names=names))
    readers = {"j": "new", "i": "new", "k": "other"}
    assert ledger.taken_over("new", readers) == {"app/": {HERE, "there"}}
    assert ledger.remount("new", "app/", readers)
    assert ledger.orphaned_mounts("new", {"new", "other"}, "j") == {}
    assert {row.job: row.ref.source for row in ledger.records("s")} == {"j": "new", "i": "new", "k": "b"}
    assert ledger.orphaned_mounts("other", {"new", "other"}, "k") == {"app/": {"there"}}
    assert set(ledger.decisions.rollbacks()) == {("a", "app/x"), ("b", "app/x"), ("new", "app/x")}


def test_what_was_taken_over_goes_to_whoever_reads_it(ledger: Ledger) -> None:
    """The source was renamed, and a new one has a mount of that name: the person was told of the new one first."""
    prepare(ledger, Case({"j": "a"}, {"j": "old", "k": "new"}, {"a": (-1, 9)}, {}))
    assert ledger.remount("new", "app/", {"j": "old", "k": "new"})
    (kept,) = ledger.records("s")
    assert kept.ref.source == "a" and ledger.orphaned_mounts("new", {"old", "new"}, "k") == {}
    assert ledger.orphaned_mounts("old", {"old", "new"}) == {"app/": {HERE}}, "who takes it over has to lead there"
    assert list(ledger.decisions.rollbacks()) == [(kept.ref.source, "app/x")]
    assert list(ledger.rollbacks_by_secret()) == [(HERE, "x")]


def prepare(ledger: Ledger, case: Case) -> None:
    with ledger.lock("s", holder="me", wait=timedelta(0)) as journal:
        for source, mount_id in case.names.items():
            journal.mount(source, "app/", mount_id)
        journal.write(put=[row(job, source) for job, source in case.rows.items()])
    ledger.decisions.roll_back(
        [
            Rollback(
                source=source,
                path="app/x",
                version=Version(token="1"),
                label=str(at),
                at=NOW + timedelta(hours=at),
                until=NOW + timedelta(hours=until),
                by="me",
                reason="x",
            )
            for source, (at, until) in case.rollbacks.items()
        ],
        [],
    )


def row(job: str, source: str, path: str = "app/x") -> Record:
    return Record(
        site="s", name=job, target="t", job=job, ref=SecretRef(source=source, path=path), remote_id=f"id {job}"
    )
