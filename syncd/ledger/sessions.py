"""Who is logged in at the page: random session ids, of which the ledger keeps only hashes."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select

from syncd.domain.ports import Clock
from syncd.domain.recency import is_ahead
from syncd.ledger import schema as tables

Door = Callable[[], AbstractContextManager[Connection]]
LASTS = timedelta(hours=8)


class Sessions:
    """The sessions of one ledger."""

    def __init__(self, reading: Door, writing: Door, clock: Clock) -> None:
        self._reading, self._writing, self._clock = reading, writing, clock

    def begin(self, name: str, credential: str) -> str:
        """Begin a session of a named token, for eight hours. Returns: its id.

        `credential`: a keyed hash of the token as it is now.
        """
        session, now = secrets.token_urlsafe(32), self._clock()
        row = {"hash": _hash(session), "name": name, "credential": credential, "until": now + LASTS}
        with self._writing() as connection:
            # A login is rare, so it tidies up after those that ended.
            connection.execute(delete(tables.sessions).where(tables.sessions.c.until < now))
            connection.execute(insert(tables.sessions).values(**row))
        return session

    def of(self, session: str) -> tuple[str, str] | None:
        """The token's name and the keyed hash that it had; None for one that ended or never was."""
        with self._reading() as connection:
            query = select(tables.sessions).where(tables.sessions.c.hash == _hash(session))
            row = connection.execute(query).first()
        # By both bounds: a session that a wrong clock began would last longer than any other.
        if row is None or not is_ahead(row.until, self._clock(), LASTS):
            return None
        return row.name, row.credential

    def end(self, session: str) -> None:
        """Log out."""
        with self._writing() as connection:
            connection.execute(delete(tables.sessions).where(tables.sessions.c.hash == _hash(session)))


def _hash(session: str) -> str:
    return hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()
