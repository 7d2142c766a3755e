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
"""Keys of the ledger's meta table: when the clock last jumped forward, and how far, in microseconds."""


class Decisions:
    """The decisions of one ledger. Each method that reads or writes the ledger raises `LedgerError`."""

    def __init__(self, reading: Door, writing: Door, clock: Clock) -> None:
        self._reading, self._writing, self._clock = reading, writing, clock
        self._ahead_of: dict[str, timedelta] = {}

    @property
    def ahead(self) -> timedelta:
        """How far this machine's clock is ahead of the slowest site's, as the last answer of each showed."""
        # A copy: sites answer in threads of their own.
        return max(tuple(self._ahead_of.values()), default=timedelta(0))

    def clock_is_ahead(self, site: str, by: timedelta) -> bool:
        """Note how far this clock is ahead of a site's; protections end by the slower of the two.

        A difference of up to a minute counts as none. Returns: does that move the end of protections?
        """
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
        """Return the actions that wait for a release, or were released and not sent yet.

        An action whose release ran out is among them: ask `is_released`.
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
        """Release the actions of a batch, each as it is now, for a day.

        `served`: tells which of them a configured job still sends. `may`: may the person decide on this action? To a
        person who may not decide on each of them the batch is unknown.
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
        """Let a job, a target or everything rest; a pause of the same is replaced.

        `sites`: the keys of the target's site, which rests under any other target name as well; the first key is the
        one in use now.
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
        """End a pause. Its row stays, because absence during the pause does not count. Returns: was there one?

        `sites`: the keys of the target's site now; its pause may have another name.
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
        """Write a line for each pause and rollback whose time ran out, and drop those rollbacks. Needs no person."""
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
        """Return when a job rested on a target: of each scope the pause in force, or else the last one.

        `sites`: every key of the target's site.
        """
        with self._reading() as connection:
            return [(pause.at, pause.until) for pause in _pauses(connection) if pause.covers(job, target, sites)]

    def rollbacks(self, source: str | None = None) -> dict[tuple[str, str], Rollback]:
        """The rollbacks that hold at this moment, by source and path."""
        with self._reading() as connection:
            return self.rollbacks_in(connection, source)

    def rollbacks_in(self, connection: Connection, source: str | None = None) -> dict[tuple[str, str], Rollback]:
        """Return `rollbacks` as the caller's transaction sees them."""
        now = self._protective(connection)
        query = select(tables.rollbacks)
        query = query if source is None else query.where(tables.rollbacks.c.source == source)
        found = [as_rollback(row) for row in connection.execute(query).mappings()]
        return {(item.source, item.path): item for item in found if item.until > now}

    def roll_back(
        self, wanted: Iterable[Rollback], entries: Iterable[Entry], replaced: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Store rollbacks and their audit lines.

        A rollback of the same path is replaced; those in `replaced` (source and path) are dropped.
        """
        rows = [rollback_row(item) for item in wanted]
        table = tables.rollbacks.c
        with self._writing() as connection:
            for source, path in replaced:
                connection.execute(delete(tables.rollbacks).where(and_(table.source == source, table.path == path)))
            upsert(connection, tables.rollbacks, rows)
            trail.append(connection, CONTROL, entries, self._clock())

    def end_rollbacks(self, keys: Iterable[tuple[str, str]], entries: Iterable[Entry]) -> None:
        """End the rollbacks of these sources and paths, with audit lines: they go on to their newest version."""
        table = tables.rollbacks.c
        with self._writing() as connection:
            for source, path in keys:
                connection.execute(delete(tables.rollbacks).where(and_(table.source == source, table.path == path)))
            trail.append(connection, CONTROL, entries, self._clock())

    def note_clock_jump(self, step: timedelta) -> None:
        """Note that the clock jumped forward by `step`: for an hour, protections end later by that much."""
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
    """Is it the pause that scope and name mean now?

    A target's pause is found by the keys of its site. A target that is not configured any more is found by its name.
    """
    if pause.scope != scope or scope == "all":
        return pause.scope == scope
    return pause.site in sites if pause.site and sites else pause.name == name


def _pause(row: Any) -> Pause:
    return Pause(**{key: row[key] for key in Pause.__dataclass_fields__})
