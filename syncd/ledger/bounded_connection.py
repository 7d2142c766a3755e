"""A connection to PostgreSQL that ends where the server says nothing for too long."""

from __future__ import annotations

import time
from typing import Any

import psycopg

SECONDS = 60.0
"""For one statement. Ours take milliseconds. A frozen machine, or a proxy before one that is gone, never answers, and
no time limit of TCP's sees that: their kernel goes on saying that it has what was sent.
"""


class BoundedConnection(psycopg.Connection[Any]):
    """Every wait for the server ends: what holds a site waits for nobody for ever."""

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """See psycopg. Raises `psycopg.OperationalError` after `SECONDS`; the connection is closed then."""
        began = time.monotonic()
        try:
            return super().wait(gen, *args, **{**options, "timeout": SECONDS})
        except psycopg.OperationalError:
            if time.monotonic() - began < SECONDS:
                raise
            # Nobody knows what became of the statement, so nothing more is asked over this line.
            self.pgconn.finish()
            raise psycopg.OperationalError("the server does not answer") from None
