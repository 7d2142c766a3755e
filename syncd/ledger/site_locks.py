"""The site locks that this process holds: on a file for a SQLite ledger, by a session for PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from syncd.ledger.connections import Connections
from syncd.ledger.faults import translated
from syncd.ledger.site_lock import TURNS, GiveUp, advisory_lock, file_lock, holds_lock, session_of

IsHeld = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Taken:
    """A lock that is held."""

    writer: Connection
    """The connection that writes while the lock is held."""
    is_held: IsHeld | None
    """Asks whether the locked file is still the one that others would lock; None where no file is locked."""


class SiteLocks:
    """The site locks of one ledger."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._is_held: dict[str, IsHeld] = {}

    @contextmanager
    def taken(self, site: str, give_up: GiveUp) -> Iterator[Taken | None]:
        """Hold a site's lock. Yields: None where the wait was given up. Raises `LedgerError`."""
        connections, is_held = self._connections, None
        with ExitStack() as stack:
            # The turn comes first: the lock itself knows no order, so one job could overtake another for ever.
            got = stack.enter_context(TURNS.turn(f"{connections.place} {site}", give_up))
            connections.see_the_same_file()
            with translated(connections.place):
                writer = stack.enter_context(connections.to_write())
                if got and connections.is_postgres:
                    got = stack.enter_context(advisory_lock(writer, site, give_up))
                elif got and connections.path is not None:
                    is_held = stack.enter_context(file_lock(connections.path, site, give_up))
                    got = is_held is not None
            yield Taken(writer, is_held) if got else None

    @contextmanager
    def watched(self, site: str, taken: Taken) -> Iterator[None]:
        """Let `is_lost` watch a lock for as long as it is held. Raises `LedgerError`."""
        is_held = taken.is_held
        if self._connections.is_postgres:
            is_held = partial(self._holds, session_of(taken.writer), site)
        self._is_held |= {site: is_held} if is_held else {}
        try:
            yield
        finally:
            self._is_held.pop(site, None)

    def _holds(self, session: int, site: str) -> bool:
        with self._connections.reading() as connection:
            return holds_lock(connection, session, site)

    def is_lost(self, site: str) -> bool:
        """Did this process take the site's lock and lose it? Raises `LedgerError`."""
        is_held = self._is_held.get(site)
        return is_held is not None and not is_held()
