"""A page at a time, what is asked for by its keys comes whole, once, and in order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from syncd.domain import Record, SecretRef
from syncd.domain.statuses import Served
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.schema import EPOCH, MICROSECOND
from syncd.ledger.search import ORDERS, Search
from syncd.ledger.store import Ledger

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SITES = ("one", "two", "three")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    path = tmp_path_factory.mktemp("search") / "state.db"
    found = Ledger(sqlite_engine(path, durable=False), "here", path)
    random = Random(7)
    for site in SITES:
        with found.lock(site, holder="me", wait=timedelta(0)) as journal:
            journal.write(put=[_record(site, number, random.randrange(400)) for number in range(150)])
    yield found
    found.close()


def _record(site: str, number: int, days: int) -> Record:
    return Record(
        site=site, target=site, job="job", name=f"K{number:03}", remote_id=f"{site}-{number}", version="1",
        ref=SecretRef(source="v", path=f"p/{number}", field="f"), status="synced" if number % 9 else "failed",
        last_synced_at=NOW - timedelta(hours=days), source_updated_at=NOW - timedelta(days=days) if number % 5 else None,
    )  # fmt: skip


def _key(row: Record, order: str) -> tuple[str, str, str]:
    at = row.last_synced_at if order == "arrival" else row.source_updated_at
    return (row.name if order == "name" else str((at - EPOCH) // MICROSECOND if at else 0), row.site, row.name)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("status", ["", "failed"])
@pytest.mark.parametrize("of", [0, 3, 130, 450])
def test_all_of_them_page_by_page(ledger: Ledger, order: str, status: str, of: int) -> None:
    everything = [(site, f"K{number:03}") for site in SITES for number in range(150)]
    names = frozenset(Random(of).sample(everything, of))
    served = Served(jobs={site: frozenset({"job"}) for site in SITES})
    after, seen = None, list[Record]()
    while True:
        rows, more = ledger.find(Search(names=names, status=status, order=order, after=after), served, NOW)
        seen += rows
        if not more:
            break
        after = _key(rows[-1], order)
    wanted = {key for key in names if not status or not int(key[1][1:]) % 9}
    assert len(seen) == len(wanted) and {(row.site, row.name) for row in seen} == wanted
    by = [(row.name, row.site) if order == "name" else (int(_key(row, order)[0]), row.site, row.name) for row in seen]
    assert by == sorted(by)


def test_the_oldest_are_those_whose_date_is_known(ledger: Ledger) -> None:
    found = ledger.oldest(None, 10)
    every = sorted(row.source_updated_at for row in ledger.records() if row.source_updated_at)
    assert [row.source_updated_at for row in found] == every[:10]
    assert {row.site for row in ledger.oldest(frozenset({"two"}), 10)} == {"two"}


def test_facts_of_some_names(ledger: Ledger) -> None:
    from syncd.domain.governance import FactKey

    keys = [FactKey(f"K{number:03}", None, "1", "d") for number in range(1200)]
    with ledger.lock("one", holder="me", wait=timedelta(0)) as journal:
        journal.facts(dict.fromkeys(keys, ""))
    assert set(ledger.facts("one", {key.name for key in keys[:700]})) == set(keys[:700])
    assert ledger.facts("one", ()) == {} and len(ledger.facts("one")) == 1200
