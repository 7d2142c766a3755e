"""Whatever kind of value a flipped bit leaves in a column of the ledger, it is told as damage, and never as a bug."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind

KINDS = {
    "nothing": "NULL",
    "a number": "7",
    "bytes": "x'ff41'",
    "a text": "'text'",
    "a list": "'[1]'",
    "an object": "'{}'",
}
COMMANDS = (
    ("sync",), ("status",), ("state", "list"), ("held",), ("report",), ("audit", "show"), ("explain", "s0_v"), ("plan",),
    ("where", "s0_v"), ("rules",), ("state", "export", "--full"),
)  # fmt: skip


def lived(lab: Lab, bao: Bao) -> Path:
    """A ledger with something in most of its tables, whose columns take whatever a damaged disk leaves there."""
    lab.vault(bao)
    for number in range(4):
        bao.put(f"app/s{number}", v="1", w="1")
    bao.put("two/x", v="1")
    lab.config["rules"] = [{"id": "held", "job": "two", "then": "hold"}]
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    lab.job("two", "vault", {"path": f"{bao.mount}/two/*", "name": "TWO_{path}"})
    assert lab.run("sync").code == 6
    for version in "23":
        bao.put("app/s0", v=version, w=version)
        lab.run("sync")
    for words in (("rollback", "s0_v"), ("pause", "two"), ("state", "freeze", "s1_v", "--until", "1d")):
        assert lab.run(*words, "--reason", "x").code in {0, 6}
    bao.put("app/bad", v="")
    bao.remove("app/s3")
    lab.run("sync")
    changed_by_hand(lab, "s2_v")
    lab.run("sync")
    with contextlib.closing(sqlite3.connect(lab.state)) as database, database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '') WHERE type = 'table'")
    with contextlib.closing(sqlite3.connect(lab.state)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(shutil.copy(lab.state, lab.folder / "whole.db"))


def columns_of(ledger: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(ledger)) as database:
        tables = [
            row[0]
            for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'syncd_%'")
        ]
        filled = [table for table in tables if database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()]
        return [(table, row[1]) for table in filled for row in database.execute(f"PRAGMA table_info({table})")]


def tried(lab: Lab, whole: Path, table: str, column: str, kind: str, words: tuple[str, ...]) -> str:
    """What a command says of a ledger with such a value, if that is a bug."""
    for end in ("", "-wal", "-shm"):
        lab.state.with_name(lab.state.name + end).unlink(missing_ok=True)
    shutil.copy(whole, lab.state)
    with contextlib.closing(sqlite3.connect(lab.state)) as database, database:
        first = f"(SELECT {column} FROM {table} LIMIT 1)"
        with contextlib.suppress(sqlite3.IntegrityError):
            database.execute(f"UPDATE {table} SET {column} = {KINDS[kind]} WHERE {column} IS {first}")
    done = lab.run(*words)
    return f"{table}.{column} = {kind}: {' '.join(words)}: {done.err[-200:]}" if done.code == 70 else ""


@pytest.mark.parametrize(
    "seed", [pytest.param(1), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12))]
)
def test_an_odd_value_is_told_as_damage(lab: Lab, bao: Bao, seed: int) -> None:
    whole, rng = lived(lab, bao), random.Random(seed)
    columns = columns_of(whole)
    assert len(columns) > 150
    picks = (
        (*rng.choice(columns), rng.choice(list(KINDS)), rng.choice(COMMANDS)) for _ in range(60 if seed == 1 else 400)
    )
    assert not [bug for pick in picks if (bug := tried(lab, whole, *pick))]


@pytest.mark.parametrize(
    ("table", "column", "kind", "words"),
    [
        ("syncd_records", "site", "bytes", ("sync",)),
        ("syncd_records", "pending_at", "a text", ("state", "list")),
        ("syncd_audit", "line", "a number", ("audit", "show")),
        ("syncd_audit", "line", "an object", ("audit", "show")),
        ("syncd_held", "since", "nothing", ("held",)),
        ("syncd_troubles", "subject", "nothing", ("state", "list")),
        ("syncd_runs", "recent", "a number", ("sync",)),
    ],
)
def test_the_table_is_named(lab: Lab, bao: Bao, table: str, column: str, kind: str, words: tuple[str, ...]) -> None:
    whole = lived(lab, bao)
    assert not tried(lab, whole, table, column, kind, words)
    done = lab.run(*words)
    assert done.code == 7 and "is damaged" in done.err and "restore it from a backup" in done.err, done.err
