"""Opening the ledger's database: SQLite beside the service or PostgreSQL, its schema version, its errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from syncd.errors import LedgerBusy, LedgerError
from syncd.state import tables

APPLICATION_ID = 0x73796E63
"""SQLite's `application_id` of a syncd ledger ("sync"): another program's file is not touched."""
BUSY_SECONDS = 30


def _create(connection: Connection) -> None:
    tables.metadata.create_all(connection)


STEPS: tuple[Callable[[Connection], None], ...] = (_create,)
"""Migrations: step N leads from schema version N to N + 1."""


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Database errors as `LedgerError`: what, where, the mend, and nothing of the statement."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise _explained(error, place) from None


def _explained(error: Exception, place: str) -> LedgerError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorname", "") or type(cause).__name__
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return LedgerBusy(f"the ledger {place} is busy", hint="another process writes it; try again")
    mends = {
        "SQLITE_FULL": "the disk is full: free some space, then run again; nothing was sent unrecorded",
        "SQLITE_READONLY": "make the file and its folder writable for this user",
        "SQLITE_CANTOPEN": "see that its folder exists and is writable for this user",
        "SQLITE_PERM": "make it readable and writable for this user",
        "SQLITE_IOERR": "the disk fails or is full; look at the system's log",
        "SQLITE_NOTADB": "it is no ledger; name another `state.path`, or move it away",
        "SQLITE_CORRUPT": "restore it from a backup, or move it away: it is rebuilt from the sites",
        "PermissionError": "make it readable and writable for this user",
        "IsADirectoryError": "it is a folder; name a file in it",
        "NotADirectoryError": "a part of its path is a file; name another `state.path`",
        "FileNotFoundError": "see that its folder can be made",
        "FileExistsError": "a part of its path is a file; name another `state.path`",
    }
    mend = next((text for start, text in mends.items() if code.startswith(start)), "")
    fallback = "see that the database is there and takes connections"
    return LedgerError(f"the ledger {place} cannot be used ({code})", hint=mend or fallback)


def _prepare_file(path: Path) -> None:
    """The file and what SQLite puts beside it are for this user alone (0600)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Only a new file: closing a file that SQLite has open in this process drops SQLite's own locks on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _pragmas(durable: bool) -> Callable[[Any, Any], None]:
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {BUSY_SECONDS * 1000}",
            "journal_mode = WAL",
            f"synchronous = {'FULL' if durable else 'NORMAL'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return on_connect


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def sqlite_engine(path: Path | None, *, durable: bool = True) -> Engine:
    """An engine on a SQLite file; None for one in memory (a plan where there is no ledger yet)."""
    if path is None:
        engine = create_engine(
            "sqlite://",
            hide_parameters=True,
            poolclass=StaticPool,
            connect_args={"check_same_thread": False},
        )
    else:
        with translated(str(path)):
            _prepare_file(path)
        engine = create_engine(f"sqlite:///{path}", hide_parameters=True, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _pragmas(durable))
    event.listen(engine, "begin", _begin)
    return engine


def postgres_engine(url: str) -> Engine:
    """An engine on PostgreSQL; `url` is `postgresql://…`. Raises `LedgerError` for another kind."""
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres"} or not rest:
        raise LedgerError("state.url is no PostgreSQL address", hint="write postgresql://USER@HOST/DATABASE")
    with translated("state.url"):
        return create_engine(f"postgresql+psycopg://{rest}", hide_parameters=True, pool_pre_ping=True)


def _schema_version(connection: Connection) -> int:
    if not inspect(connection).has_table(tables.meta.name):
        return 0
    told = connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == "schema_version")).scalar()
    return int(told or 0)


def _refuse_foreign(connection: Connection, place: str) -> None:
    if connection.dialect.name != "sqlite":
        return
    ours = connection.exec_driver_sql("PRAGMA application_id").scalar()
    if ours == APPLICATION_ID:
        broken = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if broken != "ok":
            raise LedgerError(
                f"the ledger {place} is damaged",
                hint="restore it from a backup, or move it away: it is rebuilt from the sites",
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
        with engine.connect() as connection:
            _refuse_foreign(connection, place)
            version = _schema_version(connection)
        if version == len(STEPS):
            return
        if version > len(STEPS):
            raise LedgerError(
                f"the ledger {place} has schema {version}, this syncd knows {len(STEPS)}",
                hint="run the newer syncd that wrote it; it was not touched",
            )
        if version and backup is not None:
            _copy(engine, backup.with_name(f"{backup.name}.v{version}.bak"))
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            version = _schema_version(connection)  # another process may have been quicker
            for step in STEPS[version:]:
                step(connection)
            _note_version(connection, fresh=version == 0)


def _copy(engine: Engine, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_CREAT | os.O_RDWR, 0o600))
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        target = sqlite3.connect(copy)
        raw.backup(target)  # type: ignore[union-attr]  # the driver's own connection: sqlite3's
        target.close()


def _note_version(connection: Connection, *, fresh: bool) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    value = str(len(STEPS))
    if fresh and _schema_version(connection) == 0:
        connection.execute(tables.meta.insert().values(key="schema_version", value=value))
    else:
        connection.execute(update(tables.meta).where(tables.meta.c.key == "schema_version").values(value=value))
