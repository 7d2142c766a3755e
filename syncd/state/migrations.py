"""The ledger's schema version: made, brought up to date with a copy kept, or refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, func, inspect, select, update

from syncd.errors import LedgerError
from syncd.private_files import draft_in, publish
from syncd.state import tables
from syncd.state.engine import DAMAGED, translated, undamaged, upsert

APPLICATION_ID = 0x73796E63
"""SQLite's `application_id` of a syncd ledger ("sync"): another program's file is not touched."""


def _seal(connection: Connection) -> None:
    """Version 2: a checksum in each row."""
    for table in (tables.records, tables.paths, tables.mounts):
        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN seal BIGINT")
        rows = [dict(row) for row in connection.execute(select(table)).mappings()]
        upsert(connection, table, [tables.sealed(row) for row in rows])


STEPS: tuple[Callable[[Connection], None], ...] = (_seal,)
"""Migrations: the first leads from schema version 1 to 2, and so on."""
CURRENT = 1 + len(STEPS)


def schema_version(connection: Connection) -> int:
    """Of the ledger as it is now; 0 where there is none."""
    if not inspect(connection).has_table(tables.meta.name):
        return 0
    told = connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == "schema_version")).scalar()
    return int(told or 0)


def _refuse_foreign(connection: Connection, place: str) -> None:
    if connection.dialect.name != "sqlite":
        return
    ours = connection.exec_driver_sql("PRAGMA application_id").scalar()
    if ours == APPLICATION_ID:
        broken = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        if broken != "ok":
            raise LedgerError(
                f"the ledger {place} is damaged",
                hint=DAMAGED,
            )
    elif ours or inspect(connection).get_table_names():
        raise LedgerError(
            f"{place} is another program's database", hint="name another `state.path`; it was not touched"
        )


def migrate(engine: Engine, place: str, backup: Path | None) -> None:
    """Bring the schema to this version, with a copy of an older file kept beside it.

    Raises `LedgerError` for a damaged file, another program's, or one from a newer syncd.
    """
    with translated(place):
        with engine.connect() as connection, undamaged(place):
            _refuse_foreign(connection, place)
            version = schema_version(connection)
        if version == CURRENT:
            return
        if version > CURRENT:
            raise LedgerError(
                f"the ledger {place} has schema {version}, this syncd knows {CURRENT}",
                hint="run the newer syncd that wrote it; it was not touched",
            )
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":  # one at a time, as SQLite's writers are
                connection.execute(select(func.pg_advisory_xact_lock(APPLICATION_ID)))
            version = schema_version(connection)  # another process may have been quicker
            if version == 0:
                tables.metadata.create_all(connection)
            else:
                if version < CURRENT and backup is not None:
                    _copy(engine, backup.with_name(f"{backup.name}.v{version}.bak"))
                for step in STEPS[version - 1 :]:
                    step(connection)
            _note_version(connection, fresh=version == 0)


def _copy(engine: Engine, copy: Path) -> None:
    with engine.connect() as connection, draft_in(copy.parent) as draft:
        raw = connection.connection.driver_connection
        target = sqlite3.connect(draft)
        raw.backup(target)  # type: ignore[union-attr]  # the driver's own connection: sqlite3's
        target.close()
        publish(draft, copy)


def _note_version(connection: Connection, *, fresh: bool) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    value = str(CURRENT)
    if fresh and schema_version(connection) == 0:
        connection.execute(tables.meta.insert().values(key="schema_version", value=value))
    else:
        connection.execute(update(tables.meta).where(tables.meta.c.key == "schema_version").values(value=value))
