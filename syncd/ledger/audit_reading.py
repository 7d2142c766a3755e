"""Read lines of the audit trail: by time, event, name or actor, and the newest or all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from syncd.domain.audit_chain import WHOLE
from syncd.ledger import schema as tables

Place = tuple[datetime, str, int]
"""Where a line stands among all: time, stream, seq."""


def place_of(line: Mapping[str, Any]) -> tuple[str, str, int]:
    """The place of a line that was looked at; its time as text."""
    return line["at"], line["stream"], line["seq"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which lines are asked for."""

    site: str | None = None
    sites: frozenset[str] | None = None
    """Only lines about these; None: all."""
    name: str | None = None
    job: str | None = None
    actor: str | None = None
    event: str | None = None
    """One event, or several with commas between them; a star stands for any characters."""
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    """Only lines that hold this text."""
    before: Place | None = None
    """Only lines that come before this place, in the order of time, stream and seq."""


def _asked(asked: Filter) -> list[Any]:
    c = tables.audit.c
    where = [getattr(c, key) == value for key in ("site", "name", "job") if (value := getattr(asked, key)) is not None]
    if asked.actor is not None:  # as it was claimed, who claimed it, and either by the part before the host
        named = [c.actor.startswith(asked.actor + end, autoescape=True) for end in (" (claimed by ", "@")]
        claiming = [c.actor.contains(f"(claimed by {asked.actor}{end}", autoescape=True) for end in (")", "@")]
        where.append(or_(c.actor == asked.actor, *named, *claiming))
    if asked.event is not None:
        # Only the star is a wildcard; what LIKE takes for one is meant as it stands.
        literal = asked.event.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        patterns = [word.strip().replace("*", "%") for word in literal.split(",")]
        where.append(or_(*(c.event.like(pattern, escape="\\") for pattern in patterns)))
    where += [c.site.in_(sorted(asked.sites))] if asked.sites is not None else []
    where += [c.line.contains(asked.text, autoescape=True)] if asked.text else []
    where += [c.at >= asked.since] if asked.since else []
    where += [c.at < asked.until] if asked.until else []
    if asked.before is not None:
        at, stream, seq = asked.before
        # Lines of one transaction share their time.
        where.append(or_(c.at < at, and_(c.at == at, or_(c.stream < stream, and_(c.stream == stream, c.seq < seq)))))
    return where


def _parsed(text: str) -> dict[str, Any]:
    """Parse a line as it was written. Raises ValueError for a text that is no line.

    An altered line that still has all its keys passes here; `verify` finds it.
    """
    line = json.loads(text)
    if not isinstance(line, dict) or not line.keys() >= WHOLE:
        raise ValueError("line")  # as any other text that is not as it was written
    return line


def last_done(connection: Connection) -> Iterator[dict[str, Any]]:
    """Yield, for each secret, the line of the last action that was done on it. Damaged lines are left out."""
    c = tables.audit.c
    done = and_(c.event.like("secret.%"), c.outcome == "done")
    newest = select(c.stream, func.max(c.seq).label("seq")).where(done).group_by(c.stream, c.name).subquery()
    same = and_(c.stream == newest.c.stream, c.seq == newest.c.seq)
    for row in connection.execute(select(c.line).join(newest, same)):
        # One that was altered is for `verify` to tell; the report of all others goes on.
        try:
            line = _parsed(row.line)
        except ValueError:
            continue
        yield line


def lines(connection: Connection, asked: Filter, *, most: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the audit lines that match `asked`, oldest first. `most`: only that many, the newest."""
    c, where = tables.audit.c, _asked(asked)
    query = select(c.line).where(and_(True, *where))  # SQLAlchemy's own neutral element
    if most is not None:
        newest = connection.execute(query.order_by(c.at.desc(), c.stream.desc(), c.seq.desc()).limit(most)).all()
        yield from (_parsed(row.line) for row in reversed(newest))
        return
    ordered = query.order_by(c.at, c.stream, c.seq).execution_options(yield_per=1000)
    with connection.execute(ordered) as found:
        yield from (_parsed(row.line) for row in found)
