"""What somebody asked to run at a daemon that sends nothing, kept for the daemon that works."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf

from sqlalchemy import ColumnElement, delete, func, select

from syncd.domain.audit import Actor
from syncd.domain.source import latest
from syncd.domain.untrusted import mapping, parsed, text
from syncd.ledger import schema as tables
from syncd.ledger.audit_trail import Door
from syncd.ledger.held_actions import one_at_a_time
from syncd.ledger.statements import meta_key, upsert

KEYS = "wakeup:"
MOST = 1000
"""Most wishes that are kept; the schedule looks at what any further one names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request to run a job, or the jobs that have what an event named.

    Which jobs those are is for the configuration of the daemon that takes it to say.
    """

    by: Actor
    job: str = ""
    paths: tuple[tuple[str | None, str], ...] = ()
    """Namespace (None: any) and path."""
    expected: tuple[tuple[str | None, str, int], ...] = ()
    """Namespace, path and version of what an event says has changed (version 0: the event tells none)."""
    sites: frozenset[str] | None = None
    """The sites that the rights of whoever asks are for, by key (a target may be renamed by now); None: all."""
    left_on: frozenset[str] | None = None
    """Sites on which it is not done yet; None: it is done on none."""
    ends: datetime | None = None
    """When it stops being wanted; None: it was asked for just now."""

    def seconds_left(self, now: datetime) -> float:
        """Return for how many seconds it is still wanted, infinite without an end.

        Nothing is left of a wish about a rollback that is over by now: the number is below 0.
        """
        return (self.ends - now).total_seconds() if self.ends else inf

    def beside(self, other: Wish) -> Wish:
        """Return both wishes as one: they differ only in which versions they expect, and until when."""
        expected: dict[tuple[str | None, str], int] = {}
        for space, path, version in (*other.expected, *self.expected):
            expected[space, path] = latest(expected.get((space, path)), version)
        told = tuple((*secret, version) for secret, version in sorted(expected.items(), key=str))
        ends = None if None in {self.ends, other.ends} else max(filter(None, (self.ends, other.ends)))
        return replace(self, expected=told, ends=ends)

    def row(self) -> dict[str, str]:
        """Return the row that the ledger keeps of it. The same wish, made again, has the same key."""
        sites = None if self.sites is None else sorted(self.sites)
        left_on = None if self.left_on is None else sorted(self.left_on)
        kept = {"job": self.job, "paths": sorted(self.paths, key=str), "sites": sites, "by": self.by.row()}
        kept |= {"left_on": left_on} if left_on is not None else {}
        # Whatever version is expected: a path that is written often is one wish.
        key = meta_key(KEYS, json.dumps(kept, sort_keys=True))
        told = {"expected": sorted(self.expected, key=str), "ends": self.ends.isoformat() if self.ends else None}
        return {"key": key, "value": json.dumps({**kept, **told}, sort_keys=True)}


class Wakeups:
    """What is to run soon. All methods raise `LedgerError`."""

    def __init__(self, reading: Door, writing: Door) -> None:
        self._reading, self._writing = reading, writing

    def put(self, wish: Wish) -> bool:
        """Keep a wish for the daemon that works. Returns: False where too many wait already, and it is not kept."""
        with self._writing() as connection:
            one_at_a_time(connection)  # nobody takes what stands there without this
            count = connection.execute(select(func.count()).select_from(tables.meta).where(_is_wish())).scalar_one()
            fits = bool(count < MOST)
            row = wish.row()
            same = select(tables.meta.c.value).where(tables.meta.c.key == row["key"])
            if (kept := connection.execute(same).scalar()) is not None:
                row = wish.beside(_wish(mapping(parsed(str(kept).encode())))).row()
            if fits or kept is not None:
                upsert(connection, tables.meta, [row])
            return fits or kept is not None

    def take(self) -> list[Wish]:
        """Return and remove the wishes that were kept since the last call. Nobody else gets the same."""
        # Looked for without the writers' lock first: nearly always there is none.
        with self._reading() as connection:
            if connection.execute(select(tables.meta.c.key).where(_is_wish()).limit(1)).first() is None:
                return []
        with self._writing() as connection:
            one_at_a_time(connection)
            kept = connection.execute(select(tables.meta.c.value).where(_is_wish())).scalars().all()
            connection.execute(delete(tables.meta).where(_is_wish()))
        return [_wish(mapping(parsed(str(value).encode()))) for value in sorted(map(str, kept))]


def _is_wish() -> ColumnElement[bool]:
    return tables.meta.c.key.startswith(KEYS, autoescape=True)


def _wish(kept: Mapping[str, object]) -> Wish:
    by, paths, expected = mapping(kept.get("by")), kept.get("paths"), kept.get("expected")
    ends = text(kept.get("ends"))
    return Wish(
        by=Actor(text(by.get("kind")) or "system", text(by.get("id")) or "syncd", text(by.get("via"))),
        job=text(kept.get("job")),
        paths=tuple(_pairs(paths if isinstance(paths, list) else [])),
        expected=tuple(_expected(expected if isinstance(expected, list) else [])),
        sites=_sites(kept.get("sites")),
        left_on=_sites(kept.get("left_on")),
        ends=datetime.fromisoformat(ends) if ends else None,
    )


def _sites(kept: object) -> frozenset[str] | None:
    return frozenset(map(text, kept)) if isinstance(kept, list) else None


def _pairs(kept: Iterable[object]) -> Iterable[tuple[str | None, str]]:
    for pair in kept:
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], str):
            yield (pair[0] if isinstance(pair[0], str) else None), pair[1]


def _expected(kept: Iterable[object]) -> Iterable[tuple[str | None, str, int]]:
    for item in kept:
        if isinstance(item, list) and len(item) == 3 and list(map(type, item[1:])) == [str, int]:
            yield (item[0] if isinstance(item[0], str) else None), item[1], item[2]
