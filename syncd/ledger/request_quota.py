"""The times of requests, shared by all commands and restarts: never more than the rate in any window."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, and_, bindparam, delete, func, select, update

from syncd.domain.ports import Clock
from syncd.errors import LedgerError
from syncd.ledger import schema as tables
from syncd.ledger.faults import translated

FLIGHT = timedelta(seconds=10)
"""Longest time that a request is under way. Until its answer comes, it counts as if it took that long."""

_TABLE = tables.requests
_MINE = _TABLE.c.site == bindparam("of")
_FORGET = delete(_TABLE).where(and_(_MINE, _TABLE.c.at <= bindparam("before")))
_PULL_BACK = update(_TABLE).where(and_(_MINE, _TABLE.c.at > bindparam("latest"))).values(at=bindparam("latest"))
_COUNT = select(func.count(), func.min(_TABLE.c.at)).where(_MINE)
_ADD = _TABLE.insert().returning(_TABLE.c.id)
_ANSWERED = update(_TABLE).where(_TABLE.c.id == bindparam("ticket")).values(at=bindparam("came"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRate:
    """How many requests a site takes within a window of time."""

    site: str
    limit: int
    window: timedelta


@dataclass(slots=True, eq=False)
class _Asked:
    """One thread's question, answered by whichever thread asks the ledger next."""

    ticket: int = 0
    left: timedelta | None = None
    failed: LedgerError | None = None


class Quota:
    """A sliding-window log of one site's requests.

    A request counts from its sending until one window after its answer, so that Wix never sees too many, however long
    requests are on their way. Threads that come while another one asks the ledger share the next transaction.
    """

    def __init__(
        self,
        engine: Engine,
        place: str,
        rate: RequestRate,
        clock: Clock,
        still_there: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._place, self._rate, self._clock = engine, place, rate, clock
        self._still_there = still_there
        self._turn, self._lists = threading.Lock(), threading.Lock()
        self._asking: list[_Asked] = []
        self._came: list[tuple[int, datetime]] = []
        self._mine: dict[int, float] = {}
        """By ticket: from when this process's own request counts, by the monotonic clock.

        The ledger's times may jump.
        """

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self._still_there()
        with (
            translated(self._place),
            self._engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            if connection.dialect.name == "postgresql":  # one at a time, as SQLite's writers are
                connection.execute(select(func.pg_advisory_xact_lock(hash_of(self._rate.site))))
            yield connection

    def take(self) -> tuple[int, timedelta]:
        """Ask for a place in the window. Returns: (ticket, 0), or (0, how long to wait before asking again).

        Raises `LedgerError`.
        """
        request = _Asked()
        with self._lists:
            self._asking.append(request)
        with self._turn:
            # Whoever had the turn before may have answered this one along with its own.
            if request.left is None and request.failed is None:
                self._serve(request)
        if request.failed is not None:
            # An error of its own for each thread: one object cannot carry the traceback of all.
            raise type(request.failed)(request.failed.message, hint=request.failed.hint) from None
        return request.ticket, request.left or timedelta(0)

    def room(self) -> int:
        """Return how many requests may be sent now, as far as can be seen. Raises `LedgerError`."""
        with self._transaction() as connection:
            connection.execute(_FORGET, {"of": self._rate.site, "before": self._clock() - self._rate.window})
            count, _ = connection.execute(_COUNT, {"of": self._rate.site}).one()
        # The greater number of both: a clock that stepped ahead makes the ledger forget.
        return max(0, self._rate.limit - max(int(count), self._own()[0]))

    def answered(self, ticket: int) -> None:
        """Note that the request's answer came: its window starts here. Raises `LedgerError`."""
        arrival = (ticket, self._clock())
        self._mine[ticket] = time.monotonic()
        with self._lists:
            self._came.append(arrival)
        with self._turn:
            if arrival in self._came:
                self._serve()

    def _serve(self, *mine: _Asked) -> None:
        """Serve all that threads wait for now; a place is theirs once its row is committed.

        If the ledger fails, all of them fail at once, not one after the other. A request whose answer could not be
        written down counts for the longest time. Raises `LedgerError`.
        """
        with self._lists:
            asking, self._asking = self._asking, []
            came, self._came = self._came, []
        asking += [request for request in mine if request not in asking]
        tickets, wait = list[int](), timedelta(0)
        try:
            with self._transaction() as connection:
                if came:
                    connection.execute(_ANSWERED, [{"ticket": ticket, "came": at} for ticket, at in came])
                if asking:
                    tickets, wait = self._admit(connection, len(asking))
        except LedgerError as error:
            for request in asking:
                request.failed = error
            raise
        for index, request in enumerate(asking):
            request.ticket = tickets[index] if index < len(tickets) else 0
            request.left = timedelta(0) if request.ticket else wait

    def _admit(self, connection: Connection, asked: int) -> tuple[list[int], timedelta]:
        """Tickets for as many as the window has room for, and how long the others wait."""
        now = self._clock()
        # A request counts from its sending until it was answered: as late as it may arrive at Wix.
        flying = now + FLIGHT
        connection.execute(_FORGET, {"of": self._rate.site, "before": now - self._rate.window})
        # A clock that was set back leaves times far in the future.
        connection.execute(_PULL_BACK, {"of": self._rate.site, "latest": flying})
        count, oldest = connection.execute(_COUNT, {"of": self._rate.site}).one()
        recent, left = self._own()
        if recent > count:  # the clock stepped forward, and the ledger forgot what this process remembers
            return self._take(connection, flying, min(asked, max(0, self._rate.limit - recent))), left
        tickets = self._take(connection, flying, min(asked, max(0, self._rate.limit - count)))
        # Never nothing: who waits for no time would ask the ledger in a loop.
        return tickets, max(timedelta(milliseconds=1), (oldest or now) + self._rate.window - now)

    def _take(self, connection: Connection, flying: datetime, count: int) -> list[int]:
        row = {"site": self._rate.site, "at": flying}
        tickets = [int(connection.execute(_ADD, row).scalar_one()) for _ in range(count)]
        self._mine.update(dict.fromkeys(tickets, time.monotonic() + FLIGHT.total_seconds()))
        return tickets

    def _own(self) -> tuple[int, timedelta]:
        """How many requests of this process are within the window, and how long until the first of them leaves it."""
        now, window = time.monotonic(), self._rate.window.total_seconds()
        self._mine = {ticket: at for ticket, at in list(self._mine.items()) if at > now - window}
        left = min(self._mine.values(), default=now) + window - now
        return len(self._mine), timedelta(seconds=max(0.001, left))


def hash_of(site: str) -> int:
    """A number for PostgreSQL's transaction lock of a site's quota."""
    # Not Python's own hash, which is another one in each process.
    return zlib.crc32(f"quota:{site}".encode())
