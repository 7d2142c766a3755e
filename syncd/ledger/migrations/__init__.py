"""Make the ledger's schema, bring it up to date with a copy kept, or refuse the ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, func, inspect, select, update
from sqlalchemy.exc import DBAPIError

from syncd.errors import LedgerError
from syncd.ledger import schema as tables
from syncd.ledger import words
from syncd.ledger.counting import install
from syncd.ledger.engine import APPLICATION_ID
from syncd.ledger.faults import DAMAGED, translated, undamaged
from syncd.ledger.migrations.from_5 import (
    count_and_index,
    judge_by_reference,
    keep_decisions,
    keep_sites_apart,
    remember_whose,
)
from syncd.ledger.migrations.seals import seal, see_that_rows_are_whole
from syncd.ledger.migrations.to_5 import add_seals, bind_grants, follow_ids, keep_an_audit_trail
from syncd.transport.private_files import draft_in, publish

STEPS: tuple[Callable[[Connection], None], ...] = (
    add_seals,
    follow_ids,
    bind_grants,
    keep_an_audit_trail,
    keep_decisions,
    judge_by_reference,
    count_and_index,
    keep_sites_apart,
    remember_whose,
)
"""Migrations, each in the SQL of its time: the first leads from schema version 1 to 2, and so on."""
CURRENT = 1 + len(STEPS)


def schema_version(connection: Connection) -> int:
    """Return the ledger's schema version; 0 where it has none."""
    if not inspect(connection).has_table(tables.meta.name):
        return 0
    version = connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == "schema_version")).scalar()
    return int(version or 0)


def _refuse_foreign(connection: Connection, place: str) -> None:
    if connection.dialect.name != "sqlite":
        return
    ours = connection.exec_driver_sql("PRAGMA application_id").scalar()
    if ours == APPLICATION_ID:
        # Rows have checksums of their own, so the pages are looked at, and not whether each index has each row.
        broken = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
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
            out_of_step = version == CURRENT and words.is_out_of_step(connection)
        if version == CURRENT:
            if out_of_step:
                # One that may only be looked at is searched as it is.
                with (
                    suppress(DBAPIError),
                    engine.connect().execution_options(writes=True) as connection,
                    connection.begin(),
                ):
                    words.index_anew(connection)
            return
        _see_that_it_is_not_newer(version, place)
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":  # one at a time, as SQLite's writers are
                _take_time(connection)
                connection.execute(select(func.pg_advisory_xact_lock(APPLICATION_ID)))
            version = schema_version(connection)
            # Another process may have been quicker, and be of a newer version than this one.
            _see_that_it_is_not_newer(version, place)
            if version == CURRENT:
                return
            if version == 0:
                tables.metadata.create_all(connection)
                install(connection)
                words.install(connection)
            else:
                # Before anything is changed: the copy is what an older syncd goes back to.
                if version < CURRENT and backup is not None:
                    _copy(engine, backup.with_name(f"{backup.name}.v{version}.bak"))
                # Looked at before the steps: their new seals would make a damaged row look whole.
                with undamaged(place):
                    see_that_rows_are_whole(connection, version)
                for step in STEPS[version - 1 :]:
                    step(connection)
                seal(connection)
            _note_version(connection, fresh=version == 0)


def _see_that_it_is_not_newer(version: int, place: str) -> None:
    if version > CURRENT:
        raise LedgerError(
            f"the ledger {place} has schema {version}, this syncd knows {CURRENT}",
            hint="run the newer syncd that wrote it; it was not touched",
        )


def _take_time(connection: Connection) -> None:
    """Allow each statement on PostgreSQL an hour: a ledger may be large, and another process may be migrating it.

    Neither means that the server is gone.
    """
    from syncd.ledger.bounded_connection import MIGRATION_SECONDS, BoundedConnection  # noqa: PLC0415

    raw = connection.connection.driver_connection
    if isinstance(raw, BoundedConnection):
        raw.seconds = MIGRATION_SECONDS
        # Not given back to the pool with so much patience: the next one is made anew.
        connection.detach()


def _copy(engine: Engine, copy: Path) -> None:
    # It gets its name once it is whole: a kill leaves no half of a backup.
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
