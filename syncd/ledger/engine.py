"""Opening the ledger's database: SQLite beside the service or PostgreSQL, and its errors as ours."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from syncd.errors import LedgerBusy, LedgerError
from syncd.transport.private_files import SpecialFile, narrow

BUSY_SECONDS = 10
"""That one transaction waits for another process's."""
APPLICATION_ID = 0x73796E63
"""SQLite's `application_id` of a syncd ledger ("sync"): another program's file is not touched."""
T = TypeVar("T")
READ_ONLY = "25006"
"""PostgreSQL's read_only_sql_transaction: the server is a standby, or was made one (its error codes, appendix A)."""
REFUSALS = {r'database ".*" does not exist': "3D", r'role ".*" does not exist|authentication failed|pg_hba': "28"}
SAID_BY_POSTGRES = {
    "08": ("no connection", "see host, port and sslmode in state.url, and that the server runs and can be reached"),
    "28": ("the server refuses the user or its password", "see user and password in state.url, and pg_hba.conf"),
    "3D": ("the server has no such database", "see the database's name in state.url"),
    "42501": ("the user may not do this", "give it CREATE and all rights on its tables in the schema"),
    READ_ONLY: ("the server takes no writes", "it is a standby: let state.url lead to the primary"),
    "53": ("the server has no room: connections, memory or disk", "see its log, and its limits"),
    "57": ("the server stops, or starts", "see that it runs; tried again in the next cycle"),
}
"""By how SQLSTATE begins: what it means, and the fix."""
UNKNOWN_FAULT = ("the server reports a fault", "see that the database is there and takes connections, and its log")
PART = 500
"""Rows that are made and sent to the database together."""


def upsert(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert or replace by primary key, a part of the rows at a time, so that ten thousand take no memory."""
    left = iter(rows)
    while part := list(islice(left, PART)):
        connection.execute(_upserting(connection.dialect.name, table), part)


def insert_missing(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Insert a row unless its key is there, whoever else does the same at this moment."""
    connection.execute(_inserting(connection.dialect.name, table).on_conflict_do_nothing(), row)


def _inserting(dialect_name: str, table: Table) -> Any:
    if dialect_name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415  # 2 MB, where it is used
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]  # noqa: PLC0415
    return insert(table)


@cache
def _upserting(dialect_name: str, table: Table) -> Any:
    """Built once: that takes longer than to carry it out."""
    statement = _inserting(dialect_name, table)
    keys = [column.name for column in table.primary_key]
    excluded = statement.excluded
    changed = {column.name: excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


DAMAGED = "restore it from a backup, or move it away: it is rebuilt from the sites"


@contextmanager
def undamaged(place: str) -> Iterator[None]:
    """What cannot be understood in a row is damage."""
    try:
        yield
    except (ValueError, TypeError, ArithmeticError, LookupError):
        raise LedgerError(f"the ledger {place} is damaged: a row is not as it was written", hint=DAMAGED) from None


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Database errors as `LedgerError`: what, where, the fix, and nothing of the statement."""
    try:
        yield
    # A ValueError is of a row that cannot be read: JSON, a number or a text that was damaged.
    except (SQLAlchemyError, sqlite3.Error, OSError, ValueError, OverflowError) as error:
        # From None: the error of a library may hold the statement with its rows.
        raise _explained(error, place) from None


def _explained(error: Exception, place: str) -> LedgerError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorname", "") or type(cause).__name__
    is_sqlite = type(cause).__module__.startswith("sqlite3")
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return LedgerBusy(f"the ledger {place} is busy", hint="another process writes it; try again")
    hints = {
        "SQLITE_FULL": "the disk is full: free some space, then run again; nothing was sent unrecorded",
        "SQLITE_READONLY": "make the file and its folder writable for this user",
        "SQLITE_CANTOPEN": "see that its folder exists and is writable for this user",
        "SQLITE_PERM": "make it readable and writable for this user",
        "SQLITE_IOERR": "the disk fails or is full; look at the system's log",
        "SQLITE_NOTADB": "it is no ledger; name another `state.path`, or move it away",
        "SQLITE_CORRUPT": DAMAGED,
        "UnicodeDecodeError": DAMAGED,  # … in the very message that says what is damaged
        "PermissionError": "make it readable and writable for this user",
        "SpecialFile": "it is no regular file (a device, a pipe?); name another `state.path`",
        "IsADirectoryError": "it is a folder; name a file in it",
        "NotADirectoryError": "a part of its path is a file; name another `state.path`",
        "FileNotFoundError": "see that its folder can be made",
        "FileExistsError": "a part of its path is a file; name another `state.path`",
    }
    hints |= {"OperationalError": DAMAGED} if is_sqlite else {}  # of sqlite3 itself: text that is no UTF-8
    if isinstance(cause, ValueError) and not isinstance(cause, UnicodeError):
        return LedgerError(f"the ledger {place} is damaged: a row is not as it was written", hint=DAMAGED)
    if said := _said_by_postgres(cause):
        what, hint = said
        return LedgerError(f"the ledger {place} cannot be used: {what}", hint=hint)
    hint = next((text for start, text in hints.items() if code.startswith(start)), "")
    fallback = "see that the database is there and takes connections"
    return LedgerError(f"the ledger {place} cannot be used ({code})", hint=hint or fallback)


def _said_by_postgres(cause: BaseException | None) -> tuple[str, str] | None:
    """What an error of PostgreSQL's means, and its fix; its own text may hold the address."""
    if not type(cause).__module__.startswith("psycopg"):
        return None
    given = state = str(getattr(cause, "sqlstate", None) or "")
    if not state and type(cause).__name__ == "OperationalError":
        # Of a connection that was not made libpq gives the server's text alone.
        text = str(cause)
        state = next((state for words, state in REFUSALS.items() if re.search(words, text)), "08")
    what, hint = next((told for start, told in SAID_BY_POSTGRES.items() if state.startswith(start)), UNKNOWN_FAULT)
    return f"{what} ({f'SQLSTATE {given}' if given else type(cause).__name__})", hint


def prepare_file(path: Path) -> list[tuple[Path, int]]:
    """Make the ledger's file, or see that it is one for this user alone, with all that stands beside it.

    Returns: the files whose rights were too wide and are narrow now, with what they had. Raises `LedgerError`.
    """
    with translated(str(path)):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only a new file: closing a file that SQLite has open in this process drops SQLite's own locks on it.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR, 0o600))
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(found.st_mode):
            raise SpecialFile
        if found.st_nlink > 1:
            raise LedgerError(
                f"the ledger {path} has a second name (a hard link), under which it would have another lock",
                hint="remove the other name, or copy the file",
            )
        if found.st_size and not _may_be_a_ledger(path):
            return []  # somebody else's file: opening it refuses it, and nothing of it is changed
        # The write-ahead log holds the same rows, and with the key a fingerprint of a weak value can be guessed.
        beside = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", ".key"))]
        rights = [(file, narrow(file)) for file in beside]
        return [(file, had) for file, had in rights if had is not None]


def _may_be_a_ledger(path: Path) -> bool:
    """Is it SQLite's, and of syncd or of nobody yet? SQLite itself looks, who knows of its own locks on it.

    Raises `LedgerError` for another program's database: to open it in earnest would change its journal mode.
    """
    # Immutable: SQLite takes no lock and makes no file beside one that may be somebody else's.
    connection = sqlite3.connect(f"file:{quote(str(path))}?immutable=1", uri=True)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        return False
    finally:
        connection.close()
    if application != APPLICATION_ID and (application or tables):
        raise LedgerError(f"{path} is another program's database", hint="name another `state.path`; it was not touched")
    return True


def identity_of(path: Path) -> tuple[int, int]:
    """Which file this is, whatever it is called. Raises `OSError`."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _connector(path: Path) -> Callable[[], sqlite3.Connection]:
    """Connections to a file that is there: one that was removed is not made anew, empty."""
    address = f"file:{quote(str(path))}?mode=rw"
    return lambda: sqlite3.connect(address, uri=True, check_same_thread=False)


def is_read_only(path: Path) -> bool:
    """Is the ledger's file there, and may this user not write it or into its folder?"""
    # The folder counts, too: SQLite makes its -wal and -shm there.
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def read_only_engine(path: Path) -> Engine:
    """An engine on a ledger that may only be looked at; nothing is made beside it.

    A write-ahead log without its index cannot be read there (SQLite, "Read-Only WAL-Mode Databases"): a file
    without a log is read as one that nobody changes.
    """
    log = path.with_name(path.name + "-wal")
    how = "mode=ro" if log.is_file() and log.stat().st_size else "immutable=1"
    address = f"file:{quote(str(path))}?{how}"
    engine = create_engine(
        "sqlite://",
        hide_parameters=True,
        creator=lambda: sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None),
        poolclass=QueuePool,
        max_overflow=-1,
    )
    event.listen(engine, "begin", _begin)
    return engine


def _pragmas(durable: bool) -> Callable[[Any, Any], None]:
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {BUSY_SECONDS * 1000}",
            # Reading commands work beside a running daemon: in this mode they do not wait for who writes.
            "journal_mode = WAL",
            # With triggers each statement keeps the pages that it changes until it has ended: in memory, not in a file.
            "temp_store = MEMORY",
            # What is journaled before a request has to outlast a power cut: only FULL syncs the log at each commit.
            f"synchronous = {'FULL' if durable else 'NORMAL'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return on_connect


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    # Heads of chains and counts of requests are read and written in one transaction: nobody may write between.
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
        prepare_file(path)
        # Each site that is worked on holds one connection and reads over another.
        engine = create_engine(
            "sqlite://", hide_parameters=True, creator=_connector(path), poolclass=QueuePool, max_overflow=-1
        )
    event.listen(engine, "connect", _pragmas(durable))
    event.listen(engine, "begin", _begin)
    return engine


def postgres_engine(url: str) -> Engine:
    """An engine on PostgreSQL; `url` is `postgresql://…`. Raises `LedgerError` for another kind."""
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres"} or not rest:
        raise LedgerError("state.url is no PostgreSQL address", hint="write postgresql://USER@HOST/DATABASE")
    # The setting is named as the place: the address itself may hold a password.
    with translated("state.url"):
        try:
            address = make_url(url).set(drivername="postgresql+psycopg")
        except ValueError:  # a port that is no number, most often the rest of a password
            raise LedgerError(
                "state.url is no PostgreSQL address",
                hint="write postgresql://USER:PASSWORD@HOST/DATABASE, with %40 for @, %3A for : and %2F for / in them",
            ) from None
        options = {"client_encoding": "utf8"}  # whatever the database's own is
        # Pinged, because a failover ends connections of the pool; unbounded, because each site holds one for its lock.
        engine = create_engine(address, hide_parameters=True, pool_pre_ping=True, max_overflow=-1, connect_args=options)
    event.listen(engine, "handle_error", _leave_a_standby)
    event.listen(engine, "connect", _see_that_it_holds_any_text)
    return engine


def _leave_a_standby(context: Any) -> None:
    """After a failover the old server takes no writes: its connections are as good as closed."""
    if getattr(context.original_exception, "sqlstate", "") == READ_ONLY:
        context.is_disconnect = True


def _see_that_it_holds_any_text(connection: Any, _record: object) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    # SQL_ASCII converts nothing, so UTF-8 comes back as it was written.
    if encoding not in {"UTF8", "SQL_ASCII"}:
        raise LedgerError(
            f"the ledger's database has the encoding {encoding}, which does not hold every name",
            hint="make it anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        )


def in_parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """The ids in parts that one statement takes."""
    yield from parts_of(sorted(ids))


def parts_of(rows: Iterable[T], most: int = PART) -> Iterator[list[T]]:
    """What is given, in parts that one statement takes."""
    left = iter(rows)
    while part := list(islice(left, most)):
        yield part
