"""When findings begin and end: a line each in the audit trail, and nothing while they last."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, and_, delete, insert, select

from syncd.domain.audit import Entry
from syncd.ledger import schema as tables
from syncd.ledger.audit import append


def findings_begun_and_ended(
    connection: Connection,
    stream: str,
    job: str,
    open_now: Mapping[tuple[str, str], Entry],
    lasting: Container[str],
    at: datetime,
) -> None:
    """Write a line for each finding that begins, and for each that ends; nothing while it lasts.

    `open_now`: the job's findings now, by event and name. `lasting`: names whose findings do not end, even where
    `open_now` lacks them.
    """
    table = tables.audit_findings
    mine = and_(table.c.stream == stream, table.c.job == job)
    before = {(row.event, row.name) for row in connection.execute(select(table).where(mine))}
    still = open_now.keys() | {key for key in before if key[1] in lasting}
    begun = [open_now[key] for key in sorted(open_now.keys() - before)]
    ended = [
        Entry(event="finding.ended", name=name or None, job=job, site=stream, detail={"of": event})
        for event, name in sorted(before - still)
    ]
    if not begun and not ended:
        return
    append(connection, stream, [*begun, *ended], at)
    connection.execute(delete(table).where(mine))
    rows = [{"stream": stream, "job": job, "event": event, "name": name} for event, name in sorted(still)]
    if rows:
        connection.execute(insert(table), rows)


def findings_of_gone_jobs_ended(connection: Connection, stream: str, serving: Iterable[str], at: datetime) -> None:
    """Write that the findings of jobs that send nothing to the site any more have ended."""
    table = tables.audit_findings
    gone = and_(table.c.stream == stream, table.c.job.not_in(sorted(serving)))
    rows = connection.execute(select(table).where(gone).order_by(table.c.job, table.c.event, table.c.name)).all()
    if not rows:
        return
    detail = "its job sends nothing to this site any more"
    ended = [
        Entry(
            event="finding.ended",
            name=row.name or None,
            job=row.job,
            site=stream,
            detail={"of": row.event, "why": detail},
        )
        for row in rows
    ]
    append(connection, stream, ended, at)
    connection.execute(delete(table).where(gone))
