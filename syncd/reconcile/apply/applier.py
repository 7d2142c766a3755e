"""Carry out actions: journal before the request, act, settle after it. The order makes it crash-safe.

Requests run in a few threads; the ledger is written by the calling thread alone, and one transaction
settles what has ended and opens what starts next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncd.domain import (
    ADOPTING,
    Action,
    Create,
    Delete,
    HistoryEntry,
    Outcome,
    Pending,
    Reason,
    Record,
    Result,
    SecretValue,
    Update,
    WriteResult,
)
from syncd.domain.ports import Clock, Journal, Target
from syncd.domain.write_window import lost
from syncd.errors import (
    Interrupted,
    NameTaken,
    SecretGone,
    SiteFull,
    SyncdError,
    TargetDenied,
    TargetError,
    TargetUnavailable,
)
from syncd.reconcile.apply.transitions import history_line, succeeded

WORKERS = 20
"""Requests to one site at the same time; as many more are in the journal, ready to go."""
START = 8
"""As many at first; one more for each that the site took, so that one which refuses gets few."""
GATHER = 0.01
"""Seconds that one transaction waits for answers that come together."""
BREAK_AFTER = 3
"""Failures in a row that are the site's, not a secret's: the rest is left for another cycle."""


@dataclass(slots=True)
class ApplyResult:
    """How a round of actions ended."""

    outcomes: list[Outcome] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    """Names that failed: their cycle is over."""
    uncreated: set[str] = field(default_factory=set)
    """Names whose creation may or may not have happened: list before anything else."""
    rows: dict[str, Record | None] = field(default_factory=dict)
    """By name, as the ledger has them now; None for one that is gone."""
    look_again: bool = False
    """Something turned out not to be as listed."""
    left_over: bool = False
    """The time was up before all actions were sent."""
    broken: SyncdError | None = None
    """The site as a whole refuses or does not answer."""
    unsent: int = 0
    """Actions that were not sent, because the time was up or the process is asked to stop."""
    full: SiteFull | None = None
    """The site takes no more secrets: no further creation is sent."""
    slow_down: TargetUnavailable | None = None
    """The site asks to wait for longer than a call does; nothing more was started, and nothing of it failed."""


class Applier:
    """One round of actions on one site."""

    def __init__(
        self,
        target: Target,
        journal: Journal,
        clock: Clock,
        on_outcome: Callable[[Outcome], None],
        taken: Iterable[str] = (),
        workers: int = WORKERS,
        is_consented: Callable[[Action], bool] = lambda _action: True,
        is_limited: Callable[[Action], bool] = lambda action: isinstance(action, Delete),
    ) -> None:
        """`taken`: the ids that the site lists or the ledger holds; a new secret has none of them.

        `is_consented`: asked of each action when it is about to start; one that is not is left out.
        """
        self._is_consented = is_consented
        self._is_limited = is_limited
        self._taken = set(taken)
        self._target = target
        self._journal = journal
        self._clock = clock
        self._on_outcome = on_outcome
        self._workers, self._ahead = workers, workers if workers == 1 else 2 * workers
        self._in_a_row = self._well = 0

    def run(self, actions: Sequence[Action], *, stop: Callable[[], bool]) -> ApplyResult:
        """Carry out the actions in order, some at a time; `stop` is asked before each start.

        Raises `LedgerError` at once when the journal cannot be written: then nothing more is sent.
        """
        result = ApplyResult()
        todo, flying = deque(actions), dict[Future[WriteResult], tuple[Action, Record]]()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="apply") as pool, _dropping(pool):
            settled = LedgerBatch()
            while todo or flying:
                starting: list[Action] = []
                most = min(self._ahead, START + self._well)
                while result.full and todo and isinstance(todo[0], Create):
                    self._not_sent(todo.popleft(), result.full, result)
                while todo and len(starting) + len(flying) < most and not (result.broken or result.slow_down or stop()):
                    action = todo.popleft()
                    if self._is_consented(action):
                        starting.append(action)
                    else:
                        result.look_again = True
                opened = [self._opened(action) for action in starting]
                sent = [self._sent(action, record) for action, record in zip(starting, opened, strict=True)]
                log = [*settled.log, *(line for line in sent if line)]
                self._journal.write(put=[*settled.put, *opened], drop=settled.drop, log=log)
                settled.note(result.rows)
                for action, record in zip(starting, opened, strict=True):
                    flying[pool.submit(_send, self._target, action)] = (action, record)
                if not flying:
                    break
                settled = LedgerBatch()
                wait(flying, return_when=FIRST_COMPLETED)
                done, _ = wait(flying, timeout=GATHER if todo else 0)
                for future in done:
                    self._settle(future, *flying.pop(future), settled, result)
            self._journal.write(put=settled.put, drop=settled.drop, log=settled.log)
            settled.note(result.rows)
        result.unsent += len(todo)
        result.left_over = (bool(todo) or result.slow_down is not None) and result.broken is None
        return result

    def _not_sent(self, action: Action, error: TargetError, result: ApplyResult) -> None:
        """End an action that the site's own state makes pointless, without a request."""
        result.ended.add(action.name)
        outcome = Outcome(action=action, error=error, at=self._clock())
        result.outcomes.append(outcome)
        self._on_outcome(outcome)

    def _sent(self, action: Action, record: Record) -> HistoryEntry | None:
        """What is limited counts from the moment it may be on its way, whatever becomes of this process."""
        if not self._is_limited(action):
            return None
        outcome = Outcome(action=action, remote_id=record.remote_id or "")
        return replace(history_line(outcome, record, self._site_time()), outcome="sent", result=Result.SENT)

    def _site_time(self) -> datetime:
        """Lines that limits count by have the site's time: this machine's clock may be wrong, ahead or behind."""
        return self._target.site_time() or self._clock()

    def _opened(self, action: Action) -> Record:
        now = self._clock()
        if isinstance(action, Delete):
            return replace(action.record, pending=Pending.DELETE, pending_at=now)
        if isinstance(action, Update):
            pending = Pending.ADOPT if action.reason in ADOPTING else Pending.UPDATE
            return replace(action.record, pending=pending, pending_at=now)
        wanted = action.desired
        seed = action.record or Record(
            site=self._target.site, name=wanted.name, target=self._target.name, job=wanted.job, ref=wanted.ref
        )
        return replace(
            seed,
            job=wanted.job,
            ref=wanted.ref,
            pin=wanted.pin,
            remote_id=None,
            description=wanted.description,
            pending=Pending.CREATE,
            pending_at=now,
        )

    def _settle(
        self,
        future: Future[WriteResult],
        action: Action,
        record: Record,
        settled: LedgerBatch,
        result: ApplyResult,
    ) -> None:
        now = self._clock()
        error: TargetError | None = None
        written = WriteResult()
        try:
            written = self._believed(action, future.result())
        except TargetError as failure:
            error = failure
        if isinstance(error, Interrupted) and not error.maybe_done:
            result.unsent += 1
            self._put_back(action, record, settled)
            return
        if isinstance(error, TargetUnavailable) and error.asks_to_wait:
            result.slow_down = error
            self._put_back(action, record, settled)
            return
        sought = isinstance(action, Update) and action.reason == Reason.SOUGHT
        if sought and isinstance(error, SecretGone):
            error, result.look_again = None, True
            settled.drop.append(record)  # it is gone: nothing is left to know of it
        elif error is None:
            self._in_a_row, self._well = 0, self._well + 1
            if isinstance(action, Delete):
                settled.drop.append(record)
            else:
                done = succeeded(action, record, written, now)
                if done.name != record.name:
                    settled.drop.append(record)
                settled.put.append(done)
        else:
            self._failed(action, record, error, now, settled, result)
        restored = isinstance(action, Update) and action.restore
        outcome = Outcome(
            action=action,
            error=error,
            remote_id=written.id or record.remote_id or "",
            request_id=error.request_id if error else written.request_id,
            restored=restored and error is None,
            at=now,
        )
        settled.log.append(history_line(outcome, record, self._site_time()))
        result.outcomes.append(outcome)
        self._on_outcome(outcome)

    def _put_back(self, action: Action, record: Record, settled: LedgerBatch) -> None:
        """The site took nothing: the row is as it was, and the action comes again."""
        if self._is_limited(action):
            refused = replace(history_line(Outcome(action=action), record, self._site_time()), outcome="asked to wait")
            settled.log.append(replace(refused, result=Result.REFUSED, remote_id=record.remote_id or ""))
        held = action.record is not None and not (isinstance(action, Update) and action.reason in ADOPTING)
        if held and action.record is not None and (action.record.remote_id or action.record.pending):
            settled.put.append(action.record)
        else:
            settled.drop.append(record)

    def _believed(self, action: Action, written: WriteResult) -> WriteResult:
        """A creation's answer, if its id is new. Raises `TargetUnavailable`: the listing tells whose id it is."""
        if isinstance(action, Create) and written.id in self._taken:
            raise TargetUnavailable(
                f"{self._target.name}: the answer to a creation names the id of another secret",
                hint="the next cycle looks for it by its mark",
                request_id=written.request_id,
                maybe_done=True,
            )
        self._taken.add(written.id)
        return written

    def _failed(
        self,
        action: Action,
        record: Record,
        error: TargetError,
        now: datetime,
        settled: LedgerBatch,
        result: ApplyResult,
    ) -> None:
        site_wide = isinstance(error, (TargetDenied, TargetUnavailable))
        self._in_a_row = self._in_a_row + 1 if site_wide else 0
        self._well = 0 if site_wide else self._well
        if self._in_a_row >= BREAK_AFTER:
            result.broken = error
        if isinstance(error, SiteFull):
            result.full = error
        if isinstance(action, Create):
            _not_created(action, record, error, now, settled, result)
            return
        if isinstance(error, SecretGone):
            settled.put.append(
                replace(
                    record,
                    remote_id=None,
                    pending=None,
                    pending_at=None,
                    lost_writes=(),
                    unverified=False,
                    window=None,
                    pinned_at=None,
                )
            )
            result.look_again = True
            return
        result.ended.add(action.name)
        if isinstance(action, Delete):
            kept = record if error.maybe_done else replace(record, pending=None)
            settled.put.append(replace(kept, lost_writes=lost(record, now, error.lost_tries)))
        elif action.reason in ADOPTING:
            # A refused one is not ours; for one whose answer was lost the next listing tells, by our mark.
            if error.maybe_done:
                settled.put.append(replace(record, lost_writes=lost(record, now, error.lost_tries - 1)))
            else:
                settled.drop.append(record)
        elif error.maybe_done:
            unverified = record.unverified or not action.describe_only
            writes = lost(record, now, 0 if action.describe_only else error.lost_tries)
            settled.put.append(replace(record, pending=None, unverified=unverified, lost_writes=writes))
        else:
            settled.put.append(replace(record, pending=None))


def _not_created(
    action: Create, record: Record, error: TargetError, now: datetime, settled: LedgerBatch, result: ApplyResult
) -> None:
    """A lost answer and a taken name are for the next listing to tell; a refusal frees the name."""
    if error.maybe_done or isinstance(error, NameTaken):
        result.uncreated.add(action.name)
        result.look_again = True
        if error.maybe_done:
            settled.put.append(replace(record, lost_writes=lost(record, now, error.lost_tries)))
        return
    result.ended.add(action.name)
    if action.record is not None and action.record.pending is Pending.CREATE:
        settled.put.append(action.record)  # an earlier one may still come through
    else:
        settled.drop.append(record)


@contextmanager
def _dropping(pool: ThreadPoolExecutor) -> Iterator[None]:
    """What ends in an error sends nothing more: what waits for a thread is dropped."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


@dataclass(slots=True)
class LedgerBatch:
    put: list[Record] = field(default_factory=list)
    drop: list[Record] = field(default_factory=list)
    log: list[HistoryEntry] = field(default_factory=list)

    def note(self, rows: dict[str, Record | None]) -> None:
        rows.update({record.name: None for record in self.drop})
        rows.update({record.name: record for record in self.put})


def _send(target: Target, action: Action) -> WriteResult:
    if isinstance(action, Delete):
        return target.delete(str(action.record.remote_id))
    wanted = action.desired
    if isinstance(action, Create):
        return target.create(wanted.name, _value(action), wanted.description)
    return target.update(
        str(action.record.remote_id),
        name=wanted.name if action.rename else None,
        value=None if action.describe_only else _value(action),
        description=wanted.description,
    )


def _value(action: Create | Update) -> SecretValue[str]:
    if action.desired.value is None:
        raise AssertionError(f"{action.name}: an action without its value")
    return action.desired.value
