"""The journal: all that one cycle writes, on the connection that holds its site's lock."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, delete, func, select, update

from syncd.domain import HistoryEntry, LastRun, OpenProblem, PathState, Pending, Record, RemoteSecret, Result
from syncd.domain.audit import CONTROL, Entry
from syncd.domain.decisions import HeldAction
from syncd.domain.governance import Facts
from syncd.domain.ports import NO_AUDIT, NO_NEWS, AuditBatch, Clock
from syncd.errors import LedgerError
from syncd.ledger import audit as trail
from syncd.ledger import schema as tables
from syncd.ledger.audit_findings import findings_begun_and_ended, findings_of_gone_jobs_ended
from syncd.ledger.faults import translated
from syncd.ledger.held_actions import drop_held_of_others, spend_releases, store_held
from syncd.ledger.listings import forget_listed, forget_listing, store_facts, store_listing
from syncd.ledger.migrations import CURRENT, schema_version
from syncd.ledger.rows import id_row, path_row, problem_row_of, recent_text, record_row, sealed
from syncd.ledger.statements import in_parts, upsert

HISTORY_KEPT = timedelta(days=90)
HISTORY_LEAST = 10_000
"""Lines that are kept however old the clock says they are: it may be wrong."""


def _is_protected(record: Record) -> bool:
    return record.adopted or record.frozen_until is not None


def _know(connection: Connection, records: Iterable[Record]) -> None:
    """Store what protects these records (an adoption, a freeze) under their ids; no protection is taken back here."""
    by_id = {str(record.remote_id): record for record in records}
    for part in in_parts(by_id):
        tables_found = {
            row.remote_id: row for row in connection.execute(select(tables.ids).where(tables.ids.c.remote_id.in_(part)))
        }
        rows = []
        for remote_id in part:
            record, known = by_id[remote_id], tables_found.get(remote_id)
            times = [at for at in (record.frozen_until, known.frozen_until if known else None) if at]
            adopted = record.adopted or bool(known and known.adopted)
            rows.append(id_row(remote_id, adopted, max(times, default=None)))
        upsert(connection, tables.ids, rows)


def move(connection: Connection, old: str, site: str, rows: Iterable[Record], at: datetime) -> None:
    """Move the rows, problems, grants, runs and history of one site to another.

    `rows`: all rows of the site now. The next cycle makes the listing, facts, findings and held actions anew.
    """
    records = tables.records
    # The rows of both keys go first: the indexes take each name and each id of a site once.
    connection.execute(delete(records).where(records.c.site.in_([old, site])))
    upsert(connection, records, (record_row(record) for record in rows))
    # Limits of a rolling day go on counting what was sent under the old key.
    connection.execute(update(tables.history).where(tables.history.c.site == old).values(site=site))
    findings_of_gone_jobs_ended(connection, old, (), at)  # the next cycle says what of it lasts
    drop_held_of_others(connection, old, ())  # the next cycle holds it again, under the site's key of today
    # These come anew with the next cycle; problems, grants and runs would be lost.
    connection.execute(delete(tables.facts).where(tables.facts.c.site == old))
    forget_listing(connection, old)
    for table, key in ((tables.troubles, ("job", "subject")), (tables.grants, ("name",)), (tables.runs, ("job",))):
        moving = [dict(row) for row in connection.execute(select(table).where(table.c.site == old)).mappings()]
        query = select(*(table.c[name] for name in key)).where(table.c.site == site)
        columns_found = {tuple(row) for row in connection.execute(query)}
        connection.execute(delete(table).where(table.c.site == old))
        fresh = [{**row, "site": site} for row in moving if tuple(row[name] for name in key) not in columns_found]
        if fresh:
            connection.execute(table.insert(), fresh)


def lock_lost(site: str, place: str) -> LedgerError:
    return LedgerError(
        f"the lock of site {site} was lost (ledger {place}); nothing more is sent",
        hint="see the database and its connections; the next cycle settles what was under way",
    )


class SiteJournal:
    """The journal of a site: writes on the connection that holds the site's lock."""

    is_writable = True

    def __init__(
        self,
        connection: Connection,
        place: str,
        clock: Clock,
        still_there: Callable[[str], None],
        before_intents: Callable[[], None],
    ) -> None:
        self._before_intents = before_intents
        self._connection = connection
        self._place = place
        self._clock = clock
        self._site, self._held = "", False
        self._still_there = still_there

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self._still_there(self._site)
        try:
            with translated(self._place), self._connection.begin():
                yield self._connection
        except LedgerError:
            # The connection that held the lock has ended, and the lock with it. One that never held it, such as a
            # standby's, tells its own fault.
            if self._connection.invalidated and self._held:
                raise lock_lost(self._site, self._place) from None
            raise

    def hold(self, site: str, holder: str) -> None:
        """Store who holds the site, for those that wait, and settle what an earlier holder left under way.

        Drops old lines of the history. Raises `LedgerError` once another version has migrated the ledger.
        """
        self._site, now = site, self._clock()
        with self._transaction() as connection:
            if schema_version(connection) != CURRENT:
                raise LedgerError(
                    f"the ledger {self._place} was migrated by another version of syncd while this one runs",
                    hint="restart this one with that version; nothing was written",
                )
            row = {"site": site, "holder": holder, "since": now}
            upsert(connection, tables.locks, [row])
            # Whoever held the site has lost it, or the lock would not be ours: nobody else ends what was left open.
            trail.settle_killed(connection, site, now)
            # Limits look one day back; the audit trail keeps the rest.
            lines = tables.history
            latest = select(func.max(lines.c.id)).scalar_subquery()
            old = and_(lines.c.at < now - HISTORY_KEPT, lines.c.id <= latest - HISTORY_LEAST)
            connection.execute(delete(lines).where(old))
        self._held = True

    def write(
        self,
        *,
        put: Iterable[Record] = (),
        drop: Iterable[Record] = (),
        log: Iterable[HistoryEntry] = (),
        audit: AuditBatch = NO_AUDIT,
    ) -> None:
        """Store records (`put`), remove records (`drop`) and add history and audit lines, in one durable transaction.

        Raises `LedgerError`, also where no intent may be written because a required audit sink is behind.
        """
        # Asked before the transaction: a required sink that is behind stops the request, not the settlement of
        # earlier ones.
        if audit.intents:
            self._before_intents()
        key = tables.records.c
        put, drop, log = list(put), list(drop), list(log)
        rows = (record_row(record) for record in put)
        # Of rows that go, too: what protects a secret follows its id, not its row.
        known = [record for record in (*put, *drop) if record.remote_id and _is_protected(record)]
        # A permission is used up once the secret is ours.
        used = [record.name for record in put if record.adopted and record.pending is not Pending.ADOPT]
        lines = [{name: getattr(line, name) for name in HistoryEntry.__dataclass_fields__} for line in log]
        with self._transaction() as connection:
            # What goes is removed first: a renamed secret keeps its id, and the index takes each id once.
            for record in drop:
                connection.execute(delete(tables.records).where(and_(key.site == record.site, key.name == record.name)))
            upsert(connection, tables.records, rows)
            if known:
                _know(connection, known)
            if used:
                given = tables.grants.c
                mine = and_(given.site == self._site, given.name.in_(used))
                connection.execute(delete(tables.grants).where(mine))
            if lines:
                noted = self._clock()
                connection.execute(tables.history.insert(), [{**line, "noted_at": noted} for line in lines])
                # In the transaction that settles the action: a kill between the two would let a release serve twice.
                spend_releases(connection, self._site, [line["name"] for line in lines if line["result"] == "done"])
            # Until the next listing of the site is stored: what was deleted is at Wix no more.
            if deleted := [line.remote_id for line in log if (line.action, line.result) == ("delete", Result.DONE)]:
                forget_listed(connection, self._site, deleted)
            if audit is not NO_AUDIT:
                now = self._clock()
                trail.take_turn(connection, self._site, audit, now)
                trail.append(connection, CONTROL, audit.decisions, now)

    def findings(
        self,
        job: str,
        open_now: Mapping[tuple[str, str], Entry],
        serving: Iterable[str],
        lasting: Container[str] = frozenset(),
    ) -> None:
        """Write into the audit trail which findings of a job begin and end.

        `open_now`: its findings, by event and name. `serving`: the jobs that send to the site; findings and problems of
        all others end. `lasting`: names whose findings do not end, because nothing was done about them.
        """
        with self._transaction() as connection:
            now = self._clock()
            findings_begun_and_ended(connection, self._site, job, open_now, lasting, now)
            findings_of_gone_jobs_ended(connection, self._site, {job, *serving}, now)
            key = tables.troubles.c
            gone = and_(key.site == self._site, key.job.not_in({job, *serving}))
            connection.execute(delete(tables.troubles).where(gone))

    def forget_problem(self, name: str) -> None:
        """Drop what was known to keep failing about a name on this site, for every job."""
        key = tables.troubles.c
        with self._transaction() as connection:
            connection.execute(delete(tables.troubles).where(and_(key.site == self._site, key.subject == name)))

    def problems(self, site: str, job: str, now: Iterable[OpenProblem]) -> None:
        """Replace what is known to keep failing for this job on this site."""
        key = tables.troubles.c
        rows = [problem_row_of(problem) for problem in now]
        with self._transaction() as connection:
            connection.execute(delete(tables.troubles).where(and_(key.site == site, key.job == job)))
            if rows:
                connection.execute(tables.troubles.insert(), rows)

    def paths(self, states: Iterable[PathState], news: Mapping[str, datetime] = NO_NEWS) -> None:
        """Store what was read of source paths.

        `news`: by job whose source had something new here, the time of that look; sites that were not looked at since
        then are behind.
        """
        # Whoever holds another site may write the same rows. In one order for all, so that no two wait for each other.
        ordered = sorted(states, key=lambda state: (state.source, state.path, state.pin))
        # In one transaction: a version that is known is news to nobody any more.
        with self._transaction() as connection:
            upsert(connection, tables.paths, (path_row(state) for state in ordered))
            c = tables.news.c
            query = select(c.job, c.at).where(c.job.in_(news))
            known = {row.job: row.at for row in connection.execute(query)} if news else {}
            later = sorted((job, at) for job, at in news.items() if job not in known or known[job] < at)
            upsert(connection, tables.news, ({"job": job, "at": at} for job, at in later))

    def facts(self, facts: Facts) -> None:
        """Store facts: what each check said of each value that was read."""
        with self._transaction() as connection:
            store_facts(connection, self._site, facts)

    def waits(self, job: str, waiting: Iterable[HeldAction], serving: Iterable[str]) -> None:
        """Replace what waits for a release, for this job on this site.

        `serving`: the jobs that send to the site; nothing of any other waits any more.
        """
        with self._transaction() as connection:
            store_held(connection, self._site, job, waiting, self._clock())
            drop_held_of_others(connection, self._site, {job, *serving})

    def listed(self, remote: Iterable[RemoteSecret]) -> None:
        """Remember what the site lists; only what changed is written."""
        with self._transaction() as connection:
            store_listing(connection, self._site, remote, self._clock())

    def mount(self, source: str, mount: str, mount_id: str) -> None:
        """Store the id of a source's mount."""
        with self._transaction() as connection:
            row = {"source": source, "mount": mount, "mount_id": mount_id}
            upsert(connection, tables.mounts, [sealed(row)])

    def protect(self, record: Record, decision: Entry) -> None:
        """Store a row after a person froze or thawed it, the same under its id, and the line of the decision."""
        with self._transaction() as connection:
            trail.append(connection, CONTROL, [decision], self._clock())
            upsert(connection, tables.records, [record_row(record)])
            if record.remote_id:
                upsert(connection, tables.ids, [id_row(record.remote_id, record.adopted, record.frozen_until)])

    def follow(self, other: str, put: Iterable[Record]) -> None:
        """Take over everything that was kept under another key of this same site; `put`: its rows as they are now."""
        with self._transaction() as connection:
            move(connection, other, self._site, put, self._clock())
            # Rules that name the old key go on to mean this site.
            upsert(connection, tables.aliases, [{"old": other, "site": self._site}])
            # This key is in use again: an entry that leads away from it would make a ring.
            connection.execute(delete(tables.aliases).where(tables.aliases.c.old == self._site))
            entry = Entry(event="site.joined", site=self._site, detail={"old": other, "by": "its ids"})
            trail.append(connection, CONTROL, [entry], self._clock())

    def ran(self, run: LastRun) -> None:
        """Store this cycle as the last one of its job on its site."""
        with self._transaction() as connection:
            key = tables.runs.c
            mine = and_(key.job == run.job, key.site == run.site)
            before = connection.execute(select(key.recent).where(mine)).scalar()
            row = {name: getattr(run, name) for name in LastRun.__dataclass_fields__}
            upsert(connection, tables.runs, [{**row, "recent": recent_text(before or "", run)}])
