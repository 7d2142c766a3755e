"""One process works on a site at a time; the lock ends with its process.

SQLite: flock on a file beside the ledger. PostgreSQL: an advisory lock on the very connection that writes the
journal, so that whoever loses the connection loses the lock and can write nothing more. Within a process, jobs
that share a site take turns in the order in which they came.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from syncd.transport.private_files import SpecialFile, is_special

POLL_SECONDS = 0.1
GiveUp = Callable[[], bool]
"""Asked while waiting: True once that has gone on long enough, or the process was asked to stop."""


class SiteQueue:
    """First come, first served among the threads of this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queues: defaultdict[str, deque[object]] = defaultdict(deque)

    @contextmanager
    def turn(self, site: str, give_up: GiveUp) -> Iterator[bool]:
        """Wait for this thread's turn on a site. Yields: True once it is there; False if the thread gave up."""
        ticket = object()
        queue = self._queues[site]
        with self._changed:
            queue.append(ticket)
            while queue[0] is not ticket and not give_up():
                self._changed.wait(POLL_SECONDS)
            mine = queue[0] is ticket
        try:
            yield mine
        finally:
            with self._changed:
                # Also of a thread that gave up: its ticket would hold up all who came later.
                queue.remove(ticket)
                self._changed.notify_all()


TURNS = SiteQueue()
"""One queue a site for the whole process, however often its ledger is opened."""


def _poll(attempt: Callable[[], bool], give_up: GiveUp) -> bool:
    # Asked again and again instead of waited for in the system: so a stop or a deadline can end the wait.
    while not attempt():
        if give_up():
            return False
        time.sleep(POLL_SECONDS)
    return True


def _digest(site: str) -> bytes:
    return hashlib.sha256(site.encode()).digest()


@contextmanager
def file_lock(ledger: Path, site: str, give_up: GiveUp) -> Iterator[Callable[[], bool] | None]:
    """Hold a flock on `LEDGER.<8 hex>.lock`.

    Yields: None if another process kept it; else a function that asks whether the file that is locked is still the one
    that others would lock.
    """
    path = ledger.with_name(f"{ledger.name}.{_digest(site).hex()[:8]}.lock")
    held: list[int] = []

    def is_held() -> bool:
        try:
            return os.fstat(held[0]).st_ino == os.stat(path, follow_symlinks=False).st_ino  # noqa: PTH116
        except FileNotFoundError:
            return False

    def attempt() -> bool:
        # Opened anew at each try: the file may have been removed since, and others would lock the one in its place.
        # No link is followed, and a pipe in its place holds nobody up.
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            if is_special(path):
                raise SpecialFile
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append(handle)
            if is_held():
                return True
            held.clear()  # the file was removed meanwhile, and others lock another one
        except (BlockingIOError, FileNotFoundError):
            held.clear()
        finally:
            if handle not in held:
                os.close(handle)
        return False

    try:
        yield is_held if _poll(attempt, give_up) else None
    finally:
        for handle in held:
            os.close(handle)


def _key_of(site: str) -> int:
    return int.from_bytes(_digest(site)[:8], "big", signed=True)


def session_of(connection: Connection) -> int:
    """The number of a connection's session at the server."""
    session = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    connection.commit()
    return int(session)


HOLDER = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = :session"
    " AND ((classid::bigint << 32) | objid::bigint) = :key"
)
"""Counts the session's locks under a key; pg_locks has a 64-bit key in two halves (PostgreSQL's documentation)."""


def holds_lock(connection: Connection, session: int, site: str) -> bool:
    """Does this session still hold the site's lock? Asked on another connection."""
    return bool(connection.execute(HOLDER, {"session": session, "key": _key_of(site)}).scalar())


@contextmanager
def advisory_lock(connection: Connection, site: str, give_up: GiveUp) -> Iterator[bool]:
    """Hold PostgreSQL's session lock of a site on this connection. Yields: False if another session kept it."""
    # Session-wide, not of a transaction: it has to outlast every commit of the cycle.
    key = _key_of(site)

    def attempt() -> bool:
        # Committed at once: the wait must not be one long transaction, and the journal begins its own.
        got = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar()
        connection.commit()
        return bool(got)

    got = _poll(attempt, give_up)
    try:
        yield got
    finally:
        # A connection that was lost has taken its lock along.
        if got and not connection.invalidated:
            with suppress(SQLAlchemyError):
                connection.rollback()
                # By hand: the connection goes back to the pool, and its session would keep the lock.
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
                connection.commit()
