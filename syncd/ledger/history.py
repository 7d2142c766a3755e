"""What was sent of late, as the limits of a rolling day count it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, select

from syncd.domain import Result
from syncd.ledger import schema as tables


def not_refused(lines: Iterable[dict[str, Any]]) -> frozenset[str]:
    """What was sent and not surely refused. A refusal speaks of its own sending, not of an earlier one."""
    sent, counted = set[str](), set[str]()
    for line in lines:
        if line["result"] == Result.SENT:
            sent.add(line["of"])
        elif line["result"] == Result.REFUSED:
            sent.discard(line["of"])
        else:
            counted.add(line["of"])
            sent.discard(line["of"])
    return frozenset(sent | counted)


def deletions(site: str, job: str | None, since: datetime) -> Select[Any]:
    """The ids sent for deletion since then on a site, and how far each came."""
    table = tables.history.c
    where = [table.site == site, table.action == "delete", table.at > since]
    if job is not None:
        where.append(table.job == job)
    return select(table.remote_id.label("of"), table.result).where(and_(*where)).order_by(table.id)


def names_sent(site: str, job: str, action: str, since: datetime) -> Select[Any]:
    """Names that a job sent since then for create or update, and how far each came."""
    table = tables.history.c
    kinds = ["update", "restore"] if action == "update" else [action]
    sent = and_(table.site == site, table.job == job, table.action.in_(kinds), table.at > since)
    return select(table.name.label("of"), table.result).where(sent).order_by(table.id)
