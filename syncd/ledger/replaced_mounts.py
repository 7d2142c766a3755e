"""A mount that a person said was replaced: what the ledger has of the one before goes to whoever leads there now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, select, true

from syncd.domain import Record
from syncd.ledger import schema as tables
from syncd.ledger.rows import as_record, record_row, sealed
from syncd.ledger.statements import upsert


def before(source: str) -> str:
    """How the names begin of places to which a source led before; no configuration has such a name."""
    return f"{source} before "


def followed(connection: Connection, source: str, mount: str, readers: Mapping[str, str]) -> None:
    """Give rows and rollbacks of the mount that was there to the name that its source has now.

    `readers`: each configured job's source. Rows of jobs that do not read this one any more are of the mount that was
    there, whoever has the name today: as long as no other source is known to lead to it, they bear a name that no
    configuration has.
    """
    known = tables.mounts.c
    ids = connection.execute(select(known.mount_id).where(and_(known.source == source, known.mount == mount)))
    mount_id = str(ids.scalar_one())
    same = and_(known.source != source, known.mount == mount, known.mount_id == mount_id)
    name = connection.execute(select(known.source).where(same).order_by(known.source)).scalars().first()
    rows = _rows(connection, source, mount)
    moving = [row for row in rows if readers.get(row.job) != source]
    paths = _rolled_back(connection, source, mount)
    if name is None and (moving or paths - {row.ref.path for row in rows}):
        name = f"{before(source)}{mount_id[:8]}"
        upsert(connection, tables.mounts, [sealed({"source": name, "mount": mount, "mount_id": mount_id})])
    if name is None:
        return
    moved = (replace(row, ref=replace(row.ref, source=name)) for row in moving)
    upsert(connection, tables.records, (record_row(row) for row in moved))
    # What may still be read by the old name is held there as well: that its version is another one is not known yet.
    may_stay = {row.ref.path for row in rows if readers.get(row.job) in {None, source}}
    _give_rollbacks(connection, source, name, paths, going=paths - may_stay)


def _rows(connection: Connection, source: str, mount: str) -> list[Record]:
    c = tables.records.c
    query = select(tables.records).where(and_(c.source == source, within(c.path, mount)))
    return [as_record(dict(row)) for row in connection.execute(query).mappings()]


def within(column: Any, mount: str) -> ColumnElement[bool]:
    """Of rows with a path: those that lie in this mount."""
    # A Vault mount ends in a slash; an AWS account is the whole source.
    return column.startswith(mount, autoescape=True) if mount.endswith("/") else true()


def _rolled_back(connection: Connection, source: str, mount: str) -> set[str]:
    c = tables.rollbacks.c
    found = connection.execute(select(c.path).where(and_(c.source == source, within(c.path, mount))))
    return set(found.scalars())


def _give_rollbacks(
    connection: Connection, source: str, name: str, paths: Collection[str], going: Collection[str]
) -> None:
    c = tables.rollbacks.c
    for path in sorted(paths):
        this = and_(c.source == source, c.path == path)
        row = connection.execute(select(tables.rollbacks).where(this)).mappings().one()
        upsert(connection, tables.rollbacks, [{**row, "source": name}])
        if path in going:
            connection.execute(delete(tables.rollbacks).where(this))
