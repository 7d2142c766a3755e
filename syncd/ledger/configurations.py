"""One configuration for all daemons of a ledger: of several that live, the one that was loaded last counts."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select

from syncd.domain.ports import Clock
from syncd.domain.untrusted import instant, mapping, parsed, text
from syncd.errors import ConfigError
from syncd.ledger import schema as tables
from syncd.ledger.audit_trail import Door
from syncd.ledger.statements import upsert

KEY = "daemon_configuration"
ALIVE = timedelta(minutes=10)
"""After so long without a word a daemon counts as gone, and its configuration with it."""
REFRESH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that a daemon works with."""

    number: int
    """Which one it is of all that this ledger's daemons loaded: clocks may be wrong."""
    digest: str
    since: datetime
    """When it was loaded."""
    by: str
    """Which process, in words."""
    seen: datetime
    """When it worked last."""

    @property
    def order(self) -> tuple[int, str]:
        """The highest one counts; of two that were loaded in the same moment, one and the same for all."""
        return self.number, self.by

    def lives(self, now: datetime) -> bool:
        """Did its daemon work of late? A time that is ahead of this clock tells nothing."""
        return -REFRESH <= now - self.seen < ALIVE


class Configurations:
    """What the daemons of a ledger have loaded."""

    def __init__(self, reading: Door, writing: Door, clock: Clock) -> None:
        self._reading, self._writing, self._clock = reading, writing, clock
        self._mine: Loaded | None = None
        self._told_at = float("-inf")

    def load(self, digest: str, by: str) -> None:
        """Say that this daemon works with a configuration from now on. Raises `LedgerError`."""
        now, stored = self._look()
        number = stored.number + 1 if stored is not None else 1
        # Kept before it is stored: what could not be stored now is stored with the next word.
        self._mine = Loaded(number=number, digest=digest, since=now, by=by, seen=now)
        self._store(self._mine)

    def see_that_mine_is_in_force(self) -> None:
        """Asked before a daemon works on a site. Raises `ConfigError` where another one has loaded a newer one."""
        if self._mine is None:
            return
        now, stored = self._look()
        if stored is not None and stored.digest != self._mine.digest:
            if self._is_outranked(stored, now):
                raise ConfigError(
                    f"another daemon on this ledger loaded a newer configuration at {stored.since:%H:%M:%S} UTC"
                    f" ({stored.by}); this one sends nothing meanwhile",
                    hint="give both the same file; to make this one's count, reload it (SIGHUP)",
                )
            stored = None
        if stored is None or not stored.lives(now):
            self._store(replace(self._mine, seen=now))

    def tell_that_it_lives(self) -> None:
        """Asked by a daemon again and again, whatever its schedules are. Raises `LedgerError`."""
        if self._mine is None or time.monotonic() - self._told_at < REFRESH.total_seconds():
            return
        now, stored = self._look()
        self._told_at = time.monotonic()
        if stored is not None and stored.digest == self._mine.digest:
            # Whichever of those with the same one loaded it last: that is what counts.
            self._store(replace(stored, seen=now))
        # An older one says nothing over a newer one's word.
        elif stored is None or stored.order <= self._mine.order:
            self._store(replace(self._mine, seen=now))

    def leave(self) -> None:
        """Say that this daemon ends: one with another configuration need not wait for it. Raises `LedgerError`."""
        now, stored = self._look()
        if self._mine is not None and stored is not None and stored.by == self._mine.by:
            # Another one with the same configuration says within the minute that it lives.
            self._store(replace(stored, seen=now - ALIVE))
        self._mine = None

    def another_in_force(self, digest: str) -> Loaded | None:
        """What a daemon that lives works with, if it is another configuration than this; else None."""
        now, stored = self._look()
        return stored if stored is not None and stored.digest != digest and stored.lives(now) else None

    def why_it_rests(self) -> str:
        """Why this daemon sends nothing, in words; empty if it sends, and for a command. Raises `LedgerError`."""
        now, stored = self._look()
        if stored is None or not self._is_outranked(stored, now):
            return ""
        return f"another daemon on this ledger works with a newer configuration ({stored.by})"

    def _is_outranked(self, stored: Loaded, now: datetime) -> bool:
        """Does a daemon that lives work with another configuration, loaded after that of this one?"""
        mine = self._mine
        is_newer = mine is not None and stored.digest != mine.digest and stored.order > mine.order
        return is_newer and stored.lives(now)

    def _look(self) -> tuple[datetime, Loaded | None]:
        """The time, and what the daemon that loaded last works with; None where none ever did, or it cannot be read."""
        with self._reading() as connection:
            # One clock for all machines; beside SQLite there is one machine.
            is_shared = connection.dialect.name == "postgresql"
            now = connection.execute(select(func.clock_timestamp())).scalar_one() if is_shared else self._clock()
            kept = connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == KEY)).scalar()
        fields = mapping(parsed(str(kept or "").encode()))
        since, seen = instant(text(fields.get("since"))), instant(text(fields.get("seen")))
        if since is None or seen is None:
            return now, None
        number = fields.get("number")
        number = number if isinstance(number, int) else 0  # of a version that kept none
        digest, by = text(fields.get("digest")), text(fields.get("by"))
        return now, Loaded(number=number, digest=digest, since=since, by=by, seen=seen)

    def _store(self, loaded: Loaded) -> None:
        times = {"since": loaded.since.isoformat(), "seen": loaded.seen.isoformat()}
        kept = {"number": loaded.number, "digest": loaded.digest, "by": loaded.by, **times}
        with self._writing() as connection:
            upsert(connection, tables.meta, [{"key": KEY, "value": json.dumps(kept)}])
