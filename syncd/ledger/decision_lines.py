"""The lines of the audit trail for what people decide."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, select

from syncd.domain import SecretRef, version_label
from syncd.domain.audit import Entry
from syncd.domain.decisions import HeldAction, Pause, Rollback
from syncd.ledger import schema as tables


def _instant(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None


def ends_of(connection: Connection, item: Rollback) -> list[Entry]:
    """Return the lines for the end of a rollback: one for each secret, as where a person ends it.

    Where no site has a secret of the path, one line for the path.
    """
    c, ended = tables.records.c, {"ended": "true"}
    query = select(c.name, c.site, c.job, c.target, c.remote_id, c.field).where(
        and_(c.source == item.source, c.path == item.path, c.pin == "")
    )
    found = [
        Entry(
            event="secret.rolled_back",
            name=row.name,
            ref=str(SecretRef(source=item.source, path=item.path, field=row.field)),
            remote_id=row.remote_id,
            job=row.job,
            target=row.target,
            site=row.site,
            detail=ended,
        )
        for row in connection.execute(query)
    ]
    return found or [Entry(event="secret.rolled_back", ref=f"{item.source}:{item.path}", detail=ended)]


def released(action: HeldAction, reason: str) -> Entry:
    """The line of an action that a person let go."""
    return Entry(
        event="secret.released",
        name=action.name,
        ref=action.ref,
        from_version=version_label(action.from_version) or None,
        to_version=version_label(action.to_version) or None,
        remote_id=action.remote_id or None,
        rule=action.cause.removeprefix("rule ") if action.cause.startswith("rule ") else None,
        job=action.job,
        target=action.target,
        site=action.site,
        reason=reason,
        detail={"batch": action.batch, "cause": action.cause, "action": action.action},
    )


def paused_line(event: str, pause: Pause) -> Entry:
    """The line of a pause, or of its end."""
    return Entry(
        event=event,
        job=pause.name if pause.scope == "job" else None,
        target=pause.name if pause.scope == "target" else None,
        site=pause.site or None,
        detail={"scope": pause.scope, **({"until": _instant(pause.until)} if pause.until else {})},
    )
