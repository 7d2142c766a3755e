"""Statements for SQLite and PostgreSQL alike, and rows in parts of a size that one statement takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table

T = TypeVar("T")
PART = 500
"""Rows that are made and sent to the database together."""


def upsert(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert or replace by primary key, a part of the rows at a time, so that ten thousand take no memory."""
    left = iter(rows)
    while part := list(islice(left, PART)):
        connection.execute(_upserting(connection.dialect.name, table), part)


def insert_missing(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Insert a row unless its key is there; safe beside others that do the same."""
    connection.execute(_inserting(connection.dialect.name, table).on_conflict_do_nothing(), row)


def _inserting(dialect_name: str, table: Table) -> Any:
    if dialect_name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415  # 2 MB, where it is used
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]  # noqa: PLC0415
    return insert(table)


@cache
def _upserting(dialect_name: str, table: Table) -> Any:
    """Build the statement of `upsert`, once for each table: building it takes longer than executing it."""
    statement = _inserting(dialect_name, table)
    keys = [column.name for column in table.primary_key]
    excluded = statement.excluded
    changed = {column.name: excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def in_parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """The ids in parts that one statement takes."""
    yield from parts_of(sorted(ids))


def parts_of(rows: Iterable[T], most: int = PART) -> Iterator[list[T]]:
    """Yield the rows in parts of `most`."""
    left = iter(rows)
    while part := list(islice(left, most)):
        yield part


def meta_key(kind: str, of: str) -> str:
    """Return a key of the meta table. `of` (a site, a sink) is hashed, because it may be longer than a key."""
    return f"{kind}{hashlib.sha256(of.encode()).hexdigest()[:40]}"
