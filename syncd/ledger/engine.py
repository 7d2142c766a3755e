"""Opening the ledger's database: SQLite beside the service, or PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import QueuePool, StaticPool

from syncd.errors import LedgerError
from syncd.ledger.faults import READ_ONLY, translated
from syncd.transport.private_files import SpecialFile, narrow

BUSY_SECONDS = 10
"""That one transaction waits for another process's."""
APPLICATION_ID = 0x73796E63
"""SQLite's `application_id` of a syncd ledger ("sync"): another program's file is not touched."""


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
            address = make_url(_with_hosts_apart(url)).set(drivername="postgresql+psycopg")
        except ValueError:  # a port that is no number, most often the rest of a password
            raise LedgerError(
                "state.url is no PostgreSQL address",
                hint="write postgresql://USER:PASSWORD@HOST/DATABASE, with %40 for @, %3A for : and %2F for / in them",
            ) from None
        options = {"client_encoding": "utf8"}  # whatever the database's own is
        # Pinged, because a failover ends connections of the pool; unbounded, because each site holds one for its lock.
        engine = create_engine(address, hide_parameters=True, pool_pre_ping=True, max_overflow=-1, connect_args=options)
        _see_options(engine)
    event.listen(engine, "handle_error", _leave_a_standby)
    event.listen(engine, "connect", _see_that_it_holds_any_text)
    return engine


PSYCOPGS = ("autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory")
"""Options of psycopg's own, which no address takes."""


def _with_hosts_apart(url: str) -> str:
    """The address as SQLAlchemy reads it: of several servers, which libpq writes one after the other, as options."""
    head, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "," not in hosts:
        return url
    options = "&".join(f"host={host}" for host in hosts.split(","))
    return f"{head}://{user}{at}{slash or '/'}{path}{'&' if '?' in path else '?'}{options}"


def _see_options(engine: Engine) -> None:
    """Raise `LedgerError` for an option of the address that is none of libpq's: psycopg would take it for its own."""
    known = {option.keyword.decode() for option in engine.dialect.loaded_dbapi.pq.Conninfo.get_defaults()}
    for name in engine.url.query:
        if name in known:
            continue
        # What follows a ? may be the rest of a password: only what is near an option's name is told, by that name.
        close = next(iter(get_close_matches(name, [*sorted(known), *PSYCOPGS], 1, 0.8)), "")
        meant = f": {close}" if close in PSYCOPGS else f"; is {close} meant?" if close else ""
        raise LedgerError(
            f"state.url has an option that PostgreSQL does not know{meant}",
            hint="leave it out, or write %3F for ? in a password; options are libpq's, such as sslmode",
        )


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
