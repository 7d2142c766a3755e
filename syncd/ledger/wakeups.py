"""Jobs that somebody wants to run at a daemon that sends nothing: the one that works finds them here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from sqlalchemy import delete, select

from syncd.domain.audit import Actor
from syncd.domain.untrusted import mapping, parsed, text
from syncd.ledger import schema as tables
from syncd.ledger.audit_trail import Door
from syncd.ledger.held_actions import one_at_a_time
from syncd.ledger.statements import upsert

KEYS = "wakeup:"


class Wakeups:
    """Jobs that are to run soon. All methods raise `LedgerError`."""

    def __init__(self, reading: Door, writing: Door) -> None:
        self._reading, self._writing = reading, writing

    def put(self, job: str, by: Actor) -> None:
        """Pass a job on; however often it is named, it runs once. `by`: who asks for it."""
        key = KEYS + hashlib.sha256(job.encode()).hexdigest()[:40]
        with self._writing() as connection:
            one_at_a_time(connection)  # nobody takes what stands there without this
            upsert(connection, tables.meta, [{"key": key, "value": json.dumps({"job": job, "by": by.row()})}])

    def take(self) -> list[tuple[str, Actor]]:
        """What was passed on since: each job, and who asked for it. Nobody else is given the same."""
        mine = tables.meta.c.key.startswith(KEYS, autoescape=True)
        # Looked for without the writers' lock first: nearly always there is none.
        with self._reading() as connection:
            if connection.execute(select(tables.meta.c.key).where(mine).limit(1)).first() is None:
                return []
        with self._writing() as connection:
            one_at_a_time(connection)
            kept = connection.execute(select(tables.meta.c.value).where(mine)).scalars().all()
            connection.execute(delete(tables.meta).where(mine))
        found = sorted((mapping(parsed(str(value).encode())) for value in kept), key=lambda one: text(one.get("job")))
        return [(text(one.get("job")), _actor(mapping(one.get("by")))) for one in found]


def _actor(kept: Mapping[str, object]) -> Actor:
    return Actor(text(kept.get("kind")) or "system", text(kept.get("id")) or "syncd", text(kept.get("via")))
