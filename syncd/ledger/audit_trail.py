"""The audit trail for commands and the daemon: read, verify, ship and prune its lines; note decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Select, select

from syncd.domain.audit import CAUSE, CONTROL, RELOAD, RUN, Entry
from syncd.domain.audit_chain import Break
from syncd.domain.ports import Clock
from syncd.ledger import audit as trail
from syncd.ledger import audit_keeping as keeping
from syncd.ledger import audit_reading as reading
from syncd.ledger import schema as tables
from syncd.ledger.audit_reading import Filter
from syncd.ledger.faults import undamaged
from syncd.ledger.statements import upsert

Door = Callable[[], AbstractContextManager[Connection]]


DAEMONS, ANYBODYS = "audit_configuration_daemon", "audit_configuration"
"""Keys of the ledger's meta table: the digest in the last line about a configuration, of a daemon and of anybody."""


def _told_configuration() -> str:
    return DAEMONS if CAUSE.get().actor.via in {RUN, RELOAD} else ANYBODYS


def _told(key: str) -> Select[Any]:
    return select(tables.meta.c.value).where(tables.meta.c.key == key)


class AuditTrail:
    """The trail of one ledger."""

    def __init__(self, reading: Door, writing: Door, place: str, clock: Clock) -> None:
        self._reading, self._writing, self._place, self._clock = reading, writing, place, clock

    def note(self, *entries: Entry) -> None:
        """Write lines of the control stream: what a person or a configuration decided."""
        with self._writing() as connection:
            trail.append(connection, CONTROL, entries, self._clock())

    def has_configuration(self, digest: str) -> bool:
        """Does the last line about a configuration name this one?

        For a daemon, the last line of a daemon counts; for a command, the last line of anybody.
        """
        with self._reading() as connection:
            return bool(connection.execute(_told(_told_configuration())).scalar() == digest)

    def note_configuration(self, digest: str, detail: Mapping[str, Any]) -> None:
        """Write a line for a configuration, unless the last line about one already names it.

        A daemon goes by the lines of daemons: its line says who may do what, also where a command had loaded the same
        file before.
        """
        # Asked without the writers' lock first: nearly every start loads the configuration of before.
        if self.has_configuration(digest):
            return
        keys = [_told_configuration(), ANYBODYS]
        with self._writing() as connection:
            trail.held_head(connection, CONTROL)  # whoever loads the same at this moment waits here
            if connection.execute(_told(keys[0])).scalar() == digest:
                return
            upsert(connection, tables.meta, [{"key": key, "value": digest} for key in dict.fromkeys(keys)])
            entry = Entry(event="config.loaded", detail={"digest": digest, **detail})
            trail.append(connection, CONTROL, [entry], self._clock())

    def lines(self, asked: Filter, *, most: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield lines of the audit trail, oldest first. `most`: only that many, the newest."""
        with self._reading() as connection, undamaged(self._place):
            yield from reading.lines(connection, asked, most=most)

    def last_done(self) -> Iterator[dict[str, Any]]:
        """The line of the last action that was done on each secret."""
        with self._reading() as connection, undamaged(self._place):
            yield from reading.last_done(connection)

    def verify(
        self, expected: Mapping[str, Mapping[int, str]], visit: trail.Visit | None = None
    ) -> tuple[list[Break], int]:
        """Return where the trail is not as it was written, and how many lines were checked.

        `expected`, `visit`: see `ledger.audit.verify`.
        """
        with self._reading() as connection:
            return trail.verify(connection, expected, visit)

    def heads(self, *streams: str) -> dict[str, tuple[int, str]]:
        """The last line of each of these streams of the audit trail, or of all: its seq and hash."""
        with self._reading() as connection:
            found = trail.heads(connection)
        return {stream: head for stream, head in found.items() if not streams or stream in streams}

    def unshipped(self, sink: str, most: int) -> list[keeping.Stored]:
        """Return the next lines that a sink does not have, `most` at most: stream by stream, each in its order."""
        with self._reading() as connection:
            return keeping.unshipped(connection, sink, most)

    def unshipped_count(self, sink: str) -> int:
        """How many lines a sink has not got."""
        with self._reading() as connection:
            return keeping.unshipped_count(connection, sink)

    def is_unshipped_since(self, sink: str, span: timedelta) -> bool:
        """Is there a line older than `span` that the sink does not have yet?"""
        with self._reading() as connection:
            return keeping.is_unshipped_before(connection, sink, self._clock() - span)

    def mark_shipped(self, sink: str, last: Mapping[str, int]) -> None:
        """Store up to which line of each stream a sink has them all. A cursor never moves back."""
        with self._writing() as connection:
            keeping.mark_shipped(connection, sink, last)

    def rename_cursors(self, former: str, now: str) -> None:
        """Keep a sink's cursors under another name."""
        with self._writing() as connection:
            keeping.rename_cursors(connection, former, now)

    def prune(self, keep: timedelta, sink: str | None) -> int:
        """Remove lines that are older than `keep` and, where there is a sink, shipped to it. Returns: how many."""
        with self._writing() as connection:
            return keeping.prune(connection, keep, sink, self._clock())
