"""What cycles and pages read of the records: rows, what keeps failing, paths, grants; a page of a search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, and_, func, select, true

from syncd.domain import (
    Grant,
    KnownId,
    OpenProblem,
    PathState,
    Record,
)
from syncd.domain.recency import TOLERANCE
from syncd.domain.records import NEWEST
from syncd.domain.statuses import Served, Tally
from syncd.ledger import schema as tables
from syncd.ledger import search
from syncd.ledger.counting import tallies_of
from syncd.ledger.faults import undamaged
from syncd.ledger.rows import as_known_id, as_path, as_problem, as_record, row_checksum
from syncd.ledger.search import Search
from syncd.ledger.statements import PART, in_parts

T = TypeVar("T")


def as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row unchanged, where no column has to be interpreted."""
    return row


class RecordQueries(ABC):
    """Reads of the ledger; `Ledger` gives the connection. All methods raise `LedgerError`."""

    @property
    @abstractmethod
    def place(self) -> str:
        """The name of the ledger's place in messages to people."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Connection]:
        """Open a connection that sees one consistent state of the ledger."""

    def _each(self, query: Select[Any], read: Callable[[dict[str, Any]], T], *, seal: bool = False) -> Iterator[T]:
        """Yield each row as `read` converts it, one at a time. `seal`: check its checksum.

        Raises `LedgerError` for a row that is not as it was written.
        """
        with self.reading() as connection, undamaged(self.place):
            found = connection.execute(query.execution_options(yield_per=PART))
            names = list(found.keys())
            for row in found:
                columns = dict(zip(names, row, strict=True))
                if seal and columns["seal"] != row_checksum(columns):
                    raise ValueError("seal")
                if any(isinstance(value, bytes) for value in row):  # no column holds any
                    raise ValueError("bytes")
                yield read(columns)

    def _one(self, query: Select[Any], read: Callable[[dict[str, Any]], T], *, seal: bool = False) -> T | None:
        """Return the first row as `read` converts it; None for none."""
        # All are fetched: what is left in the middle holds its cursor open at PostgreSQL.
        return next(iter(list(self._each(query, read, seal=seal))), None)

    def _all(self, query: Select[Any]) -> list[dict[str, Any]]:
        return list(self._each(query, as_it_is))

    def records(self, site: str | None = None) -> tuple[Record, ...]:
        """The rows of one site, or of all, by name."""
        query = select(tables.records).order_by(tables.records.c.site, tables.records.c.name)
        if site is not None:
            query = query.where(tables.records.c.site == site)
        return tuple(self._each(query, as_record, seal=True))

    def problems_of_no_row(self, site: str | None = None) -> list[OpenProblem]:
        """Return the problems of names that have no row in the ledger, on one site or on every one."""
        c, records = tables.troubles.c, tables.records.c
        row = select(records.name).where(and_(records.site == c.site, records.name == c.subject)).exists()
        query = select(tables.troubles).where(~row)
        return list(self._each(query if site is None else query.where(c.site == site), as_problem))

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
        return self._one(query, as_record, seal=True)

    def records_of(self, site: str, names: Iterable[str]) -> dict[str, Record]:
        """The rows of these names on a site, by name."""
        c, asked, found = tables.records.c, sorted(set(names)), dict[str, Record]()
        # A statement takes some thousand parameters at most.
        for begin in range(0, len(asked), PART):
            query = select(tables.records).where(and_(c.site == site, c.name.in_(asked[begin : begin + PART])))
            found |= {record.name: record for record in self._each(query, as_record, seal=True)}
        return found

    def sources_of_rows(self) -> frozenset[str]:
        """Every source that a row comes from: one step of the index each, however many rows there are."""
        c, found, last = tables.records.c, set[str](), ""
        while row := self._all(select(c.source).where(c.source > last).order_by(c.source).limit(1)):
            last = row[0]["source"]
            found.add(last)
        return frozenset(found)

    def records_from(self, source: str, path: str) -> tuple[Record, ...]:
        """The rows of one source path, on all sites."""
        c = tables.records.c
        query = select(tables.records).where(and_(c.source == source, c.path == path)).order_by(c.site, c.name)
        return tuple(self._each(query, as_record, seal=True))

    def records_like(self, fingerprint: str) -> tuple[Record, ...]:
        """Rows with this fingerprint, on all sites."""
        query = select(tables.records).where(tables.records.c.fingerprint == fingerprint)
        return tuple(self._each(query, as_record, seal=True))

    def tallies(self, now: datetime, site: str | None = None) -> list[Tally]:
        """Count the records by all that tells their status. The database counts; no row is read here."""
        with self.reading() as connection:
            return tallies_of(connection, now, site)

    def known_path(self, source: str, path: str, pin: str) -> PathState | None:
        """Return what was read last of one path under this pin; None where nothing was."""
        c = tables.paths.c
        query = select(tables.paths).where(and_(c.source == source, c.path == path, c.pin == pin))
        return self._one(query, as_path, seal=True)

    def known_versions(self, source: str, path: str) -> dict[tuple[str, str], PathState]:
        """Return what was read last of one path, without a pin and in each pinned version, by (path, pin)."""
        c = tables.paths.c
        query = select(tables.paths).where(and_(c.source == source, c.path == path, c.pin != NEWEST))
        return {(state.path, state.pin): state for state in self._each(query, as_path, seal=True)}

    def known_paths(self, source: str) -> dict[tuple[str, str], PathState]:
        """What was read last of a source, by (path, pin)."""
        c = tables.paths.c
        query = select(tables.paths).where(and_(c.source == source, c.pin != NEWEST))
        return {(state.path, state.pin): state for state in self._each(query, as_path, seal=True)}

    def newest_seen(self, source: str) -> dict[str, PathState]:
        """Return, by path, the newest version seen before and since a rollback, which has cycles read an older one."""
        c = tables.paths.c
        query = select(tables.paths).where(and_(c.source == source, c.pin == NEWEST))
        return {state.path: state for state in self._each(query, as_path, seal=True)}

    def paths_on(self, site: str) -> dict[str, dict[tuple[str, str], PathState]]:
        """What was read last of every path that a site's secrets come from, by source, and by (path, pin)."""
        c, records = tables.paths.c, tables.records.c
        # Each once, however many fields of it are on the site.
        own = select(records.source, records.path).where(records.site == site).distinct().subquery()
        come_from = and_(own.c.source == c.source, own.c.path == c.path)
        query = select(tables.paths).join_from(own, tables.paths, come_from)
        found: dict[str, dict[tuple[str, str], PathState]] = {}
        for source, state in self._each(query, lambda row: (row["source"], as_path(row)), seal=True):
            found.setdefault(source, {})[state.path, state.pin] = state
        return found

    def paths_of(self, source: str, paths: Iterable[str]) -> dict[str, PathState]:
        """What was read last of these paths, without a pin."""
        c, found = tables.paths.c, dict[str, PathState]()
        for part in in_parts(set(paths)):
            query = select(tables.paths).where(and_(c.source == source, c.path.in_(part), c.pin == ""))
            found |= {state.path: state for state in self._each(query, as_path, seal=True)}
        return found

    def jobs_thawed(self, since: datetime, now: datetime) -> frozenset[str]:
        """The jobs of secrets whose freeze ran out in this time."""
        c = tables.records.c
        query = select(c.job).where(and_(c.frozen_until > since, c.frozen_until <= now)).distinct()
        with self.reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def frozen(self, now: datetime, most: int, sites: frozenset[str] | None = None) -> list[Record]:
        """Return the frozen secrets of these sites (None: all), `most` at most; first the freeze that ends first."""
        c = tables.records.c
        here = true() if sites is None else c.site.in_(sorted(sites))
        held = and_(c.frozen_until.is_not(None), c.frozen_until > now, here)
        query = select(tables.records).where(held).order_by(c.frozen_until, c.name, c.site).limit(most)
        return list(self._each(query, as_record, seal=True))

    def oldest(self, sites: frozenset[str] | None, most: int) -> list[Record]:
        """Return the `most` rows whose versions at the source are oldest, of those with a date. `sites` None: all."""
        with self.reading() as connection:
            return search.oldest(connection, sites, most)

    def known_mounts(self, source: str) -> dict[str, str]:
        """Return the accepted id of each mount of a source.

        An empty id: a person said that the next one found there is to be accepted.
        """
        query = select(tables.mounts).where(tables.mounts.c.source == source)
        return {row["mount"]: row["mount_id"] for row in self._each(query, as_it_is, seal=True)}

    def all_problems(self) -> list[OpenProblem]:
        """What keeps failing, on every site."""
        return list(self._each(select(tables.troubles), as_problem))

    def known_problems(self, site: str, job: str) -> dict[str, OpenProblem]:
        """What keeps failing for a job on a site, by subject."""
        key = tables.troubles.c
        query = select(tables.troubles).where(and_(key.site == site, key.job == job)).order_by(key.subject)
        return {problem.subject: problem for problem in list(self._each(query, as_problem))}

    def grants(self, site: str, now: datetime) -> dict[str, Grant]:
        """Return the permissions to adopt that are in force, by name, except one dated ahead: a wrong clock gave it."""
        table = tables.grants.c
        given = and_(table.site == site, table.at <= now + TOLERANCE, table.until > now)
        rows = self._all(select(table.name, table.remote_id, table.owner).where(given))
        return {row["name"]: Grant(remote_id=row["remote_id"], owner=row["owner"]) for row in rows}

    def joined_sites(self) -> dict[str, str]:
        """Return, by old key, the key of the same site that a person joined it to."""
        return {row["old"]: row["site"] for row in self._all(select(tables.joined_sites))}

    def sites_holding(self, site: str, ids: Iterable[str]) -> frozenset[str]:
        """Return the other sites whose rows hold one of these ids, or an id that this site's own rows hold."""
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
            query = select(tables.ids).where(tables.ids.c.remote_id.in_(part))
            found |= self._each(query, lambda row: (row["remote_id"], as_known_id(row)), seal=True)
        return found

    def sites_with_ids(self) -> frozenset[str]:
        """The sites under which any id is held."""
        held = select(tables.records.c.site).distinct().where(tables.records.c.remote_id.is_not(None))
        return frozenset(row["site"] for row in self._all(held))

    def find(self, asked: Search, served: Served, now: datetime) -> tuple[list[Record], bool]:
        """A page of records, and whether more follow."""
        with self.reading() as connection:
            return search.find(connection, asked, served, now)

    def same_values(self, *, of_one_reference: bool = True) -> dict[tuple[str, str], int]:
        """Return a group number for each secret that shares its value with another one, by site and name.

        `of_one_reference` False leaves out a value that all its secrets have from one reference, on however many sites.
        """
        c = tables.records.c
        reference = c.source.concat("\x01").concat(c.path).concat("\x01").concat(func.coalesce(c.field, ""))
        twice = select(c.fingerprint).where(c.fingerprint.is_not(None)).group_by(c.fingerprint)
        twice = twice.having(func.count() > 1 if of_one_reference else func.min(reference) != func.max(reference))
        query = select(c.site, c.name, c.fingerprint).where(c.fingerprint.in_(twice))
        # A number stands for the value: fingerprints are never shown.
        numbers: dict[str, int] = {}
        return {
            (row["site"], row["name"]): numbers.setdefault(row["fingerprint"], len(numbers)) for row in self._all(query)
        }
