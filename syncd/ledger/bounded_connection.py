"""A connection to PostgreSQL that ends where the server says nothing for too long."""

from __future__ import annotations

import time
from typing import Any

import psycopg

SECONDS = 60.0
"""For one statement. Ours take milliseconds. A frozen machine, or a proxy before one that is gone, never answers, and
no time limit of TCP's sees that: their kernel goes on saying that it has what was sent.
"""


MIGRATION_SECONDS = 3600.0
"""For one statement of a migration, which may write a million rows anew."""


class BoundedConnection(psycopg.Connection[Any]):
    """Every wait for the server ends: what holds a site waits for nobody for ever."""

    seconds: float | None = None
    """Of this connection; None: as all have."""

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """See psycopg. Raises `psycopg.OperationalError` after so many seconds; the connection is closed then."""
        began, most = time.monotonic(), self.seconds or SECONDS
        try:
            return super().wait(gen, *args, **{**options, "timeout": most})
        except psycopg.OperationalError:
            if time.monotonic() - began < most:
                raise
            # Nobody knows what became of the statement, so nothing more is asked over this line.
            self.pgconn.finish()
            raise psycopg.OperationalError("the server does not answer") from None
