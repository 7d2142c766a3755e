"""Find records by what people type and click: filters in the database, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, not_, or_, select, tuple_

from syncd.domain import Record
from syncd.domain.statuses import Served
from syncd.ledger import schema as tables
from syncd.ledger.engine import parts_of
from syncd.ledger.rows import as_record
from syncd.ledger.schema import EPOCH

PAGE = 50
"""Rows of a page."""
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


def _status_is(status: str, served: Served, now: datetime) -> ColumnElement[bool]:
    """The same order of statuses as `status_of_record`, asked of the database."""
    c = tables.records.c
    detached = c.site.not_in(sorted(served.jobs))
    is_open = or_(c.pending.is_not(None), c.remote_id.is_(None))
    frozen = and_(c.frozen_until.is_not(None), c.frozen_until > now)
    pairs = sorted((site, job) for site, jobs in served.jobs.items() for job in jobs)
    left_over = not_(tuple_(c.site, c.job).in_(pairs)) if pairs else not_(false())
    # An empty IN is no condition that every database takes.
    stale = tuple_(c.site, c.job).in_(sorted(served.stale)) if served.stale else false()
    earlier: list[tuple[str, ColumnElement[bool]]] = [
        ("detached", detached), ("pending", is_open), ("unverified", c.unverified), ("frozen", frozen),
        ("orphan", left_over),
    ]  # fmt: skip
    none_before = and_(*(not_(condition) for _, condition in earlier))
    own = {
        "synced": and_(c.status == "synced", not_(stale)),
        "behind": or_(c.status == "behind", and_(c.status == "synced", stale)),
        "pending": c.status.in_(["pending", ""]),
    }.get(status, c.status == status)
    first: list[ColumnElement[bool]] = []
    for word, condition in earlier:
        if word == status:
            return or_(and_(*first, condition), and_(none_before, own))
        first.append(not_(condition))
    return and_(none_before, own)


def _key(order: str) -> ColumnElement[Any]:
    c = tables.records.c
    if order == "arrival":
        return func.coalesce(c.last_synced_at, 0)
    return func.coalesce(c.source_updated_at, 0) if order == "age" else c.name


def _query(asked: Search, served: Served, now: datetime) -> Select[Any]:
    c = tables.records.c
    where: list[ColumnElement[bool]] = []
    if asked.text:
        words = asked.text
        where.append(or_(*(column.icontains(words, autoescape=True) for column in (c.name, c.path, c.site, c.target))))
    where += [_status_is(asked.status, served, now)] if asked.status else []
    where += [c.job == asked.job] if asked.job else []
    where += [c.site.in_(sorted(asked.sites))] if asked.sites is not None else []
    key = _key(asked.order)
    if asked.after is not None:
        value: Any = asked.after[0] if asked.order == "name" else int(asked.after[0])
        where.append(tuple_(key, c.site, c.name) > tuple_(value, asked.after[1], asked.after[2]))
    return select(tables.records).where(and_(True, *where)).order_by(key, c.site, c.name)


def find(connection: Connection, asked: Search, served: Served, now: datetime) -> tuple[list[Record], bool]:
    """A page of records, and whether more follow."""
    query = _query(asked, served, now).limit(PAGE + 1)
    if asked.names is None:
        found = [dict(row) for row in connection.execute(query).mappings()]
    else:  # as many as a statement takes at a time, and the first of all of them
        c = tables.records.c
        parts = (query.where(tuple_(c.site, c.name).in_(part)) for part in parts_of(sorted(asked.names)))
        found = [dict(row) for part in parts for row in connection.execute(part).mappings()]
        found.sort(key=lambda row: (_value(row, asked.order), row["site"], row["name"]))
    return [as_record(row) for row in found[:PAGE]], len(found) > PAGE


def _value(row: Mapping[str, Any], order: str) -> Any:
    if order == "name":
        return row["name"]
    return row["last_synced_at" if order == "arrival" else "source_updated_at"] or EPOCH
