"""One configuration for all daemons of a ledger: of those that live, the one that was loaded last counts."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select

from syncd.domain.ports import Clock
from syncd.domain.untrusted import instant, mapping, parsed, text
from syncd.errors import ConfigError
from syncd.ledger import schema as tables
from syncd.ledger.audit_trail import Door
from syncd.ledger.held_actions import one_at_a_time
from syncd.ledger.statements import upsert

KEYS, LAST = "daemon_configuration:", "daemon_configuration_last"
"""Keys of the ledger's meta table: one row a process, with what its daemon works with; and the last number given."""
ALIVE, HEARD = timedelta(minutes=8), timedelta(minutes=2)
"""A daemon silent for `ALIVE` counts as gone, once the process that asks has also waited for it for `HEARD`."""
REFRESH = timedelta(minutes=1)
PROCESS = secrets.token_hex(8)
"""Tells this process from processes of the same name on other machines."""
LATELY = timedelta(days=1)
"""For so long after a daemon's last report, its file says how long the audit trail is kept, and no command's does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that a daemon works with."""

    number: int
    """Its number among all that this ledger's daemons loaded; the last one has the highest.

    Times do not count here: clocks may be wrong.
    """
    digest: str
    since: datetime
    """When it was loaded."""
    by: str
    """Which process, in words."""
    seen: datetime
    """When that process last reported that it lives."""
    process: str
    has_left: bool = False
    """Did it end in good order?"""

    def lives(self, now: datetime) -> bool:
        """Did its daemon report within `ALIVE`? A time over a minute ahead of this clock counts for nothing."""
        return not self.has_left and -REFRESH <= now - self.seen < ALIVE

    def row(self) -> dict[str, str]:
        """Return the row that the ledger keeps of it."""
        kept = {"number": self.number, "digest": self.digest, "by": self.by, "left": self.has_left}
        times = {"since": self.since.isoformat(), "seen": self.seen.isoformat()}
        return {"key": KEYS + self.process, "value": json.dumps({**kept, **times, "process": self.process})}


class Configurations:
    """What the daemons of a ledger have loaded."""

    def __init__(
        self, reading: Door, writing: Door, clock: Clock, *, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._reading, self._writing, self._clock, self._steady = reading, writing, clock, steady
        self._silent: dict[str, tuple[datetime, float]] = {}
        """By process that seems gone: its last report, and since when (steady clock) the next is waited for."""
        self._mine: Loaded | None = None
        self._owed: tuple[str, str] | None = None
        """What `load` could not store yet: the digest, and the process in words."""
        self._told_at = float("-inf")

    def load(self, digest: str, by: str) -> None:
        """Store that this daemon works with a configuration from now on.

        `by`: the process, in words. Raises `LedgerError`; it is then stored before this daemon's next report or check,
        and until that succeeds nothing is sent.
        """
        self._owed = digest, by
        with self._writing() as connection:
            one_at_a_time(connection)
            now = self._now(connection)
            given = connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == LAST)).scalar()
            number = int(str(given)) + 1 if str(given).isdecimal() else 1
            process = hashlib.sha256(f"{PROCESS} {by}".encode()).hexdigest()[:32]
            mine = Loaded(number=number, digest=digest, since=now, by=by, seen=now, process=process)
            for gone in (one for one in _all(connection) if now - one.seen > LATELY):
                connection.execute(delete(tables.meta).where(tables.meta.c.key == gone.row()["key"]))
            upsert(connection, tables.meta, [{"key": LAST, "value": str(number)}, mine.row()])
        self._mine, self._owed, self._told_at = mine, None, self._steady()

    def see_that_mine_is_in_force(self) -> None:
        """Check, before a daemon works on a site, that its configuration is in force; a command passes.

        Raises `ConfigError` where another daemon has loaded a newer configuration, `LedgerError` where the ledger
        cannot tell.
        """
        self._say_what_is_owed()
        if self._mine is None:
            return
        now, known = self._look()
        if (newer := self._newer(known, now)) is not None:
            raise ConfigError(
                f"another daemon on this ledger loaded a newer configuration at {newer.since:%H:%M:%S} UTC"
                f" ({newer.by}); this one sends nothing meanwhile",
                hint="give both the same file; to make this one's count, reload it (SIGHUP)",
            )
        # Whoever was stopped for a while says so before it sends anything: another one may have gone on in its place.
        if not any(one.process == self._mine.process and one.lives(now) for one in known):
            self._store(now)

    def tell_that_it_lives(self) -> None:
        """Report that this daemon lives, once a minute at most. Raises `LedgerError`.

        The daemon calls this again and again, whatever its schedules are.
        """
        self._say_what_is_owed()
        if self._mine is None or self._steady() - self._told_at < REFRESH.total_seconds():
            return
        with self._reading() as connection:
            now = self._now(connection)
        self._store(now)
        self._told_at = self._steady()

    def leave(self) -> None:
        """Say that this daemon ends: one with another configuration need not wait for it. Raises `LedgerError`."""
        mine, self._mine, self._owed = self._mine, None, None
        if mine is not None:
            with self._writing() as connection:
                ended = replace(mine, seen=self._now(connection), has_left=True)
                upsert(connection, tables.meta, [ended.row()])

    def another_in_force(self, digest: str) -> Loaded | None:
        """Return the configuration in force among living daemons, if it is another one than this; else None.

        Raises `LedgerError`.
        """
        now, known = self._look()
        found = _in_force(known, lambda one: one.lives(now))
        return found if found is not None and found.digest != digest else None

    def another_of_late(self, digest: str) -> Loaded | None:
        """The same as `another_in_force`; where no daemon lives, the newest of the last day, which may come back."""
        now, known = self._look()
        of_late = (one for one in known if now - one.seen < LATELY)
        found = _in_force(known, lambda one: one.lives(now)) or max(of_late, key=lambda one: one.number, default=None)
        return found if found is not None and found.digest != digest else None

    def why_it_rests(self) -> str:
        """Return why this daemon sends nothing; empty if it sends, and for a command. Raises `LedgerError`."""
        if self._mine is None:
            return ""
        now, known = self._look()
        newer = self._newer(known, now)
        return f"another daemon on this ledger works with a newer configuration ({newer.by})" if newer else ""

    def _newer(self, known: Iterable[Loaded], now: datetime) -> Loaded | None:
        """Return what is in force in place of this daemon's own: another one, loaded later by a daemon that lives."""
        mine = self._mine
        found = _in_force(known, lambda one: one.lives(now) or self._may_be_heard(one))
        if found is None or mine is None or found.digest == mine.digest or found.number <= mine.number:
            return None
        # What this process loaded since is for its next runs: those under way end as they began.
        return found if found.process != mine.process else None

    def _may_be_heard(self, one: Loaded) -> bool:
        """Has a daemon that seems gone had too little time (`HEARD`) to report since this process began to wait?

        A clock may have stepped, or everything may have stood still.
        """
        if one.has_left:
            return False
        word, since = self._silent.get(one.process, (None, 0.0))
        if word != one.seen:
            since = self._steady()
            self._silent[one.process] = one.seen, since
        return self._steady() - since < HEARD.total_seconds()

    def _say_what_is_owed(self) -> None:
        if self._owed is not None:
            self.load(*self._owed)

    def _store(self, now: datetime) -> None:
        if self._mine is not None:
            with self._writing() as connection:
                upsert(connection, tables.meta, [replace(self._mine, seen=now).row()])

    def _look(self) -> tuple[datetime, list[Loaded]]:
        """The time, and what each daemon works with."""
        with self._reading() as connection:
            return self._now(connection), _all(connection)

    def _now(self, connection: Connection) -> datetime:
        # One clock for all machines; beside SQLite there is one machine.
        if connection.dialect.name == "postgresql":
            now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
            return now
        return self._clock()


def _in_force(known: Iterable[Loaded], lives: Callable[[Loaded], bool]) -> Loaded | None:
    """Return what is in force: of all that living daemons work with, the one that any daemon loaded last."""
    rows, last = list(known), dict[str, int]()
    for one in rows:
        # Whoever loaded it last may have ended; it goes on counting for those that have the same one.
        last[one.digest] = max(one.number, last.get(one.digest, 0))
    living = (replace(one, number=last[one.digest]) for one in rows if lives(one))
    return max(living, key=lambda one: one.number, default=None)


def _all(connection: Connection) -> list[Loaded]:
    """Return what each daemon works with. A row that cannot be read is left out, so that it stops nobody."""
    kept = connection.execute(
        select(tables.meta.c.value).where(tables.meta.c.key.startswith(KEYS, autoescape=True))
    ).scalars()
    found = (_loaded(str(value)) for value in kept)
    return [one for one in found if one is not None]


def _loaded(value: str) -> Loaded | None:
    fields = mapping(parsed(value.encode()))
    since, seen, number = instant(text(fields.get("since"))), instant(text(fields.get("seen"))), fields.get("number")
    if since is None or seen is None or not isinstance(number, int):
        return None
    return Loaded(
        number=number,
        digest=text(fields.get("digest")),
        since=since,
        by=text(fields.get("by")),
        seen=seen,
        process=text(fields.get("process")),
        has_left=bool(fields.get("left")),
    )
