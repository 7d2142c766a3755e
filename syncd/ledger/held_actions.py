"""What waits for a release, as the ledger keeps it while cycles run: stored, spent, dropped."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select

from syncd.domain.audit import Entry, shown
from syncd.domain.decisions import HeldAction
from syncd.ledger import schema as tables
from syncd.ledger.audit import append
from syncd.ledger.statements import in_parts

HELD_LOCK = 0x68656C64
"""PostgreSQL's advisory lock of the held actions ("held")."""


def one_at_a_time(connection: Connection) -> None:
    """Keep releases from coming between what a cycle reads of the held actions and what it writes.

    Holds a lock until the transaction ends. SQLite needs none: it has one writer at a time.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(HELD_LOCK)))


def as_held(row: Any) -> HeldAction:
    return HeldAction(**row)


def spend_releases(connection: Connection, site: str, done: Iterable[str]) -> None:
    """End the releases of actions that are done: each release is for one action.

    A release that came meanwhile for a later version ends, too, and is asked for again: an action is asked for twice
    rather than sent unasked.
    """
    table, names = tables.held, list(done)
    released = and_(table.c.site == site, table.c.released_at.is_not(None))
    # The usual case: nothing on this site is released.
    if not names or connection.execute(select(table.c.name).where(released).limit(1)).first() is None:
        return
    for part in in_parts(names):
        connection.execute(delete(table).where(and_(released, table.c.name.in_(part))))


def drop_held_of_others(connection: Connection, site: str, jobs: Collection[str]) -> None:
    """Drop the held actions of all other jobs than these, which send to the site."""
    table = tables.held
    others = and_(table.c.site == site, table.c.job.not_in(sorted(jobs)))
    if connection.execute(select(table.c.name).where(others).limit(1)).first() is not None:
        connection.execute(delete(table).where(others))


def _taken_the_place(before: Iterable[HeldAction], now: Iterable[HeldAction], at: datetime) -> Iterator[Entry]:
    """Yield a line for each action that waits now in the place of another one, such as a newer version in a new batch.

    The finding lasts, so that no line of a beginning is written.
    """
    known, batches = {item.identity for item in before}, {(item.name, item.cause): item.batch for item in before}
    for item in now:
        if item.identity in known or (item.name, item.cause) not in batches:
            continue
        earlier, _ = shown(item.from_version, at) if item.from_version else (None, {})
        later, _ = shown(item.to_version, at) if item.to_version else (None, {})
        yield Entry(
            event="secret.held",
            name=item.name,
            ref=item.ref,
            from_version=earlier,
            to_version=later,
            remote_id=item.remote_id or None,
            rule=item.cause.removeprefix("rule ") if item.cause.startswith("rule ") else None,
            job=item.job,
            target=item.target,
            site=item.site,
            detail={"batch": item.batch, "instead_of": batches[item.name, item.cause]},
        )


def store_held(connection: Connection, site: str, job: str, waiting: Iterable[HeldAction], at: datetime) -> None:
    """Replace what waits for a job on a site.

    Batches of which nothing is left stay known, so that a person who releases one is told so.
    """
    table, mine = tables.held, and_(tables.held.c.site == site, tables.held.c.job == job)
    one_at_a_time(connection)
    before = {as_held(row).identity: as_held(row) for row in connection.execute(select(table).where(mine)).mappings()}
    now = {action.identity: action for action in waiting}
    # The usual case: what waits is what waited, and nothing is written.
    if {key: action.target for key, action in before.items()} == {key: action.target for key, action in now.items()}:
        return
    connection.execute(delete(table).where(mine))
    append(connection, site, _taken_the_place(before.values(), now.values(), at), at)
    rows = []
    for action in now.values():
        # What it allowed is done: it was spent in the transaction that wrote that down.
        if action.released_at is not None and action.identity not in before:
            continue
        # A release that came while this cycle ran is kept.
        known = before.get(action.identity)
        kept = replace(known, target=action.target) if known else replace(action, since=at)
        rows.append({key: getattr(kept, key) for key in HeldAction.__dataclass_fields__})
    if rows:
        connection.execute(insert(table), rows)
    known_batches = set(connection.execute(select(tables.batches.c.batch)).scalars())
    fresh = {row["batch"]: row["since"] for row in rows if row["batch"] not in known_batches}
    if fresh:
        new = [
            {"batch": batch, "since": since, "released_at": None, "released_by": ""} for batch, since in fresh.items()
        ]
        connection.execute(insert(tables.batches), new)
