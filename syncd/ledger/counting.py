"""Counts of the records, kept by the database in the very transaction that changes one: nobody counts a million rows.

What is frozen is counted when it is asked for, because that ends with time; those rows are few and have an index.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, Integer, Select, and_, func, insert, literal, select, true

from syncd.domain.statuses import Tally
from syncd.ledger import schema as tables

OPEN = "({row}.pending IS NOT NULL OR {row}.remote_id IS NULL)"
KEY = ("site", "job", "status", "is_open", "unverified")


def install(connection: Connection) -> None:
    """Create the counts of today's rows, and the triggers that keep them."""
    c = tables.records.c
    kinds = (c.site, c.job, c.status, tables.is_open, c.unverified)
    counted = select(*kinds, func.count()).where(c.frozen_until.is_(None)).group_by(*kinds)
    connection.execute(insert(tables.counts).from_select([*KEY, "count"], counted))
    statements = _for_postgres() if connection.dialect.name == "postgresql" else _for_sqlite()
    for statement in statements:
        connection.exec_driver_sql(statement)


def _values(row: str) -> str:
    return f"{row}.site, {row}.job, {row}.status, {OPEN.format(row=row)}, {row}.unverified"


def _one_more(row: str) -> str:
    return (
        f"INSERT INTO syncd_counts ({', '.join(KEY)}, count) VALUES ({_values(row)}, 1)"  # noqa: S608  # fixed names
        f" ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET count = syncd_counts.count + 1"
    )


def _one_less(row: str) -> str:
    is_it = " AND ".join(f"{key} = {value}" for key, value in zip(KEY, _values(row).split(", "), strict=True))
    return f"UPDATE syncd_counts SET count = count - 1 WHERE {is_it}"  # noqa: S608  # fixed names


def _is_counted(row: str) -> str:
    return f"{row}.frozen_until IS NULL"


def _changed(different: str) -> str:
    pairs = [(f"OLD.{key}", f"NEW.{key}") for key in ("site", "job", "status", "unverified")]
    pairs += [(OPEN.format(row="OLD"), OPEN.format(row="NEW"))]
    pairs += [("(OLD.frozen_until IS NULL)", "(NEW.frozen_until IS NULL)")]
    return " OR ".join(f"{old} {different} {new}" for old, new in pairs)


def _for_sqlite() -> Iterator[str]:
    parts = (
        ("in", "INSERT", _is_counted("NEW"), _one_more("NEW")),
        ("out", "DELETE", _is_counted("OLD"), _one_less("OLD")),
        ("from", "UPDATE", f"{_is_counted('OLD')} AND ({_changed('IS NOT')})", _one_less("OLD")),
        ("to", "UPDATE", f"{_is_counted('NEW')} AND ({_changed('IS NOT')})", _one_more("NEW")),
    )
    for name, event, when, statement in parts:
        yield (
            f"CREATE TRIGGER syncd_counted_{name} AFTER {event} ON syncd_records WHEN {when}"
            f" BEGIN {statement}; END"
        )  # fmt: skip


def _for_postgres() -> Iterator[str]:
    changed = _changed("IS DISTINCT FROM")
    yield f"""CREATE OR REPLACE FUNCTION syncd_count() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'UPDATE' AND NOT ({changed}) THEN RETURN NULL; END IF;
        IF TG_OP <> 'INSERT' AND {_is_counted("OLD")} THEN {_one_less("OLD")}; END IF;
        IF TG_OP <> 'DELETE' AND {_is_counted("NEW")} THEN {_one_more("NEW")}; END IF;
        RETURN NULL; END $$"""
    yield (
        "CREATE TRIGGER syncd_counted AFTER INSERT OR UPDATE OR DELETE ON syncd_records"
        " FOR EACH ROW EXECUTE FUNCTION syncd_count()"
    )


def tallies_of(connection: Connection, now: datetime, site: str | None = None) -> list[Tally]:
    """Count the records, grouped by all that tells their status."""
    rows = connection.execute(_counted(site)).mappings().all()
    found = [Tally(**{**row, "is_open": bool(row["is_open"]), "unverified": bool(row["unverified"])}) for row in rows]
    frozen = connection.execute(_frozen(now, site)).mappings().all()
    return found + [Tally(**{**row, **{key: bool(row[key]) for key in ("is_open", "frozen")}}) for row in frozen]


def _counted(site: str | None) -> Select[tuple[object, ...]]:
    table = tables.counts
    # A count that fell to zero keeps its row: triggers only add and subtract.
    query = select(table, literal(0, Integer).label("frozen")).where(table.c.count > 0)
    return query if site is None else query.where(table.c.site == site)


def _frozen(now: datetime, site: str | None) -> Select[tuple[object, ...]]:
    c = tables.records.c
    kinds = (
        c.site,
        c.job,
        c.status,
        tables.is_open.label("is_open"),
        c.unverified,
        (c.frozen_until > now).label("frozen"),
    )
    # Not `IS NOT NULL`: SQLite would rather read all rows than the index of the few.
    where = [c.frozen_until > tables.EPOCH, *([c.site == site] if site is not None else [])]
    return select(*kinds, func.count().label("count")).where(and_(true(), *where)).group_by(*kinds)
