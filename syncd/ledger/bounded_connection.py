"""A connection to PostgreSQL that ends where the server says nothing for too long."""

from __future__ import annotations

import time
from typing import Any

import psycopg

SECONDS = 60.0
"""Longest time for one statement, in seconds; ours take milliseconds.

A machine that is frozen never answers, and neither does a proxy whose server is gone. No time limit of TCP notices
that: the kernel there goes on confirming what was sent.
"""


MIGRATION_SECONDS = 3600.0
"""Longest time for one statement of a migration, in seconds: it may write a million rows anew."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection on which every wait for the server ends, so that nobody holds a site's lock for ever."""

    seconds: float | None = None
    """The limit of this connection; None: `SECONDS`."""

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait as psycopg does, but no longer than the limit.

        Raises `psycopg.OperationalError` after it; the connection is closed then.
        """
        began, most = time.monotonic(), self.seconds or SECONDS
        try:
            return super().wait(gen, *args, **{**options, "timeout": most})
        except psycopg.OperationalError:
            if time.monotonic() - began < most:
                raise
            # Nobody knows what became of the statement, so nothing more is asked over this line.
            self.pgconn.finish()
            raise psycopg.OperationalError("the server does not answer") from None
