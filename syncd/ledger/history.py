"""What was sent of late, as the limits of a rolling day count it."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_, select

from syncd.domain import Result
from syncd.domain.recency import TOLERANCE, Since
from syncd.ledger import schema as tables

T = TypeVar("T", bound=Hashable)
BY_COMMAND = "by state forget"
"""How lines of deletions by command end."""


def not_refused(lines: Iterable[tuple[T, str | None]]) -> tuple[T, ...]:
    """Return what was sent and not surely refused, in the order of sending.

    A refusal is of its own sending, not of an earlier one. `lines`: what each line is about, and how far it came (a
    `Result`).
    """
    sendings, last = list[T | None](), dict[T, int]()
    for of, result in lines:
        if result == Result.SENT:
            # An earlier sending has no end: its process was killed, and what it sent may take effect yet.
            last[of] = len(sendings)
            sendings.append(of)
        elif result == Result.REFUSED:
            if (place := last.pop(of, None)) is not None:
                sendings[place] = None
        elif last.pop(of, None) is None:
            # Done or lost, with its sending before the time that is asked for: it counts all the same.
            sendings.append(of)
    return tuple(of for of in sendings if of is not None)


def deletions(site: str, job: str | None, since: Since, known: Collection[str] | None = None) -> Select[Any]:
    """Select the ids sent for deletion on a site since then, and how far each came.

    `job`: of this job alone; None: of all. `known`: the configured jobs, see `_is_of`.
    """
    table = tables.history.c
    where = [table.site == site, table.action == "delete", _is_since(table, since)]
    if job is not None:
        where.append(_is_of(table, job, known))
    if job is not None and known is not None:
        # What a person removed of a job that is gone is no job's mass deletion.
        where.append(or_(table.job == job, table.outcome.not_like(f"%{BY_COMMAND}")))
    return select(table.remote_id, table.result).where(and_(*where)).order_by(table.id)


def names_sent(site: str, job: str, action: str, since: Since, known: Collection[str] | None = None) -> Select[Any]:
    """Select the names and versions that a job sent since then for create or update, and how far each came.

    A restore counts as an update. `known`: the configured jobs, see `_is_of`.
    """
    table = tables.history.c
    kinds = ["update", "restore"] if action == "update" else [action]
    sent = and_(table.site == site, _is_of(table, job, known), table.action.in_(kinds), _is_since(table, since))
    return select(table.name, table.version, table.result).where(sent).order_by(table.id)


def _is_of(table: Any, job: str, known: Collection[str] | None) -> ColumnElement[bool]:
    """Return the condition for a job's lines; with `known`, the configured jobs, also for lines of jobs that are gone.

    The job may have had one of their names.
    """
    own: ColumnElement[bool] = table.job == job
    return own if known is None else or_(own, table.job.not_in(sorted(known)))


def _is_since(table: Any, since: Since) -> ColumnElement[bool]:
    # By either clock: one that stepped ahead would free the limits of a whole day.
    # What lies ahead of a clock was noted while that one was wrong.
    by_site = and_(table.at > since.site_now - since.span, table.at <= since.site_now + TOLERANCE)
    by_us = and_(table.noted_at > since.now - since.span, table.noted_at <= since.now + TOLERANCE)
    return or_(by_site, by_us)
