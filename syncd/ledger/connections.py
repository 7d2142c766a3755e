"""Connections to the ledger's database: for one consistent look, or for one durable transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine

from syncd.errors import LedgerError
from syncd.ledger.engine import identity_of
from syncd.ledger.faults import translated


class Connections:
    """Opens connections to one ledger in SQLite or PostgreSQL."""

    def __init__(self, engine: Engine, place: str, path: Path | None) -> None:
        """`place`: what errors name; `path`: the SQLite file; None for PostgreSQL and for memory."""
        self.place, self.path, self._engine = place, path, engine
        self.is_postgres = engine.dialect.name == "postgresql"
        # PostgreSQL gives each statement a picture of its own otherwise; SQLite one to the whole transaction.
        self._reader = engine.execution_options(isolation_level="REPEATABLE READ") if self.is_postgres else engine
        with translated(place):
            self._file = identity_of(path) if path else None

    def close(self) -> None:
        """Close them all."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection that sees one consistent state of the ledger. Raises `LedgerError`."""
        with translated(self.place), self._reader.connect() as connection, connection.begin():
            yield connection

    def to_write(self) -> Connection:
        """A connection whose transactions are durable, to be closed by whoever asks."""
        return self._engine.connect().execution_options(writes=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in one durable transaction. Raises `LedgerError`."""
        self.see_the_same_file()
        with translated(self.place), self.to_write() as connection, connection.begin():
            yield connection

    def see_the_same_file(self) -> None:
        """Raise `LedgerError` where the file was removed or replaced.

        SQLite itself would go on writing into a file that nobody finds any more.
        """
        if self.path is not None and not self._is_the_same_file(self.path):
            raise LedgerError(
                f"the ledger {self.place} was removed or replaced while syncd runs",
                hint="restart syncd; what is missing then is taken back from the sites by its marks",
            )

    def _is_the_same_file(self, path: Path) -> bool:
        try:
            return identity_of(path) == self._file
        except OSError:
            return False
