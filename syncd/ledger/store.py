"""The ledger itself: what cycles read and write. Writing records needs the site's lock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, delete, func, select, true, update

from syncd.domain import (
    Grant,
    HistoryEntry,
    KnownId,
    LastRun,
    OpenProblem,
    PathState,
    Record,
    SecretRef,
    version_label,
)
from syncd.domain.audit import CONTROL, Entry
from syncd.domain.decisions import HeldAction, Rollback
from syncd.domain.governance import FactKey, Facts
from syncd.domain.ownership import owner_in
from syncd.domain.ports import Clock, TellWait
from syncd.domain.recency import TOLERANCE
from syncd.domain.statuses import Served, Tally
from syncd.errors import ConfigError, LedgerBusy, LedgerError
from syncd.ledger import audit as trail
from syncd.ledger import history, search
from syncd.ledger import schema as tables
from syncd.ledger.audit import Filter
from syncd.ledger.audit_trail import AuditTrail
from syncd.ledger.counting import tallies_of
from syncd.ledger.decisions import Decisions
from syncd.ledger.engine import PART, identity_of, in_parts, translated, undamaged, upsert
from syncd.ledger.journal import ALIAS, SiteJournal, lock_lost, move, news_key
from syncd.ledger.listings import ListedSecret, facts_of, listed_secrets
from syncd.ledger.migrations import migrate
from syncd.ledger.rows import as_known_id, as_path, as_problem, as_recent, as_record, as_run, row_checksum
from syncd.ledger.search import Search
from syncd.ledger.sessions import Sessions
from syncd.ledger.site_lock import TURNS, advisory_lock, file_lock, holds_lock, session_of


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


SILENT = 0.3
"""Seconds that a site's lock is waited for without a word."""


class Ledger:
    """The state store on SQLite or PostgreSQL."""

    def __init__(self, engine: Engine, place: str, path: Path | None, clock: Clock = utc_now) -> None:
        """`path`: the SQLite file, for its lock and backups; None for PostgreSQL and for memory."""
        self.place = place
        self._clock = clock
        self._owner = ""
        """Whose process this is, once it has said so."""
        self._engine = engine
        with translated(place):
            self._file = (path, identity_of(path)) if path else None
        self._is_held: dict[str, Callable[[], bool]] = {}
        """Asks whether this process still holds a site's lock: its session in PostgreSQL, its file beside SQLite."""
        self.before_intents: Callable[[], None] = lambda: None
        """Asked before the line of an intent is written. Raises `LedgerError` where nothing may be sent."""
        self.audit = AuditTrail(self.reading, self.writing, place, clock)
        self.decisions = Decisions(self.reading, self.writing, clock)
        self.sessions = Sessions(self.reading, self.writing, clock)
        migrate(engine, place, path)

    def close(self) -> None:
        """Give connections back."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for one consistent look."""
        with translated(self.place), self._engine.connect() as connection, connection.begin():
            yield connection

    def still_there(self, site: str = "") -> None:
        """Asked before each write and each request. Raises `LedgerError` where the ground has gone from under it.

        SQLite itself would go on writing into a file that nobody finds any more; a site's lock in PostgreSQL ends
        with the connection that holds it, and others may be at work there.
        """
        if self._file is not None and not self._is_the_same_file(*self._file):
            raise LedgerError(
                f"the ledger {self.place} was removed or replaced while syncd runs",
                hint="restart syncd; what is missing then is taken back from the sites by its marks",
            )
        is_held = self._is_held.get(site)
        if is_held is not None and not is_held():
            raise lock_lost(site, self.place)

    @staticmethod
    def _is_the_same_file(path: Path, known: object) -> bool:
        try:
            return identity_of(path) == known
        except OSError:
            return False

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in one durable transaction."""
        self.still_there()
        with (
            translated(self.place),
            self._engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def lock(
        self,
        site: str,
        *,
        holder: str,
        wait: timedelta,
        stop: Callable[[], bool] = lambda: False,
        waits: TellWait = lambda *_: None,
    ) -> Iterator[SiteJournal]:
        """Hold the site from its listing to the last settlement. Raises `LedgerBusy` with the holder.

        `waits` is told, again and again, while another holder is waited for.
        """
        if site == CONTROL:
            raise LedgerError(f"no site can be called {CONTROL}", hint="see site_id and instance_id")
        began = time.monotonic()
        deadline = began + wait.total_seconds()

        def give_up() -> bool:
            now = time.monotonic()
            if now - began > SILENT and now < deadline:
                waits(f"{self._holder(site)} works on site {site}", deadline - now)
            return stop() or now >= deadline

        with ExitStack() as stack:
            got = stack.enter_context(TURNS.turn(f"{self.place} {site}", give_up))
            is_held: Callable[[], bool] | None = None
            self.still_there()
            with translated(self.place):
                writer = stack.enter_context(self._engine.connect().execution_options(writes=True))
                if got and self._engine.dialect.name == "postgresql":
                    got = stack.enter_context(advisory_lock(writer, site, give_up))
                elif got and self._file is not None:
                    is_held = stack.enter_context(file_lock(self._file[0], site, give_up))
                    got = is_held is not None
            # Somebody may have renamed the installation while this process waited for the lock.
            if got and self._owner and self.meta("owner") not in {self._owner, None}:
                raise LedgerError(
                    f"ledger {self.place} belongs to owner {self.meta('owner')} now; this process is {self._owner}",
                    hint="it was renamed meanwhile: write the new owner into the configuration, and reload or restart",
                )
            if not got:
                raise LedgerBusy(
                    f"site {site} is being worked on by {self._holder(site)}",
                    hint="wait for it, or give more time with --wait",
                )
            journal = SiteJournal(writer, self.place, self._clock, self.still_there, self.before_intents)
            journal.hold(site, holder)
            if self._engine.dialect.name == "postgresql":
                is_held = partial(self._holds, session_of(writer), site)
            self._is_held |= {site: is_held} if is_held else {}
            try:
                yield journal
            finally:
                self._is_held.pop(site, None)

    def _holds(self, session: int, site: str) -> bool:
        with self.reading() as connection:
            return holds_lock(connection, session, site)

    def _holder(self, site: str) -> str:
        with self.reading() as connection:
            row = connection.execute(select(tables.locks).where(tables.locks.c.site == site)).first()
        return f"{row.holder} since {row.since:%Y-%m-%d %H:%M:%S} UTC" if row else "another process"

    def _each(self, query: Select[Any], *, seal: bool = False) -> Iterator[dict[str, Any]]:
        """The rows, one at a time. Raises `LedgerError` for one that is not as it was written."""
        with self.reading() as connection, undamaged(self.place):
            found = connection.execute(query.execution_options(yield_per=PART))
            names = list(found.keys())
            for row in found:
                columns = dict(zip(names, row, strict=True))
                if seal and columns["seal"] != row_checksum(columns):
                    raise ValueError("seal")
                if any(isinstance(value, bytes) for value in row):  # no column holds any
                    raise ValueError("bytes")
                yield columns

    def _all(self, query: Select[Any]) -> list[dict[str, Any]]:
        return list(self._each(query))

    def records(self, site: str | None = None) -> tuple[Record, ...]:
        """The rows of one site, or of all, by name."""
        query = select(tables.records).order_by(tables.records.c.site, tables.records.c.name)
        if site is not None:
            query = query.where(tables.records.c.site == site)
        return tuple(as_record(row) for row in self._each(query, seal=True))

    def tallies(self, now: datetime, site: str | None = None) -> list[Tally]:
        """How many records are alike in what tells their status: counted by the database, no row is read."""
        with self.reading() as connection:
            return tallies_of(connection, now, site)

    def problems_of_no_row(self) -> list[OpenProblem]:
        """What keeps failing of names that never came into the ledger, on every site."""
        c, records = tables.troubles.c, tables.records.c
        row = select(records.name).where(and_(records.site == c.site, records.name == c.subject)).exists()
        return [as_problem(found) for found in self._all(select(tables.troubles).where(~row))]

    def problems_without_rows(self, site: str | None = None) -> dict[tuple[str, str, str], int]:
        """How many problems are about names that never came into the ledger, by site, job and kind."""
        c, records = tables.troubles.c, tables.records.c
        row = select(records.name).where(and_(records.site == c.site, records.name == c.subject)).exists()
        query = select(c.site, c.job, c.kind, func.count().label("count")).where(~row)
        query = query if site is None else query.where(c.site == site)
        rows = self._all(query.group_by(c.site, c.job, c.kind))
        return {(row["site"], row["job"], row["kind"]): row["count"] for row in rows}

    def record(self, site: str, name: str) -> Record | None:
        """One row; None for none."""
        c = tables.records.c
        query = select(tables.records).where(and_(c.site == site, c.name == name))
        return next((as_record(row) for row in self._each(query, seal=True)), None)

    def records_from(self, source: str, path: str) -> tuple[Record, ...]:
        """The rows of one source path, on all sites."""
        c = tables.records.c
        query = select(tables.records).where(and_(c.source == source, c.path == path)).order_by(c.site, c.name)
        return tuple(as_record(row) for row in self._each(query, seal=True))

    def records_like(self, fingerprint: str) -> tuple[Record, ...]:
        """The rows whose value has this fingerprint, on all sites."""
        query = select(tables.records).where(tables.records.c.fingerprint == fingerprint)
        return tuple(as_record(row) for row in self._each(query, seal=True))

    def known_path(self, source: str, path: str, pin: str) -> PathState | None:
        """What was read last of one path; None for nothing."""
        c = tables.paths.c
        query = select(tables.paths).where(and_(c.source == source, c.path == path, c.pin == pin))
        return next((as_path(row) for row in self._each(query, seal=True)), None)

    def known_paths(self, source: str) -> dict[tuple[str, str], PathState]:
        """What was read last of a source, by (path, pin)."""
        query = select(tables.paths).where(tables.paths.c.source == source)
        return {(row["path"], row["pin"]): as_path(row) for row in self._each(query, seal=True)}

    def known_mounts(self, source: str) -> dict[str, str]:
        """Mount to its id, as accepted."""
        query = select(tables.mounts).where(tables.mounts.c.source == source)
        return {row["mount"]: row["mount_id"] for row in self._each(query, seal=True)}

    def all_problems(self) -> list[OpenProblem]:
        """What keeps failing, on every site."""
        return [as_problem(row) for row in self._all(select(tables.troubles))]

    def known_problems(self, site: str, job: str) -> dict[str, OpenProblem]:
        """What keeps failing for a job on a site, by subject."""
        key = tables.troubles.c
        query = select(tables.troubles).where(and_(key.site == site, key.job == job)).order_by(key.subject)
        return {row["subject"]: as_problem(row) for row in self._all(query)}

    def grants(self, site: str, now: datetime) -> dict[str, Grant]:
        """What may be taken over at this moment, by name; a grant from the future was given by a wrong clock."""
        table = tables.grants.c
        given = and_(table.site == site, table.at <= now + TOLERANCE, table.until > now)
        rows = self._all(select(table.name, table.remote_id, table.owner).where(given))
        return {row["name"]: Grant(remote_id=row["remote_id"], owner=row["owner"]) for row in rows}

    def joined_sites(self) -> dict[str, str]:
        """Keys of sites that are another key of the same site, and that one."""
        return {row["old"]: row["site"] for row in self._all(select(tables.joined_sites))}

    def sites_holding(self, site: str, ids: Iterable[str]) -> frozenset[str]:
        """Other sites of the ledger that hold one of these ids, or one that the site holds itself."""
        mine, theirs = tables.records.alias("mine"), tables.records.alias("theirs")
        same = and_(theirs.c.remote_id == mine.c.remote_id, theirs.c.site != mine.c.site)
        shared = select(theirs.c.site).distinct().select_from(mine.join(theirs, same)).where(mine.c.site == site)
        with self.reading() as connection:
            found = set(connection.execute(shared).scalars())
            for part in in_parts(ids):
                listed = and_(tables.records.c.remote_id.in_(part), tables.records.c.site != site)
                found |= set(connection.execute(select(tables.records.c.site).distinct().where(listed)).scalars())
        return frozenset(found)

    def known_ids(self, ids: Iterable[str]) -> dict[str, KnownId]:
        """What is known of these ids although no row may hold them any more."""
        found: dict[str, KnownId] = {}
        for part in in_parts(ids):
            for row in self._each(select(tables.ids).where(tables.ids.c.remote_id.in_(part)), seal=True):
                found[row["remote_id"]] = as_known_id(row)
        return found

    def deletions(self, site: str, job: str | None, since: datetime) -> frozenset[str]:
        """The ids sent for deletion since then on a site, but for those that were surely refused."""
        return history.not_refused(self._all(history.deletions(site, job, since)))

    def names_sent(self, site: str, job: str, action: str, since: datetime) -> frozenset[str]:
        """Names that a job sent since then for create or update, but for those that were surely refused."""
        return history.not_refused(self._all(history.names_sent(site, job, action, since)))

    def sites_with_ids(self) -> frozenset[str]:
        """The sites under which any id is held."""
        held = select(tables.records.c.site).distinct().where(tables.records.c.remote_id.is_not(None))
        return frozenset(row["site"] for row in self._all(held))

    def history(self, name: str, site: str | None = None, *, most: int = 10) -> tuple[HistoryEntry, ...]:
        """The last actions on a name, on one site or on all, newest first."""
        table = tables.history
        query = select(table).where(table.c.name == name).order_by(table.c.id.desc()).limit(most)
        if site is not None:
            query = query.where(table.c.site == site)
        names = HistoryEntry.__dataclass_fields__
        return tuple(HistoryEntry(**{key: row[key] for key in names}) for row in self._all(query))

    def audit_heads(self, *streams: str) -> dict[str, tuple[int, str]]:
        """The last line of each of these streams of the audit trail, or of all: its seq and hash."""
        return self.audit.heads(*streams)

    def held(self, site: str, job: str) -> tuple[HeldAction, ...]:
        """What waits for a release, or was released and is not sent yet."""
        return self.decisions.held(site, job)

    def rollbacks(self, source: str, configured: Container[str]) -> dict[str, Rollback]:
        """The paths of a source that a person rolled back, as far as that holds at this moment.

        `configured`: the sources that there are; what was rolled back at another one, which is gone or has a new
        name, holds wherever its path is.
        """
        found = self.decisions.rollbacks()
        orphaned = {path: item for (name, path), item in found.items() if name not in configured}
        return orphaned | {path: item for (name, path), item in found.items() if name == source}

    def arrived(self, remote_id: str, name: str, ref: SecretRef, version: str) -> bool:
        """Did the secret with this id ever get this very version (a token) of this reference?

        The history knows versions as tokens, which no later version of the same number has; the trail knows
        references. What neither remembers any more counts as never.
        """
        c, label = tables.history.c, version_label(version)
        sent = and_(c.name == name, c.remote_id == remote_id, c.version == version, c.result == "done")
        if not self._all(select(c.id).where(sent).limit(1)):
            return False
        lines = self.audit.lines(Filter(name=name, event="secret.*"))
        known = ((line["remote_id"], line["ref"], line["to"]) for line in lines if line["outcome"] == "done")
        return (remote_id, str(ref), label) in known

    def aliases(self, site: str) -> frozenset[str]:
        """Other keys that the site was known under."""
        return frozenset(other for other, now in self.known_aliases().items() if now == site)

    def known_aliases(self) -> dict[str, str]:
        """Every key that a site was known under, and its key of today."""
        meta = tables.meta
        rows = self._all(select(meta.c.value).where(meta.c.key.startswith(ALIAS)))
        return dict(json.loads(row["value"]) for row in rows)

    def rested_until(self, job: str, target: str) -> datetime | None:
        """When the last pause of a job on a target ended; None for never."""
        return self.decisions.rested_until(job, target)

    def news_at(self, job: str) -> datetime | None:
        """When a cycle last saw something new at a job's source; None for never."""
        at = self.meta(news_key(job))
        return None if at is None else tables.EPOCH + int(at) * tables.MICROSECOND

    def find(self, asked: Search, served: Served, now: datetime) -> tuple[list[Record], bool]:
        """A page of records, and whether more follow."""
        with self.reading() as connection:
            return search.find(connection, asked, served, now)

    def told_causes(self) -> set[str]:
        """What people were told of that had begun, and not that it has ended."""
        return {row["cause"] for row in self._all(select(tables.notices.c.cause))}

    def tell_cause(self, cause: str, *, begun: bool) -> None:
        """Remember that people were told."""
        with self.writing() as connection:
            if begun:
                upsert(connection, tables.notices, [{"cause": cause, "at": self._clock()}])
            else:
                connection.execute(delete(tables.notices).where(tables.notices.c.cause == cause))

    def open_drift(self) -> set[tuple[str, str]]:
        """Sites and jobs with secrets that others changed at Wix, as the last cycles found."""
        c = tables.audit_findings.c
        query = select(c.stream, c.job).distinct().where(c.event == "drift.found")
        return {(row["stream"], row["job"]) for row in self._all(query)}

    def facts(self, site: str) -> Facts:
        """What was judged of values when they were read."""
        with self.reading() as connection:
            return facts_of(connection, site).get(site, {})

    def all_facts(self) -> dict[str, dict[FactKey, str]]:
        """What was judged of values when they were read, by site."""
        with self.reading() as connection:
            return facts_of(connection)

    def listed(self, site: str | None = None) -> list[ListedSecret]:
        """What the sites listed last."""
        with self.reading() as connection:
            return listed_secrets(connection, site)

    def same_values(self) -> dict[tuple[str, str], int]:
        """Secrets whose value another one has, too: a number that is the same for those, by site and name."""
        c = tables.records.c
        twice = select(c.fingerprint).where(c.fingerprint.is_not(None)).group_by(c.fingerprint).having(func.count() > 1)
        query = select(c.site, c.name, c.fingerprint).where(c.fingerprint.in_(twice))
        numbers: dict[str, int] = {}
        return {
            (row["site"], row["name"]): numbers.setdefault(row["fingerprint"], len(numbers)) for row in self._all(query)
        }

    def runs(self) -> tuple[LastRun, ...]:
        """The last cycle of each job on each site."""
        query = select(tables.runs).order_by(tables.runs.c.job, tables.runs.c.target)
        return tuple(as_run(row) for row in self._all(query))

    def recent_runs(self) -> dict[tuple[str, str], list[tuple[datetime, int, float]]]:
        """The last cycles by site and job, oldest first: when each ended, its exit code, its seconds."""
        c = tables.runs.c
        rows = self._all(select(c.site, c.job, c.recent))
        return {(row["site"], row["job"]): as_recent(row["recent"]) for row in rows}

    def meta(self, key: str) -> str | None:
        """One of the ledger's own facts."""
        rows = self._all(select(tables.meta.c.value).where(tables.meta.c.key == key))
        return str(rows[0]["value"]) if rows else None

    def set_meta(self, key: str, value: str) -> None:
        """Store one of the ledger's own facts."""
        with self.writing() as connection:
            upsert(connection, tables.meta, [{"key": key, "value": value}])

    def rename_owner(self, old: str, new: str) -> None:
        """Say that this installation is called another name from now on."""
        with self.writing() as connection:
            upsert(connection, tables.meta, [{"key": "owner", "value": new}])
            entry = Entry(event="owner.renamed", detail={"old": old, "new": new})
            trail.append(connection, CONTROL, [entry], self._clock())

    @property
    def owner(self) -> str | None:
        """Whose ledger this is; None for an empty one. One from before owners were kept is known by its marks."""
        if known := self.meta("owner"):
            return known
        descriptions = (row["description"] for row in self._each(select(tables.records.c.description)))
        return next((owner for description in descriptions if (owner := owner_in(description))), None)

    def check_owner(self, owner: str, *, keep: bool) -> None:
        """Tie the ledger to its owner. `keep` False: write nothing. Raises `ConfigError` for another one."""
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
        """Allow one secret to be taken over by the job that wants its name, within so long from now on."""
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

    def remount(self, source: str, mount: str) -> bool:
        """Forget which mount this was, so that the next cycle accepts the one that is there."""
        given = mount.strip("/")
        known = next((known for known in self.known_mounts(source) if known.strip("/") == given), None)
        if known is None:
            return False
        key, path = tables.mounts.c, tables.paths.c
        # A Vault mount ends in a slash; an AWS account is the whole source.
        within = path.path.startswith(known, autoescape=True) if known.endswith("/") else true()
        with self.writing() as connection:
            connection.execute(delete(tables.mounts).where(and_(key.source == source, key.mount == known)))
            connection.execute(delete(tables.paths).where(and_(path.source == source, within)))
            entry = Entry(event="mount.accepted", detail={"source": source, "mount": known})
            trail.append(connection, CONTROL, [entry], self._clock())
        return True
