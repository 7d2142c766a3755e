"""Whatever a damaged row holds, the ledger says so: no read ends in a bug, and none believes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from syncd.domain import LastRun, OpenProblem, PathState, SecretRef, Version
from syncd.domain.governance import FactKey
from syncd.errors import LedgerError
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger

NOW = datetime(2026, 6, 1, tzinfo=UTC)
REF = SecretRef(source="v", path="p", field="f")


@pytest.fixture
def ledger(state: Path) -> Any:
    found = Ledger(sqlite_engine(state, durable=False), "here", state)
    run = LastRun(job="j", site="s", target="t", started_at=NOW, finished_at=NOW, exit_code=0, counts="{}")
    with found.lock("s", holder="me", wait=timedelta(0)) as journal:
        journal.ran(run)
        journal.facts({FactKey("n", REF, "1", "digest"): ""})
        journal.problems(
            "s", "j", [OpenProblem(site="s", job="j", subject="n", kind="failed", message="m", ref=REF, first_at=NOW)]
        )
        journal.paths([PathState(source="v", path="p", version=Version(token="1"), fields=("f",))])
    yield found
    found.close()


READS: dict[str, tuple[str, Callable[[Ledger], Any]]] = {
    "syncd_runs.counts": ("[1", lambda ledger: ledger.runs()),
    "syncd_runs.recent": ("[[1, 2", lambda ledger: ledger.recent_runs()),
    "syncd_runs.counts ": ("7", lambda ledger: ledger.last_run("s", "j")),
    "syncd_facts.ref": ('["v#, "p", "f"]', lambda ledger: ledger.facts("s")),
    "syncd_facts.ref ": ('["v"]', lambda ledger: ledger.facts("s")),
    "syncd_troubles.ref": ('["v", "p"', lambda ledger: ledger.all_problems()),
    "syncd_troubles.ref ": ("[]", lambda ledger: ledger.known_problems("s", "j")),
    "syncd_paths.fields": ('["g"]', lambda ledger: ledger.known_paths("v")),
    "syncd_meta.value": ("x", lambda ledger: ledger.decisions.pauses()),
}


@pytest.mark.parametrize("column", READS)
def test_a_damaged_row_is_named_as_damage(ledger: Ledger, column: str) -> None:
    value, read = READS[column]
    table, name = column.strip().split(".")
    if table == "syncd_meta":
        ledger.decisions.note_clock_jump(timedelta(hours=1))
    read(ledger)
    with ledger.writing() as connection:
        connection.execute(text(f"UPDATE {table} SET {name} = :value"), {"value": value})
    with pytest.raises(LedgerError, match="is damaged") as caught:
        read(ledger)
    assert "backup" in caught.value.hint or "restore" in caught.value.hint or caught.value.hint


def test_a_run_that_follows_a_damaged_one_is_refused_and_no_bug(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        connection.execute(text("UPDATE syncd_runs SET recent = '[[1, '"))
    run = LastRun(job="j", site="s", target="t", started_at=NOW, finished_at=NOW, exit_code=0, counts="{}")
    with pytest.raises(LedgerError, match="is damaged"), ledger.lock("s", holder="me", wait=timedelta(0)) as journal:
        journal.ran(run)
