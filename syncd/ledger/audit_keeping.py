"""Keep track of which audit lines each sink has, and remove lines that are old enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Select, and_, delete, func, or_, select

from syncd.domain.audit import CONTROL, Actor, Cause, Entry
from syncd.domain.in_force import InForce, place_of
from syncd.domain.recency import happened_within
from syncd.domain.untrusted import mapping, parsed, text
from syncd.ledger import schema as tables
from syncd.ledger.audit import append, heads
from syncd.ledger.statements import upsert

AT_ONCE = timedelta(days=2)
"""Pruning removes at most this many days of lines in a day: the clock may have jumped."""
EACH = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Stored:
    """The text of an audit line, with its stream and its sequence number there."""

    stream: str
    seq: int
    text: str


def _behind(sink: str) -> Select[tuple[str, int, str]]:
    c, done = tables.audit.c, tables.audit_shipped.c
    mine = and_(done.stream == c.stream, done.sink == sink)
    query = select(c.stream, c.seq, c.line).outerjoin(tables.audit_shipped, mine)
    return query.where(or_(done.seq.is_(None), c.seq > done.seq))


def unshipped(connection: Connection, sink: str, most: int) -> list[Stored]:
    """Return the next lines that a sink does not have, `most` at most: stream by stream, each in its order."""
    c = tables.audit.c
    found = connection.execute(_behind(sink).order_by(c.stream, c.seq).limit(most))
    return [Stored(row.stream, row.seq, row.line) for row in found]


def unshipped_count(connection: Connection, sink: str) -> int:
    """How many lines a sink has not got."""
    return int(connection.execute(select(func.count()).select_from(_behind(sink).subquery())).scalar_one())


def is_unshipped_before(connection: Connection, sink: str, moment: datetime) -> bool:
    """Is there a line from before this moment that the sink does not have yet?"""
    return connection.execute(_behind(sink).where(tables.audit.c.at < moment).limit(1)).first() is not None


def mark_shipped(connection: Connection, sink: str, last: Mapping[str, int]) -> None:
    """Store up to which line of each stream a sink has them all. A cursor never moves back."""
    table = tables.audit_shipped
    known = {row.stream: row.seq for row in connection.execute(select(table).where(table.c.sink == sink))}
    # Forward alone: a process that lost its turn may come back late.
    ahead = ((stream, seq) for stream, seq in sorted(last.items()) if seq > known.get(stream, 0))
    upsert(connection, table, [{"sink": sink, "stream": stream, "seq": seq} for stream, seq in ahead])


def rename_cursors(connection: Connection, former: str, now: str) -> None:
    """Keep a sink's cursors under another name."""
    table = tables.audit_shipped
    rows = connection.execute(select(table).where(table.c.sink == former)).all()
    if rows:
        upsert(connection, table, [{"sink": now, "stream": row.stream, "seq": row.seq} for row in rows])
        connection.execute(delete(table).where(table.c.sink == former))


def prune(connection: Connection, keep: timedelta, sink: str | None, now: datetime) -> int:
    """Remove lines that are older than `keep` and, where there is a sink, shipped to it. Returns: how many.

    Once a day, and two days of lines at most, so that little is lost to a clock that jumped. The last line of each
    stream stays, and a checkpoint holds the hash before the oldest line that is left.
    """
    c, pruned = tables.audit.c, tables.audit_pruned
    row = connection.execute(select(pruned.c.at, pruned.c.until)).first()
    oldest = connection.execute(select(func.min(c.at))).scalar()
    # By a clock that was ahead once nothing would be removed for years.
    if oldest is None or (row is not None and happened_within(row.at, now, EACH)):
        return 0
    until = min(now - keep, max(oldest, row.until if row else oldest) + AT_ONCE)
    if until <= oldest:
        return 0
    configured = _in_force(connection, until)
    removed = sum(_prune_stream(connection, stream, until, sink) for stream in heads(connection))
    upsert(connection, pruned, [{"id": 1, "at": now, "until": until}])
    # What was in force when the lines that are left begin stays in the trail, however long ago it was loaded.
    if configured is not None and _in_force(connection, until) != configured:
        entry, cause = configured
        append(connection, CONTROL, [entry], now, cause)
    if removed:
        # All of them: an earlier line that told of one may be among those removed.
        checkpoints = {row.stream: [row.seq, row.hash] for row in connection.execute(select(tables.audit_checkpoints))}
        detail = {"lines": removed, "until": f"{until:%Y-%m-%dT%H:%M:%SZ}", "checkpoints": checkpoints}
        append(connection, CONTROL, [Entry(event="audit.pruned", detail=detail)], now)
    return removed


def _in_force(connection: Connection, at: datetime) -> tuple[Entry, Cause] | None:
    """Return the line of the configuration in force at a moment, made to be written again; None for no such line."""
    c = tables.audit.c
    lines = select(c.line).where(and_(c.stream == CONTROL, c.event == "config.loaded")).order_by(c.seq)
    found = InForce(at)
    for text_of_line in connection.execute(lines).scalars():
        found.take(mapping(parsed(str(text_of_line).encode())))
    line = found.line
    if line is None:
        return None
    by = mapping(line.get("actor"))
    actor = Actor(text(by.get("kind")), text(by.get("id")), text(by.get("via")))
    detail = {"since": line.get("at"), "first": place_of(line), **mapping(line.get("detail"))}
    commit = text(line.get("commit")) or None
    return Entry(event="config.loaded", detail=detail), Cause(actor=actor, config=line.get("config"), commit=commit)


def _prune_stream(connection: Connection, stream: str, until: datetime, sink: str | None) -> int:
    c, done = tables.audit.c, tables.audit_shipped
    # What follows the first younger line stays with it: a chain has no holes.
    kept = select(func.min(c.seq)).where(and_(c.stream == stream, c.at >= until))
    limits = [connection.execute(kept).scalar(), heads(connection)[stream][0]]
    if sink is not None:
        mine = and_(done.c.stream == stream, done.c.sink == sink)
        limits.append((connection.execute(select(done.c.seq).where(mine)).scalar() or 0) + 1)
    first = min(seq for seq in limits if seq is not None)
    digest = connection.execute(select(c.hash).where(and_(c.stream == stream, c.seq == first - 1))).scalar()
    if digest is None:
        return 0
    # Who settles an intent of a killed process reads its line, so that line has to stay.
    open_intents = select(tables.audit_open.c.seq).where(tables.audit_open.c.stream == stream)
    if connection.execute(open_intents.where(tables.audit_open.c.seq < first)).first() is not None:
        return 0
    upsert(connection, tables.audit_checkpoints, [{"stream": stream, "seq": first - 1, "hash": digest}])
    return connection.execute(delete(tables.audit).where(and_(c.stream == stream, c.seq < first))).rowcount
