"""Opening the ledger's database in a SQLite file beside the service."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from syncd.errors import LedgerError
from syncd.ledger.faults import translated
from syncd.transport.private_files import SpecialFile, narrow

BUSY_SECONDS = 10
"""Seconds that a transaction waits for another process's transaction."""
APPLICATION_ID = 0x73796E63
"""SQLite's `application_id` of a syncd ledger ("sync"): another program's file is not touched."""


def prepare_file(path: Path) -> list[tuple[Path, int]]:
    """Make the ledger's file, or take from other users all rights to it and to the files beside it.

    Returns: the files whose rights were too wide and are narrow now, with the rights they had. Raises `LedgerError`.
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
    """Is it a SQLite file, and of syncd or still empty? It is read through SQLite, which knows of its own locks on it.

    Raises `LedgerError` for another program's database: to open it as a ledger would change its journal mode.
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
    """Return what identifies a file under any name: its device and inode. Raises `OSError`."""
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
    """Return an engine on a SQLite file; without a path, one in memory (a plan where there is no ledger yet).

    `durable` False: a power failure may take the last transactions. Raises `LedgerError`.
    """
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
