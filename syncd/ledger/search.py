"""Find records by what people type and click: filters in the database, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal_column, not_, or_, select, true, tuple_

from syncd.domain import Record
from syncd.domain.statuses import Served, Tally
from syncd.ledger import schema as tables
from syncd.ledger import words
from syncd.ledger.counting import tallies_of
from syncd.ledger.rows import as_record
from syncd.ledger.schema import EPOCH, MICROSECOND
from syncd.ledger.statements import parts_of

PAGE = 50
"""Rows of a page."""
KEYS = 100
"""Rows that are asked for by their keys at a time."""
FEW = 4
"""Fewer sites than this are read one by one and sorted; else rows are read by the index of their order."""
ORDERS = ("name", "arrival", "age")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is asked for."""

    text: str = ""
    """Part of a name, a path or a site."""
    status: str = ""
    job: str = ""
    sites: frozenset[str] | None = None
    """None: all."""
    names: frozenset[tuple[str, str]] | None = None
    """Only these, by site and name."""
    order: str = "name"
    after: tuple[str, str, str] | None = None
    """The key, site and name of the last row of the page before."""


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Which conditions of a status any record fulfils, by the counts.

    A condition that none fulfils is left out, so that the database uses an index.
    """

    detached: frozenset[str]
    left_over: frozenset[tuple[str, str]]
    is_open: bool
    unverified: bool
    frozen: bool

    @classmethod
    def of(cls, tallies: Iterable[Tally], served: Served) -> _Kinds:
        found = list(tallies)
        return cls(
            detached=frozenset(tally.site for tally in found if served.is_detached(tally)),
            left_over=frozenset((tally.site, tally.job) for tally in found if served.is_left_over(tally)),
            is_open=any(tally.is_open for tally in found),
            unverified=any(tally.unverified for tally in found),
            frozen=any(tally.frozen for tally in found),
        )


def _status_is(status: str, kinds: _Kinds, stale: Iterable[tuple[str, str]], now: datetime) -> ColumnElement[bool]:
    """Return the condition for a status, in the same order of statuses as `status_of_record`."""
    c = tables.records.c
    earlier: list[tuple[str, ColumnElement[bool]]] = []
    if kinds.detached:
        earlier.append(("detached", c.site.in_(sorted(kinds.detached))))
    if kinds.is_open:
        earlier.append(("pending", tables.is_open))
    if kinds.unverified:
        earlier.append(("unverified", c.unverified))
    if kinds.frozen:
        earlier.append(("frozen", and_(c.frozen_until.is_not(None), c.frozen_until > now)))
    if kinds.left_over:
        earlier.append(("orphan", tuple_(c.site, c.job).in_(sorted(kinds.left_over))))
    # What nobody looked at of late, or since its source had news, reads behind whatever its rows say.
    passed_over = sorted(stale)
    outdated = tuple_(c.site, c.job).in_(passed_over) if passed_over else None
    own: ColumnElement[bool] = c.status == status
    if status == "pending":
        own = c.status.in_(["pending", ""])
    elif outdated is not None and status == "synced":
        own = and_(own, not_(outdated))
    elif outdated is not None and status == "behind":
        own = or_(own, and_(c.status == "synced", outdated))
    none_before = and_(own, *(not_(condition) for _, condition in earlier))
    first: list[ColumnElement[bool]] = []
    for word, condition in earlier:
        if word == status:
            return or_(and_(condition, *first), none_before)
        first.append(not_(condition))
    return none_before


def _key(order: str) -> ColumnElement[Any]:
    """Return the key of an order, written as its index has it: with a bound zero it would be another expression."""
    c = tables.records.c
    if order == "name":
        return c.name
    return func.coalesce(c.last_synced_at if order == "arrival" else c.source_updated_at, literal_column("0"))


def _query(asked: Search, status: ColumnElement[bool] | None) -> Select[Any]:
    c = tables.records.c
    where: list[ColumnElement[bool]] = [] if status is None else [status]
    if asked.text:
        words = asked.text
        where.append(or_(*(column.icontains(words, autoescape=True) for column in (c.name, c.path, c.site, c.target))))
    where += [c.job == asked.job] if asked.job else []
    if asked.sites is not None:
        # Many sites are found by the index of the order, one by its own; the databases would choose the other way.
        sites = sorted(asked.sites)
        where.append(c.site.in_(sites) if len(sites) < FEW else c.site.concat("").in_(sites))
    key = _key(asked.order)
    order = (c.name, c.site) if asked.order == "name" else (key, c.site, c.name)
    # By the key of the last row and not by a number of rows: what comes or goes meanwhile moves no page.
    if asked.after is not None:
        value, site, name = asked.after
        last = (name, site) if asked.order == "name" else (int(value), site, name)
        where.append(tuple_(*order) > tuple_(*last))
    return select(tables.records).where(and_(true(), *where)).order_by(*order)


def find(connection: Connection, asked: Search, served: Served, now: datetime) -> tuple[list[Record], bool]:
    """A page of records, and whether more follow."""
    status = None
    if asked.status:
        kinds = _Kinds.of(tallies_of(connection, now), served)
        status = _status_is(asked.status, kinds, served.stale, now)
    if asked.job:  # the counts tell where it is
        mine = frozenset(tally.site for tally in tallies_of(connection, now) if tally.job == asked.job)
        asked = replace(asked, sites=mine if asked.sites is None else mine & asked.sites)
    if asked.text:
        asked = _narrowed(connection, asked)
    # The row beyond the page tells that another one follows.
    if asked.names is None:
        query = _query(asked, status).limit(PAGE + 1)
        found = [dict(row) for row in connection.execute(query).mappings()]
    else:
        found = _by_keys(connection, asked, _query(replace(asked, after=None), status))
    return [as_record(row) for row in found[:PAGE]], len(found) > PAGE


def oldest(connection: Connection, sites: frozenset[str] | None, most: int) -> list[Record]:
    """Return the `most` rows whose versions at the source are oldest, of those with a date. `sites` None: all."""
    query = _query(Search(sites=sites, order="age"), _key("age") > literal_column("0")).limit(most)
    return [as_record(dict(row)) for row in connection.execute(query).mappings()]


def _narrowed(connection: Connection, asked: Search) -> Search:
    """Limit the search to the names that hold its text, where an index tells them and there are not too many."""
    sites = connection.execute(select(tables.counts.c.site).distinct()).scalars()
    # The index holds no keys of sites: rows that fit by those alone would be missed.
    if any(asked.text.lower() in site.lower() for site in sites):
        return asked
    found = words.holding(connection, asked.text)
    if found is None:
        return asked
    names = frozenset(found)
    return replace(asked, names=names if asked.names is None else names & asked.names)


def _by_keys(connection: Connection, asked: Search, query: Select[Any]) -> list[dict[str, Any]]:
    """Return the rows of the keys that are asked for, in order, behind the cursor.

    At least as many as a page shows, and one more, if there are. The order is Python's throughout: a database's own
    may differ (PostgreSQL's collations).
    """
    begin: tuple[Any, ...] | None = None
    if asked.after is not None:
        value, site, name = asked.after
        begin = (name, site) if asked.order == "name" else (int(value), site, name)
    keys = sorted(asked.names or (), key=lambda key: (key[1], key[0]))
    if asked.order == "name" and begin is not None:
        keys = [key for key in keys if (key[1], key[0]) > begin]
    found: list[dict[str, Any]] = []
    for part in parts_of(keys, KEYS):
        rows = map(dict, connection.execute(query.where(_one_of(part))).mappings())
        found += (row for row in rows if begin is None or _place(row, asked.order) > begin)
        # By name the keys are in the order of the page: what follows them is on a later one.
        if asked.order == "name" and len(found) > PAGE:
            break
    return sorted(found, key=lambda row: _place(row, asked.order))


def _one_of(keys: Iterable[tuple[str, str]]) -> ColumnElement[bool]:
    """Return the condition for these keys, each found by the primary key.

    For a list of pairs SQLite would read all rows.
    """
    c = tables.records.c
    return or_(*(and_(c.site == site, c.name == name) for site, name in keys))


def _place(row: Mapping[str, Any], order: str) -> tuple[Any, ...]:
    if order == "name":
        return row["name"], row["site"]
    at = row["last_synced_at" if order == "arrival" else "source_updated_at"]
    # What never arrived stands at zero, as the index of that order has it.
    return (at - EPOCH) // MICROSECOND if at else 0, row["site"], row["name"]
