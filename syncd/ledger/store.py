"""The ledger itself: what cycles read and write. Writing records needs the site's lock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, Engine, and_, delete, select, update

from syncd.domain import (
    Grant,
    Record,
)
from syncd.domain.audit import CONTROL, Entry
from syncd.domain.ownership import owner_in
from syncd.domain.ports import Clock, WhileWaiting
from syncd.errors import ConfigError, LedgerBusy, LedgerError, SyncdError
from syncd.ledger import audit as trail
from syncd.ledger import schema as tables
from syncd.ledger.audit_trail import AuditTrail
from syncd.ledger.configurations import Configurations
from syncd.ledger.connections import Connections
from syncd.ledger.damage import damaged_table
from syncd.ledger.decisions import Decisions
from syncd.ledger.faults import DAMAGED
from syncd.ledger.journal import SiteJournal, lock_lost, move
from syncd.ledger.migrations import migrate
from syncd.ledger.past_queries import PastQueries
from syncd.ledger.replaced_mounts import followed, take_over, within
from syncd.ledger.rows import sealed
from syncd.ledger.sessions import Sessions
from syncd.ledger.site_lock import GiveUp
from syncd.ledger.site_locks import SiteLocks
from syncd.ledger.statements import upsert
from syncd.ledger.wakeups import Wakeups


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


SILENT = 0.3
"""Seconds that a process waits for a site's lock before it tells anybody."""


class Ledger(PastQueries):
    """The state store on SQLite or PostgreSQL."""

    def __init__(self, engine: Engine, place: str, path: Path | None, clock: Clock = utc_now) -> None:
        """`path`: the SQLite file, for its lock and backups; None for PostgreSQL and for memory."""
        self._connections = Connections(engine, place, path)
        self._locks = SiteLocks(self._connections)
        self._clock = clock
        self._owner = ""
        """The owner that this process's configuration names; `check_owner` sets it."""
        self.before_intents: Callable[[], None] = lambda: None
        """Called before the line of an intent is written. Raises `LedgerError` where nothing may be sent."""
        self.wakeups = Wakeups(self.reading, self.writing)
        self.audit = AuditTrail(self.reading, self.writing, place, clock)
        self.configurations = Configurations(self.reading, self.writing, clock)
        self.decisions = Decisions(self.reading, self.writing, clock)
        self.sessions = Sessions(self.reading, self.writing, clock)
        migrate(engine, place, path)

    @property
    def place(self) -> str:
        """The ledger's name in error messages."""
        return self._connections.place

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a connection that sees one consistent state of the ledger. Raises `LedgerError`."""
        return self._connections.reading()

    def writing(self) -> AbstractContextManager[Connection]:
        """A connection in one durable transaction."""
        return self._connections.writing()

    @contextmanager
    def telling_damage(self) -> Iterator[None]:
        """Raise `LedgerError` for a bug inside if a row is damaged, which may be its cause; else the bug goes on."""
        try:
            yield
        except Exception as error:
            self.see_that_it_is_whole(error)
            raise

    def see_that_it_is_whole(self, error: BaseException) -> None:
        """Raise `LedgerError` where an unexpected exception comes with a row that is not as it was written."""
        if isinstance(error, SyncdError) or not isinstance(error, Exception):
            return
        with self.reading() as connection:
            table = damaged_table(connection)
        if table:
            message = f"the ledger {self.place} is damaged: a row of {table} is not as it was written"
            raise LedgerError(message, hint=DAMAGED) from None

    def still_there(self, site: str = "") -> None:
        """Check that file and lock are still ours; called before each request and each write under a lock.

        Raises `LedgerError` where one is lost. A site's lock in PostgreSQL ends with the connection that holds it, and
        others may be at work there.
        """
        self._connections.see_the_same_file()
        if self._locks.is_lost(site):
            raise lock_lost(site, self.place)

    @contextmanager
    def lock(
        self,
        site: str,
        *,
        holder: str,
        wait: timedelta,
        meanwhile: WhileWaiting = WhileWaiting(),  # noqa: B008  # it is frozen
        decides: bool = False,
    ) -> Iterator[SiteJournal]:
        """Hold the site from its listing to the last settlement.

        `meanwhile`: told while another holder is waited for, and asked whether to stop. `decides`: a person decides
        something that whichever daemon works carries out. Raises `LedgerBusy` with the holder after `wait`,
        `LedgerError`, and, unless `decides`, `ConfigError` where another daemon has loaded a newer configuration.
        """
        # Its lines of the trail would mix with those of people's decisions.
        if site == CONTROL:
            raise LedgerError(f"no site can be called {CONTROL}", hint="see site_id and instance_id")
        with self._locks.taken(site, self._patience(site, wait, meanwhile)) as taken:
            if taken is None:
                raise LedgerBusy(
                    f"site {site} is being worked on by {self._holder(site)}",
                    hint="wait for it, or give more time with --wait",
                )
            self._see_the_same_owner()
            if not decides:
                self.configurations.see_that_mine_is_in_force()
            journal = SiteJournal(taken.writer, self.place, self._clock, self.still_there, self.before_intents)
            journal.hold(site, holder)
            with self._locks.watched(site, taken):
                yield journal

    def _patience(self, site: str, wait: timedelta, meanwhile: WhileWaiting) -> GiveUp:
        began = time.monotonic()
        deadline = began + wait.total_seconds()

        def give_up() -> bool:
            now = time.monotonic()
            if now - began > SILENT and now < deadline:
                meanwhile.tell(f"{self._holder(site)} works on site {site}", deadline - now)
            return meanwhile.stop() or now >= deadline

        return give_up

    def _see_the_same_owner(self) -> None:
        """Raise `LedgerError` where somebody renamed the installation while this process waited for a lock."""
        if self._owner and self.meta("owner") not in {self._owner, None}:
            raise LedgerError(
                f"ledger {self.place} belongs to owner {self.meta('owner')} now; this process is {self._owner}",
                hint="it was renamed meanwhile: write the new owner into the configuration, and reload or restart",
            )

    def _holder(self, site: str) -> str:
        with self.reading() as connection:
            row = connection.execute(select(tables.locks).where(tables.locks.c.site == site)).first()
        return f"{row.holder} since {row.since:%Y-%m-%d %H:%M:%S} UTC" if row else "another process"

    def tell_cause(self, cause: str, *, begun: bool) -> None:
        """Store that people were told that a cause began or, with `begun` False, that it ended."""
        with self.writing() as connection:
            if begun:
                upsert(connection, tables.notices, [{"cause": cause, "at": self._clock()}])
            else:
                connection.execute(delete(tables.notices).where(tables.notices.c.cause == cause))

    def set_meta(self, key: str, value: str) -> None:
        """Store one of the ledger's own facts."""
        with self.writing() as connection:
            upsert(connection, tables.meta, [{"key": key, "value": value}])

    def rename_owner(self, old: str, new: str) -> None:
        """Say that this installation is called another name from now on."""
        with self.writing() as connection:
            # With its line in the same transaction: a kill leaves no rename that the trail does not know.
            # Marks of before are at Wix as long as a cycle did not change them: they are no other installation's.
            former = json.dumps(sorted(self.former_owners() | {old}))
            upsert(
                connection,
                tables.meta,
                [{"key": "owner", "value": new}, {"key": "former_owners", "value": former}],
            )
            entry = Entry(event="owner.renamed", detail={"old": old, "new": new})
            trail.append(connection, CONTROL, [entry], self._clock())

    @property
    def owner(self) -> str | None:
        """The owner of this ledger; None for an empty one. One from before owners were kept is known by its marks."""
        if known := self.meta("owner"):
            return known
        descriptions = (row["description"] for row in self._all(select(tables.records.c.description)))
        return next((owner for description in descriptions if (owner := owner_in(description))), None)

    def former_owners(self) -> frozenset[str]:
        """What this installation was called before."""
        return frozenset(json.loads(self.meta("former_owners") or "[]"))

    def check_owner(self, owner: str, *, keep: bool) -> None:
        """Tie the ledger to its owner; one without records may change hands. `keep` False: write nothing.

        Raises `ConfigError` where the ledger is another owner's.
        """
        self._owner = owner
        known = self.owner
        if known is not None and known != owner and self._is_empty():
            known = None  # nothing of the other owner's is at any site
            if keep:
                self.set_meta("owner", owner)
        if known is not None and known != owner:
            raise ConfigError(
                f"the ledger {self.place} is of owner {known}, and the configuration says owner: {owner}",
                hint=f"write owner: {known} again, or: syncd state rename-owner {known} {owner}",
            )
        # A new ledger, or one from before owners were kept, which is known by its marks so far.
        if keep and self.meta("owner") is None:
            self.set_meta("owner", owner)

    def _is_empty(self) -> bool:
        return not self._all(select(tables.records.c.name).limit(1))

    def check_key(self, key_id: str, *, keep: bool = True) -> None:
        """Tie the ledger to its fingerprint key. `keep` False: write nothing. Raises `LedgerError` for another one."""
        known = self.meta("fingerprint_key_id")
        if known is None and not keep:
            return
        if known is None:
            self.set_meta("fingerprint_key_id", key_id)
        elif known != key_id:
            raise LedgerError(
                f"the fingerprint key is not the one that the ledger {self.place} was written under",
                hint="put the right key back, or move the ledger away: it is rebuilt from the sites",
            )

    def grant(self, site: str, name: str, span: timedelta, grant: Grant) -> None:
        """Allow one secret to be taken over by the job that wants its name, for `span` from now on."""
        now = self._clock()
        row = {"site": site, "name": name, "at": now, "until": now + span}
        with self.writing() as connection:
            upsert(connection, tables.grants, [row | {"remote_id": grant.remote_id, "owner": grant.owner}])
            detail = {"allowed_for": str(span), "owner": grant.owner}
            entry = Entry(event="secret.adopted", site=site, name=name, remote_id=grant.remote_id, detail=detail)
            trail.append(connection, CONTROL, [entry], now)

    def join_sites(self, old: str, site: str, rows: Iterable[Record]) -> None:
        """Keep under `site` what is kept under `old`; both locks are held. `rows`: the site's rows as they are now."""
        with self.writing() as connection:
            move(connection, old, site, rows, self._clock())
            upsert(connection, tables.joined_sites, [{"old": old, "site": site}])
            # What led to the old key leads to the new one.
            known = tables.joined_sites
            entry = Entry(event="site.joined", site=site, detail={"old": old})
            trail.append(connection, CONTROL, [entry], self._clock())
            connection.execute(update(known).where(known.c.site == old).values(site=site))
            connection.execute(delete(known).where(known.c.old == site))

    def remount(self, source: str, mount: str, readers: Mapping[str, str]) -> bool:
        """Forget the id of a source's mount, so that the next cycle accepts the mount that is there.

        `readers`: each configured job's source; what a job that reads another source has stays with the old mount.
        Returns: False where the mount is not known, or the next one found is to be accepted already.
        """
        given = mount.strip("/")
        own, taken_over = self.known_mounts(source), self.taken_over(source, readers)
        known = next((known for known in (*own, *taken_over) if known.strip("/") == given), None)
        if known is None or own.get(known) == "":
            return False
        path = tables.paths.c
        with self.writing() as connection:
            if known in own:
                followed(connection, source, known, readers, self.decisions.rollbacks_in(connection))
            else:
                take_over(connection, source, known, readers, self.decisions.rollbacks_in(connection))
            # Without an id: whatever the next cycle finds there is the one.
            upsert(connection, tables.mounts, [sealed({"source": source, "mount": known, "mount_id": ""})])
            # Versions begin anew with a mount: what is known of the one before would make them look old.
            connection.execute(delete(tables.paths).where(and_(path.source == source, within(path.path, known))))
            entry = Entry(event="mount.accepted", detail={"source": source, "mount": known})
            trail.append(connection, CONTROL, [entry], self._clock())
        return True
