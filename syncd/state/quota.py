"""The times of requests, shared by all commands and restarts: never more than the rate in any window."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import Connection, Engine, and_, delete, func, select, update

from syncd.ports import Clock
from syncd.state import tables
from syncd.state.engine import translated

FLIGHT = timedelta(seconds=10)
"""As long a request may be under way at most; until its answer it counts as if it arrived at the end of that."""


class Quota:
    """A sliding-window log of one site's requests. A request counts from its sending until its window
    after its answer, so that latency on the wire never lets one more in at Wix.
    """

    def __init__(self, engine: Engine, place: str, *, site: str, limit: int, window: timedelta, clock: Clock) -> None:
        self._engine = engine
        self._place = place
        self._site = site
        self._limit = limit
        self._window = window
        self._clock = clock

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with (
            translated(self._place),
            self._engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            if connection.dialect.name == "postgresql":  # one at a time, as SQLite's writers are
                connection.execute(select(func.pg_advisory_xact_lock(hash_of(self._site))))
            yield connection

    def take(self) -> tuple[int, timedelta]:
        """A place in the window, as (ticket, 0), or (0, how long to wait before asking again)."""
        table = tables.requests
        mine = table.c.site == self._site
        with self._transaction() as connection:
            now = self._clock()
            flying = now + FLIGHT
            connection.execute(delete(table).where(and_(mine, table.c.at <= now - self._window)))
            # A clock that was set back leaves times far in the future.
            connection.execute(update(table).where(and_(mine, table.c.at > flying)).values(at=flying))
            count, oldest = connection.execute(select(func.count(), func.min(table.c.at)).where(mine)).one()
            if count < self._limit:
                ticket = connection.execute(table.insert().values(site=self._site, at=flying)).inserted_primary_key
                return int(ticket[0]) if ticket else 0, timedelta(0)
        return 0, max(timedelta(milliseconds=1), oldest + self._window - now)

    def answered(self, ticket: int) -> None:
        """The request's answer came: its window starts here."""
        at = self._clock()
        with self._transaction() as connection:
            connection.execute(update(tables.requests).where(tables.requests.c.id == ticket).values(at=at))


def hash_of(site: str) -> int:
    """A number for PostgreSQL's transaction lock of a site's quota."""
    return zlib.crc32(f"quota:{site}".encode())
