"""The audit trail in the ledger: appended in the journal's own transactions, read and verified."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, and_, delete, insert, select, type_coerce

from syncd.domain.audit import CAUSE, CONTROL, Cause, Entry
from syncd.domain.audit_chain import FIRST, Break, ChainCheck, chained, columns_of
from syncd.domain.ports import AuditBatch
from syncd.domain.untrusted import mapping, parsed
from syncd.errors import LedgerError
from syncd.ledger import schema as tables
from syncd.ledger.statements import insert_missing

OPENED = "audit.opened"


def append(
    connection: Connection, stream: str, entries: Iterable[Entry], at: datetime, cause: Cause | None = None
) -> list[int]:
    """Append lines to a stream, in the caller's transaction. Returns: their sequence numbers.

    The stream's head is read for update in that transaction and never kept between two. The first line of a new stream
    is `audit.opened`; its number is not returned. `cause`: who asked, and why; None: the cause of this run.
    """
    given = list(entries)
    if not given:
        return []
    heads = tables.audit_heads
    head = held_head(connection, stream)
    if is_first := head[0] == 0:  # a random chain id shows a ledger that was lost or put back
        given = [Entry(event=OPENED, detail={"chain": secrets.token_hex(8)}), *given]
    lines = list(chained(stream, head, given, cause or CAUSE.get(), at))
    connection.execute(insert(tables.audit), [{**columns_of(line, at), "line": stored} for line, stored in lines])
    newest = lines[-1][0]
    last = {"seq": newest["seq"], "hash": newest["hash"]}
    connection.execute(heads.update().where(heads.c.stream == stream).values(**last))
    return [line["seq"] for line, _ in lines[1 if is_first else 0 :]]


def held_head(connection: Connection, stream: str) -> tuple[int, str]:
    """Return a stream's head (seq and hash of its last line), locked until the transaction ends.

    A stream without a head gets one at seq 0. Raises `LedgerError` where it has lines all the same.
    """
    heads, lines = tables.audit_heads, tables.audit.c
    mine = select(heads.c.seq, heads.c.hash).where(heads.c.stream == stream).with_for_update()
    row = connection.execute(mine).first()
    if row is None:
        # Several may begin a stream at this moment: one row is made, and the others wait for it here.
        insert_missing(connection, heads, {"stream": stream, "seq": 0, "hash": FIRST})
        row = connection.execute(mine).one()
        has_lines = connection.execute(select(lines.seq).where(lines.stream == stream).limit(1)).first() is not None
        if row.seq == 0 and has_lines:
            raise LedgerError(
                f"the audit trail's stream {stream} has lines and no head: somebody changed it",
                hint="see: syncd audit verify; restore the ledger from a backup",
            )
    return row.seq, row.hash


def take_turn(connection: Connection, site: str, batch: AuditBatch, at: datetime) -> None:
    """Append how intents ended, what else happened and which intents begin; store which intents are open now."""
    table = tables.audit_open
    seqs: dict[str, int] = {}
    if batch.ends:
        these = and_(table.c.stream == site, table.c.name.in_([entry.name for entry in batch.ends]))
        seqs = {row.name: row.seq for row in connection.execute(select(table.c.name, table.c.seq).where(these))}
        connection.execute(delete(table).where(these))
    ended = [replace(entry, intent=seqs.get(str(entry.name))) for entry in batch.ends]
    notes = _without_known_drift(connection, site, batch.notes)
    # Ends stand before intents: a name may end and begin in one turn, and its open intent is found by name.
    written = append(connection, site, [*ended, *notes, *batch.intents], at)
    begun = zip(batch.intents, written[len(ended) + len(notes) :], strict=True)
    rows = [{"stream": site, "name": entry.name, "seq": seq} for entry, seq in begun]
    if rows:
        connection.execute(insert(table), rows)


def _without_known_drift(connection: Connection, site: str, notes: tuple[Entry, ...]) -> list[Entry]:
    """Leave out drift that an earlier cycle found and reported: it has its line already."""
    names = [entry.name for entry in notes if entry.event == "drift.found"]
    if not names:
        return list(notes)
    table = tables.audit_findings.c
    known = and_(table.stream == site, table.event == "drift.found", table.name.in_(names))
    told_before = set(connection.execute(select(table.name).where(known)).scalars())
    return [entry for entry in notes if entry.event != "drift.found" or entry.name not in told_before]


def settle_killed(connection: Connection, site: str, at: datetime) -> None:
    """End as unknown each intent that an earlier holder of the site's lock left open.

    Called by the present holder of that lock.
    """
    table, written = tables.audit_open, tables.audit.c
    same = and_(written.stream == table.c.stream, written.seq == table.c.seq)
    columns = (written.seq, written.event, written.name, written.job, written.site, written.line)
    rows = connection.execute(
        select(*columns).join(table, same).where(table.c.stream == site).order_by(written.seq)
    ).all()
    append(connection, site, map(_never_answered, rows), at)
    connection.execute(delete(table).where(table.c.stream == site))


def _never_answered(row: Any) -> Entry:
    try:
        intent = json.loads(row.line)
        more = {key: intent[key] for key in ("ref", "remote_id", "target")}
        more |= {"from_version": intent["from"], "to_version": intent["to"]}
        detail = dict(intent["detail"])
    except (ValueError, TypeError, LookupError, RecursionError):  # a damaged line still has its end; `verify` names it
        more, detail = {}, {}
    return Entry(
        event=row.event,
        outcome="unknown",
        name=row.name,
        job=row.job,
        site=row.site,
        intent=row.seq,
        detail={**detail, "error": "the process ended before it was answered"},
        **more,
    )


def heads(connection: Connection) -> dict[str, tuple[int, str]]:
    """The last line of each stream: its seq and hash."""
    return {row.stream: (row.seq, row.hash) for row in connection.execute(select(tables.audit_heads))}


Visit = Callable[[Mapping[Any, Any], bool], None]
"""Given a stored line (`at`: microseconds since 1970), and whether the chain is whole up to it."""


def _checkpoints_told(text: str) -> dict[str, object] | None:
    detail = mapping(mapping(parsed(text.encode("utf-8", "surrogatepass"))).get("detail"))
    return dict(mapping(detail["checkpoints"])) if "checkpoints" in detail else None


def verify(
    connection: Connection, expected: Mapping[str, Mapping[int, str]], visit: Visit | None = None
) -> tuple[list[Break], int]:
    """Return the first break of each stream, and how many lines were checked.

    `expected`: hashes by stream and seq that somebody kept elsewhere; they show where the end of a stream was cut off.
    `visit`: called with each line, stream by stream.
    """
    c, found, count = tables.audit.c, dict[str, Break](), 0
    checks: dict[str, ChainCheck] = {}
    start = {row.stream: (row.seq, row.hash) for row in connection.execute(select(tables.audit_checkpoints))}
    told: dict[str, object] | None = {}
    before = heads(connection)  # in PostgreSQL lines may come while this one looks

    def check_of(stream: str) -> ChainCheck:
        return checks.setdefault(stream, ChainCheck(stream, start.get(stream, (0, FIRST))))

    columns = [type_coerce(column, BigInteger) if column.name == "at" else column for column in c]
    query = select(*columns).order_by(c.stream, c.seq).execution_options(yield_per=5000)
    for row in connection.execute(query).mappings():
        count += 1
        stream, seq = row["stream"], row["seq"]
        # Told in the control stream alone; a line of that name in any other vouches for nothing.
        if row["event"] == "audit.pruned" and stream == CONTROL:
            # One of before checkpoints were told has none, and vouches for all.
            told = _checkpoints_told(row["line"])
        known = {expected.get(stream, {}).get(seq, row["hash"])}
        known |= {before[stream][1]} if before.get(stream, (0, ""))[0] == seq else set()
        # Behind a break nothing follows its line any more: only the first one says where.
        if stream not in found:
            if broken := check_of(stream).take(seq, row["line"], dict(row)):
                found[stream] = broken
            elif known != {row["hash"]}:
                found[stream] = Break(stream, seq, "differs from the hash that was seen before")
        if visit is not None:
            visit(row, stream not in found)
    for stream in start.keys() - found.keys():
        # What is removed by age leaves the head.
        is_left = stream in checks or stream not in before
        if broken := _of_checkpoint(stream, start[stream], told, expected.get(stream, {}), is_left=is_left):
            found[stream] = broken
    # Asked again: a line that came while this one looked is no alarm.
    after = heads(connection)
    for stream in sorted({*before, *checks, *expected} - found.keys()):
        last, least = check_of(stream).seq, before.get(stream, (0, FIRST))[0]
        if last < max(least, max(expected.get(stream, {}), default=0)):
            found[stream] = Break(stream, last + 1, "was removed")
        elif last > after.get(stream, (0, FIRST))[0]:
            found[stream] = Break(stream, last, "comes after the head of its stream")
    return sorted(found.values(), key=lambda broken: broken.stream), count


def _of_checkpoint(
    stream: str,
    checkpoint: tuple[int, str],
    told: Mapping[str, object] | None,
    expected: Mapping[int, str],
    *,
    is_left: bool,
) -> Break | None:
    """Return the break at a checkpoint, where a pruned stream begins; None where the checkpoint is sound.

    `told`: the checkpoints that the line of the last pruning names; None: it names none. `is_left`: False where the
    stream has a head and no line any more.
    """
    seq, digest = checkpoint
    if expected.get(seq, digest) != digest:
        return Break(stream, seq, "differs from the hash that was seen before")
    if not is_left:
        return Break(stream, seq, "and all before it were removed, with the head of the stream")
    if told is not None and told.get(stream) != [seq, digest]:
        return Break(stream, seq, "and all before it were removed, and no audit.pruned line tells of it")
    return None
