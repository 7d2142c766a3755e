"""After `state remount`: what the ledger has of the old mount goes to the sources that lead there now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, select, true

from syncd.domain import Record
from syncd.domain.arn import name_in
from syncd.domain.decisions import Rollback
from syncd.domain.places import place_of
from syncd.ledger import schema as tables
from syncd.ledger.rows import as_record, record_row, rollback_row, sealed
from syncd.ledger.statements import upsert


def before(source: str) -> str:
    """Prefix of the name given to a source's former mount; no configuration has such a name."""
    return f"{source} before "


def followed(
    connection: Connection,
    source: str,
    mount: str,
    readers: Mapping[str, str],
    living: Mapping[tuple[str, str], Rollback],
) -> None:
    """Give rows and rollbacks of a source's former mount to the name that leads to that mount now.

    `readers`: each configured job's source. Rows of jobs that read `source` follow it to its new mount. Rows of other
    jobs belong to the former mount: they go to another source that is known to lead there, else to a name that no
    configuration has (`before`). `living`: the rollbacks in force, by source and path.
    """
    known = tables.mounts.c
    ids = connection.execute(select(known.mount_id).where(and_(known.source == source, known.mount == mount)))
    mount_id = str(ids.scalar_one())
    same = and_(known.source != source, known.mount == mount, known.mount_id == mount_id)
    others = list(connection.execute(select(known.source).where(same).order_by(known.source)).scalars())
    rows = _rows(connection, source, mount, mount_id)
    # A row that no listing showed since keeps its old name: its job's source leads to another place after this.
    late = [
        row for name in others for row in _rows(connection, name, mount, mount_id) if readers.get(row.job) == source
    ]
    _move(connection, late, source)
    rows += late
    moving = [row for row in rows if readers.get(row.job) != source]
    # What may still be read by the old name is held there as well: that its version is another one is not known yet.
    may_stay = {name_in(row.ref.path) for row in rows if readers.get(row.job) in {None, source}}
    held = {
        path for name, path in living if name in {source, *others} and place_of({mount: mount_id}, path) == mount_id
    }
    of_no_row = {path for path in held if (source, path) in living} - {row.ref.path for row in rows}
    if not others and (moving or of_no_row):
        # The whole id: those of two AWS accounts begin alike.
        others = [f"{before(source)}{sha256(mount_id.encode()).hexdigest()[:12]}"]
        upsert(connection, tables.mounts, [sealed({"source": others[0], "mount": mount, "mount_id": mount_id})])
    if moving:
        _move(connection, moving, others[0])
    for path in sorted(held):
        own = living.get((source, path))
        if name_in(path) in may_stay:
            # The mount's id led to one that has another name; after this it does not any more.
            elsewhere = [living[name, path] for name in others if (name, path) in living]
            _keep(connection, source, own or max(elsewhere, key=lambda item: item.at))
        elif own is not None and others:
            c = tables.rollbacks.c
            connection.execute(delete(tables.rollbacks).where(and_(c.source == source, c.path == path)))
        if own is not None and others:
            there = living.get((others[0], path), own)
            _keep(connection, others[0], max(own, there, key=lambda item: item.at))


def take_over(
    connection: Connection,
    source: str,
    mount: str,
    readers: Mapping[str, str],
    living: Mapping[tuple[str, str], Rollback],
) -> None:
    """Give to a source with a new name what its jobs have of this mount from sources that no job reads any more.

    `readers`: each configured job's source. `living`: the rollbacks in force, by source and path. What other jobs have
    keeps the name of the source that is gone.
    """
    known = tables.mounts.c
    gone = and_(known.mount == mount, known.source.not_in({source, *readers.values()}))
    for name, mount_id in list(connection.execute(select(known.source, known.mount_id).where(gone))):
        rows = [row for row in _rows(connection, name, mount, mount_id) if readers.get(row.job) == source]
        _move(connection, rows, source)
        for path in {row.ref.path for row in rows}:
            # Kept where it was as well: other names may lead to that place still.
            if (name, path) in living and (source, path) not in living:
                _keep(connection, source, living[name, path])


def _move(connection: Connection, rows: Iterable[Record], source: str) -> None:
    moved = (replace(row, ref=replace(row.ref, source=source)) for row in rows)
    upsert(connection, tables.records, (record_row(row) for row in moved))


def _rows(connection: Connection, source: str, mount: str, mount_id: str) -> list[Record]:
    c = tables.records.c
    query = select(tables.records).where(and_(c.source == source, within(c.path, mount)))
    rows = (as_record(dict(row)) for row in connection.execute(query).mappings())
    # What a rule names by the ARN of another account does not go with this one.
    return [row for row in rows if place_of({mount: mount_id}, row.ref.path) == mount_id]


def within(column: Any, mount: str) -> ColumnElement[bool]:
    """Return the SQL condition for rows whose path lies in this mount; an AWS account has all rows of its source."""
    # A Vault mount ends in a slash; an AWS account is the whole source.
    return column.startswith(mount, autoescape=True) if mount.endswith("/") else true()


def _keep(connection: Connection, source: str, item: Rollback) -> None:
    upsert(connection, tables.rollbacks, [rollback_row(replace(item, source=source))])
