"""What people decide, as the ledger keeps it: releases, pauses, rollbacks. Each with its line in the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from syncd.domain.audit import CAUSE, CONTROL, Cause, Entry
from syncd.domain.decisions import UNTRUSTED, HeldAction, Pause, ReleaseOutcome, Rollback, protective_now
from syncd.domain.lateness import Rest
from syncd.domain.ports import Clock
from syncd.domain.recency import TOLERANCE
from syncd.domain.statuses import Served
from syncd.ledger import audit as trail
from syncd.ledger import schema as tables
from syncd.ledger.decision_lines import ends_of, paused_line, released
from syncd.ledger.held_actions import as_held, one_at_a_time
from syncd.ledger.rows import as_rollback, rollback_row
from syncd.ledger.statements import upsert

Door = Callable[[], AbstractContextManager[Connection]]
JUMPED_AT, JUMPED_BY = "clock_jumped_at", "clock_jumped_by"
"""When the clock was last seen to jump forward, and how far, in microseconds."""


class Decisions:
    """The decisions of one ledger. All methods raise `LedgerError`."""

    def __init__(self, reading: Door, writing: Door, clock: Clock) -> None:
        self._reading, self._writing, self._clock = reading, writing, clock
        self._ahead_of: dict[str, timedelta] = {}

    @property
    def ahead(self) -> timedelta:
        """How far this machine's clock is ahead of the slowest site's, as the last answer of each showed."""
        # A copy: sites answer in threads of their own.
        return max(tuple(self._ahead_of.values()), default=timedelta(0))

    def clock_is_ahead(self, site: str, by: timedelta) -> bool:
        """Let protections end by a site's clock where that is slower. Returns: does that move their end?"""
        before, by = self.ahead, by if by > TOLERANCE else timedelta(0)
        # Each answer moves it by the seconds that it took: only what is more than that is another clock.
        if abs(by - self._ahead_of.get(site, timedelta(0))) > TOLERANCE:
            self._ahead_of[site] = by
        return self.ahead != before

    def _protective(self, connection: Connection) -> datetime:
        """The time that ends protections: they may end late, never early."""
        now = self._clock()
        # A command that runs once has seen no jump: only the site tells that its clock is ahead.
        return min(protective_now(now, _jump(connection)), now - self.ahead)

    def held(self, site: str | None = None, job: str | None = None, batch: str | None = None) -> tuple[HeldAction, ...]:
        """What waits for a release, or was released and is not sent yet.

        A release that ran out is there, too: ask `is_released`.
        """
        table = tables.held
        asked = (("site", site), ("job", job), ("batch", batch))
        where = [table.c[key] == value for key, value in asked if value is not None]
        query = select(table).where(and_(True, *where)).order_by(table.c.site, table.c.job, table.c.cause, table.c.name)
        with self._reading() as connection:
            return tuple(as_held(row) for row in connection.execute(query).mappings())

    def release(
        self, batch: str, reason: str, served: Served, may: Callable[[HeldAction], bool] = lambda _: True
    ) -> ReleaseOutcome:
        """Let the actions of a batch go, each as it is now, for a day.

        `served`: what of it can still go; `may`: may the person decide on it?
        """
        now, by = self._clock(), CAUSE.get().actor.id
        with self._writing() as connection:
            one_at_a_time(connection)
            table = tables.held
            mine = table.c.batch == batch
            members = [as_held(row) for row in connection.execute(select(table).where(mine)).mappings()]
            # A release that ran out counts for nothing: it is asked for again, under the same batch.
            waiting = [action for action in members if not action.is_released(now) and not served.is_left_over(action)]
            known = connection.execute(select(tables.batches).where(tables.batches.c.batch == batch)).first()
            # Whoever may not decide on all of it does not learn that it is there.
            if not all(map(may, waiting)):
                return ReleaseOutcome.UNKNOWN
            if not waiting:
                if known is None:
                    return ReleaseOutcome.UNKNOWN
                return ReleaseOutcome.AGAIN if known.released_at else ReleaseOutcome.MOVED
            done = {"released_at": now, "released_by": by}
            for action in waiting:
                key = {name: getattr(action, name) for name in ("site", "job", "name", "cause")}
                this = and_(*(table.c[name] == value for name, value in key.items()))
                connection.execute(update(table).where(this).values(**done))
            connection.execute(update(tables.batches).where(tables.batches.c.batch == batch).values(**done))
            # Nobody is told any more to do what was done. When it is sent (a window, a pause) a cycle tells.
            told = tables.troubles
            of_it = and_(told.c.kind == "held", told.c.message.like(f"%held in batch {batch}"))
            words = f"released in batch {batch} by {by} at {now:%Y-%m-%d %H:%M:%S} UTC"
            connection.execute(update(told).where(of_it).values(message=words, hint=""))
            trail.append(connection, CONTROL, [released(action, reason) for action in waiting], now)
        return ReleaseOutcome.DONE

    def pauses(self) -> tuple[Pause, ...]:
        """The pauses that hold at this moment."""
        with self._reading() as connection:
            now, table = self._protective(connection), tables.pauses.c
            # What was said to have ended is over, whatever clock is asked.
            held = select(tables.pauses).where(table.end_told.is_(False))
            rows = connection.execute(held.order_by(table.scope, table.name))
            found = [_pause(row) for row in rows.mappings()]
        return tuple(pause for pause in found if pause.until is None or pause.until > now)

    def pause_of(self, scope: str, name: str, sites: Collection[str] = ()) -> Pause | None:
        """The pause that holds now with exactly this scope and name; None for none. `sites`: see `pause`."""
        return next((pause for pause in self.pauses() if _is_of(pause, scope, name, sites)), None)

    def pause(self, scope: str, name: str, until: datetime | None, reason: str, sites: Sequence[str] = ()) -> Pause:
        """Let a job, a target or everything rest; a pause that is there already is replaced.

        `sites`: the keys of what the target stands for, which rests under any other name as well; the first is the one
        that counts now.
        """
        now, by, site = self._clock(), CAUSE.get().actor.id, next(iter(sites), "")
        pause = Pause(scope=scope, name=name, at=now, until=until, by=by, reason=reason, site=site)
        with self._writing() as connection:
            holds = self._protective(connection)
            # Whatever name it was given under: the pause of a target is of its site, and that has one.
            for before in _pauses(connection):
                if _is_of(before, scope, name, sites):
                    connection.execute(delete(tables.pauses).where(_this(before)))
                    # Prolonged: it has rested since the first of them.
                    if before.until is None or before.until > holds:
                        pause = replace(pause, at=min(pause.at, before.at))
            row = {key: getattr(pause, key) for key in Pause.__dataclass_fields__}
            upsert(connection, tables.pauses, [{**row, "end_told": False}])
            trail.append(connection, CONTROL, [paused_line("job.paused", pause)], now)
        return pause

    def resume(self, scope: str, name: str, sites: Collection[str] = ()) -> bool:
        """End a pause; its row stays, because absence of that time does not count. Returns: was there one?

        `sites`: the keys of what a target stands for now; its pause may have another name.
        """
        now, ended = self._clock(), list[Pause]()
        with self._writing() as connection:
            holds = self._protective(connection)
            for pause in _pauses(connection):
                if _is_of(pause, scope, name, sites) and (pause.until is None or pause.until > holds):
                    # Judged by the protective time, it has to have ended by that as well; the line below tells its end.
                    values = {"until": min(now, holds), "end_told": True}
                    connection.execute(update(tables.pauses).where(_this(pause)).values(**values))
                    # By the name that it is ended under: the target may have got another one since.
                    ended.append(replace(pause, name=name, until=None))
            trail.append(connection, CONTROL, [paused_line("job.resumed", pause) for pause in ended[:1]], self._clock())
        return bool(ended)

    def tell_what_ran_out(self) -> None:
        """Write a line for each pause and rollback whose time ran out. Nobody has to be there when it does."""
        pauses, rollbacks = tables.pauses, tables.rollbacks
        # Looked for without the writers' lock: nearly always nothing has run out.
        with self._reading() as connection:
            now = self._protective(connection)
            paused = and_(pauses.c.end_told.is_(False), pauses.c.until <= now)
            ended = [_pause(row) for row in connection.execute(select(pauses).where(paused)).mappings()]
            over = [
                as_rollback(row)
                for row in connection.execute(select(rollbacks).where(rollbacks.c.until <= now)).mappings()
            ]
        if not ended and not over:
            return
        with self._writing() as connection:
            # Another process may have told it meanwhile: only who changed the row writes its line.
            lines = [
                paused_line("job.resumed", pause)
                for pause in ended
                if connection.execute(update(pauses).where(and_(paused, _this(pause))).values(end_told=True)).rowcount
            ]
            for item in over:
                # Its time is asked again: a longer rollback may have taken its place since.
                this = and_(rollbacks.c.source == item.source, rollbacks.c.path == item.path, rollbacks.c.until <= now)
                if connection.execute(delete(rollbacks).where(this)).rowcount:
                    lines += ends_of(connection, item)
            trail.append(connection, CONTROL, lines, self._clock(), Cause(reason="its time ran out"))

    def rested_until(self, job: str, target: str, sites: Collection[str]) -> datetime | None:
        """When the last pause that covered this job on this target ended, by its time or by a person; None for none.

        By this machine's clock. `sites`: every key of the target's site.
        """
        now = self._clock()
        ends = (end for _, end in self.rests(job, target, sites) if end is not None and end <= now)
        return max(ends, default=None)

    def rests(self, job: str, target: str, sites: Collection[str]) -> list[Rest]:
        """When a job rested on a target: of the pauses of each scope the last one, and what holds now."""
        with self._reading() as connection:
            return [(pause.at, pause.until) for pause in _pauses(connection) if pause.covers(job, target, sites)]

    def rollbacks(self, source: str | None = None) -> dict[tuple[str, str], Rollback]:
        """The rollbacks that hold at this moment, by source and path."""
        with self._reading() as connection:
            return self.rollbacks_in(connection, source)

    def rollbacks_in(self, connection: Connection, source: str | None = None) -> dict[tuple[str, str], Rollback]:
        """The same, as a transaction that is under way sees them."""
        now = self._protective(connection)
        query = select(tables.rollbacks)
        query = query if source is None else query.where(tables.rollbacks.c.source == source)
        found = [as_rollback(row) for row in connection.execute(query).mappings()]
        return {(item.source, item.path): item for item in found if item.until > now}

    def roll_back(
        self, wanted: Iterable[Rollback], entries: Iterable[Entry], replaced: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Keep rollbacks, with their lines; one of the same path is replaced, as are those that `replaced` names."""
        rows = [rollback_row(item) for item in wanted]
        table = tables.rollbacks.c
        with self._writing() as connection:
            for source, path in replaced:
                connection.execute(delete(tables.rollbacks).where(and_(table.source == source, table.path == path)))
            upsert(connection, tables.rollbacks, rows)
            trail.append(connection, CONTROL, entries, self._clock())

    def end_rollbacks(self, keys: Iterable[tuple[str, str]], entries: Iterable[Entry]) -> None:
        """Let paths go on to their newest version."""
        table = tables.rollbacks.c
        with self._writing() as connection:
            for source, path in keys:
                connection.execute(delete(tables.rollbacks).where(and_(table.source == source, table.path == path)))
            trail.append(connection, CONTROL, entries, self._clock())

    def note_clock_jump(self, step: timedelta) -> None:
        """The clock jumped forward: protections end late for an hour, by as much as it jumped."""
        at = self._clock()
        with self._writing() as connection:
            before = _jump(connection)
            # A small step soon after a great one does not take that one back.
            if before is not None and timedelta(0) <= at - step - before[0] < UNTRUSTED:
                step += before[1]
            now = (at - tables.EPOCH) // tables.MICROSECOND
            rows = [{"key": JUMPED_AT, "value": str(now)}, {"key": JUMPED_BY, "value": str(step // tables.MICROSECOND)}]
            upsert(connection, tables.meta, rows)


def _jump(connection: Connection) -> tuple[datetime, timedelta] | None:
    meta = tables.meta
    rows = connection.execute(select(meta.c.key, meta.c.value).where(meta.c.key.in_([JUMPED_AT, JUMPED_BY]))).all()
    values = {row.key: int(row.value) for row in rows}
    if len(values) < 2:
        return None
    return tables.EPOCH + values[JUMPED_AT] * tables.MICROSECOND, values[JUMPED_BY] * tables.MICROSECOND


def _pauses(connection: Connection) -> list[Pause]:
    return [_pause(row) for row in connection.execute(select(tables.pauses)).mappings()]


def _this(pause: Pause) -> ColumnElement[bool]:
    table = tables.pauses.c
    return and_(table.scope == pause.scope, table.name == pause.name, table.site == pause.site)


def _is_of(pause: Pause, scope: str, name: str, sites: Collection[str]) -> bool:
    """Is it what is called so now? A target that is not configured any more is known by its name alone."""
    if pause.scope != scope or scope == "all":
        return pause.scope == scope
    return pause.site in sites if pause.site and sites else pause.name == name


def _pause(row: Any) -> Pause:
    return Pause(**{key: row[key] for key in Pause.__dataclass_fields__})
