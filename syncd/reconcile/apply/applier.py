"""Carry out actions: journal before the request, act, settle after it. The order makes it crash-safe.

Requests run in worker threads. Only the calling thread writes the ledger; one transaction settles the requests
that have ended and journals those that start next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

from syncd.domain import (
    Action,
    Create,
    Delete,
    HistoryEntry,
    Outcome,
    Reason,
    Record,
    Result,
    Update,
    puts_back,
)
from syncd.domain import WriteResult as Written
from syncd.domain.audit import REMOVED, Entry, drift_entry, end_of, entry_of
from syncd.domain.halting import HALTED
from syncd.domain.ports import NO_AUDIT, AuditBatch, Clock, Journal, Target
from syncd.errors import Interrupted, LedgerError, SecretGone, SiteFull, TargetDenied, TargetError, TargetUnavailable
from syncd.reconcile.apply.flight import Flight, Pace, dropping
from syncd.reconcile.apply.requests import send
from syncd.reconcile.apply.result import ApplyResult, LedgerBatch
from syncd.reconcile.apply.terms import Terms
from syncd.reconcile.apply.transitions import Transition, after_failure, after_success, history_line, opened, put_back

START = 8
"""Requests that may be under way at first. Each success allows one more; a failure of the whole site resets that.

So a site that refuses everything gets few requests. At most twice as many as there are threads are under way (with
one thread: one).
"""
GATHER = 0.01
"""Seconds to wait for more answers after the first one, so that one transaction settles them together."""
NOT_TAKEN = "not sent: the site asked to wait, the process was stopped, or what allowed it ended meanwhile"


class Applier:
    """One round of actions on one site."""

    def __init__(self, target: Target, journal: Journal, clock: Clock, terms: Terms) -> None:
        self._target, self._journal, self._clock, self._terms = target, journal, clock, terms
        self._taken_ids = set(terms.taken_ids)
        self._ahead = terms.workers if terms.workers == 1 else 2 * terms.workers
        self._pace = Pace()

    def run(self, actions: Sequence[Action], *, stop: Callable[[], bool]) -> ApplyResult:
        """Carry out the actions in order, several at a time. `stop` is asked before each start.

        Returns: how the actions ended, and how many were not sent. Raises `LedgerError` when the journal cannot be
        written: then nothing more starts, and what is under way is settled first if the ledger takes that.
        """
        result, flight, todo = ApplyResult(), Flight(), deque(actions)
        # The ledger is written by this thread alone: SQLite has one writer, and the order of the journal is the order
        # of the actions.
        with ThreadPoolExecutor(self._terms.workers, thread_name_prefix="apply") as pool, dropping(pool):
            batch = LedgerBatch()
            while todo or flight.futures:
                starting = [] if stop() else self._next(todo, len(flight.futures), result, stop)
                try:
                    started = self._journaled(starting, batch, result)
                except LedgerError:
                    self._settle_all(flight, batch, result)
                    raise
                for action, record in started:
                    flight.futures[pool.submit(self._send, action)] = (action, record)
                if not flight.futures:
                    break
                batch = LedgerBatch()
                # Answers of one moment share a transaction with the next starts; at the end there are none to wait for.
                self._land(flight, GATHER if todo else 0, batch, result)
            # The last answers have no next start to share a transaction with.
            self._write(result, batch)
        result.unsent += len(todo)
        result.left_over = (bool(todo) or result.slow_down is not None) and result.broken is None
        return result

    def _settle_all(self, flight: Flight, batch: LedgerBatch, result: ApplyResult) -> None:
        """Settle what was answered and what is under way, when nothing more may start (a required sink is behind)."""
        self._write(result, batch)
        while flight.futures:
            batch = LedgerBatch()
            self._land(flight, GATHER, batch, result)
            self._write(result, batch)

    def _land(self, flight: Flight, timeout: float, batch: LedgerBatch, result: ApplyResult) -> None:
        """Settle the requests that have ended.

        Where one ended in no answer at all, the answers of the others are written first; then its error is raised.
        """
        broken: BaseException | None = None
        for future, action, record in flight.landed(timeout):
            error = future.exception()
            if error is None or isinstance(error, TargetError):
                self._settle(future, action, record, batch, result)
            else:
                broken = broken or error
        if broken is not None:
            self._write(result, batch)
            raise broken

    def _send(self, action: Action) -> Written:
        # Set in the thread that sends: the request may wait there for the rate limit while a pause comes, its window
        # shuts, or a person takes back what allowed it.
        HALTED.set(lambda: self._terms.is_halted() or not self._terms.is_consented(action))
        return send(self._target, action)

    def _next(self, todo: deque[Action], flying: int, result: ApplyResult, stop: Callable[[], bool]) -> list[Action]:
        """Return the actions that may start now."""
        # A full site refuses every creation, and what stands behind them is not held up by that.
        while result.full and todo and isinstance(todo[0], Create):
            self._end_without_request(todo.popleft(), result.full, result)
        starting: list[Action] = []
        # Few at first: a site that refuses everything gets few requests, one that takes them gets many.
        limit = min(self._ahead, START + self._pace.successes)
        while todo and len(starting) + flying < limit and not (result.broken or result.slow_down or stop()):
            action = todo.popleft()
            if self._terms.is_consented(action):
                starting.append(action)
            else:
                # Why it may not go any more is for a plan on a new listing to tell.
                result.look_again = True
        return starting

    def _journaled(
        self, starting: Sequence[Action], ended: LedgerBatch, result: ApplyResult
    ) -> list[tuple[Action, Record]]:
        """Write what has ended and what starts, in one transaction. Returns: the starting actions with their rows."""
        now = self._clock()
        rows = [opened(action, self._target.site, self._target.name, now) for action in starting]
        started = list(zip(starting, rows, strict=True))
        opening = LedgerBatch(
            put=rows,
            log=[line for action, row in started if (line := self._sent_line(action, row))],
            intents=[entry_of(action, row, now, self._terms.agreement(action)) for action, row in started],
            notes=[
                # Told before it is undone: a kill in between does not hide that somebody changed it.
                drift_entry("drift.found", action, row)
                for action, row in started
                if isinstance(action, Update) and action.undoes_others
            ],
        )
        # One transaction ends what was answered and opens what starts: half as many commits, and no gap between the
        # two.
        self._write(result, ended, opening)
        return started

    def _write(self, result: ApplyResult, *batches: LedgerBatch) -> None:
        batch = LedgerBatch.joined(batches)
        lines = AuditBatch(intents=tuple(batch.intents), ends=tuple(batch.ends), notes=tuple(batch.notes))
        audit = lines if batch.intents or batch.ends else NO_AUDIT
        self._journal.write(put=batch.put, drop=batch.drop, log=batch.log, audit=audit)
        # After the write: what the ledger did not take is in none of its rows.
        batch.enter(result.rows)

    def _end_without_request(self, action: Action, error: TargetError, result: ApplyResult) -> None:
        """End an action that the site's own state makes pointless."""
        result.failed_names.add(action.name)
        self._tell(Outcome(action=action, error=error, at=self._clock()), result)

    def _tell(self, outcome: Outcome, result: ApplyResult) -> None:
        result.outcomes.append(outcome)
        self._terms.on_outcome(outcome)

    def _sent_line(self, action: Action, record: Record) -> HistoryEntry | None:
        """Return the history line that makes a limited action count from now on; None if no limit counts it.

        It is written before the request, so the action counts even if this process is killed.
        """
        if not self._terms.is_limited(action):
            return None
        outcome = Outcome(action=action, remote_id=record.remote_id or "")
        return replace(history_line(outcome, record, self._site_time()), outcome="sent", result=Result.SENT)

    def _site_time(self) -> datetime:
        """Return the time for lines that limits count by: the site's; this machine's may be wrong, ahead or behind.

        Without a time of the site, this machine's clock is used.
        """
        return self._target.site_time() or self._clock()

    def _settle(
        self, future: Future[Written], action: Action, record: Record, batch: LedgerBatch, result: ApplyResult
    ) -> None:
        """Settle one request that has ended: its row, its history and audit lines, its outcome."""
        now, written, error = self._clock(), Written(), None
        try:
            written = self._plausible(action, future.result())
        except TargetError as failure:
            error = failure
        # It was never sent, so nothing of it is a failure of the secret or the site.
        if isinstance(error, Interrupted) and not error.maybe_done:
            result.unsent += 1
            # Why it may not go any more is for a plan on a new listing to tell.
            result.look_again = True
            self._put_back(action, record, batch, result)
            return
        # The site did nothing with it and will take no other now: it is no failure, and comes again.
        if isinstance(error, TargetUnavailable) and error.asks_to_wait:
            result.slow_down = error
            self._put_back(action, record, batch, result)
            return
        if error is None:
            self._pace.succeeded()
            self._take(after_success(action, record, written, now), action, batch, result)
        else:
            self._note_failure(error, result)
            self._take(after_failure(action, record, error, now), action, batch, result)
        # A search that finds nothing is a success: nothing is left to look for.
        if isinstance(error, SecretGone) and isinstance(action, Update) and action.reason is Reason.SOUGHT:
            error = None
        outcome = Outcome(
            action=action,
            error=error,
            remote_id=written.id or record.remote_id or "",
            request_id=error.request_id if error else written.request_id,
            restored=error is None and (puts_back(action) or (isinstance(action, Update) and action.undoes_others)),
            at=now,
        )
        batch.log.append(history_line(outcome, record, self._site_time()))
        batch.ends.append(end_of(outcome, record, now, self._terms.agreement(action)))
        batch.notes += self._drift_lines(outcome, record, error)
        self._tell(outcome, result)

    def _drift_lines(self, outcome: Outcome, record: Record, error: TargetError | None) -> Iterator[Entry]:
        """Yield audit lines about somebody else's change at Wix: it was undone, or a secret of ours is gone there."""
        action = outcome.action
        if outcome.restored and not isinstance(action, Delete):
            yield drift_entry("drift.restored", action, record)
        if not isinstance(action, Update) or action.reason is Reason.SOUGHT or not isinstance(error, SecretGone):
            return
        if not self._terms.was_deleted(str(record.remote_id)):
            yield drift_entry("drift.found", action, record, REMOVED)

    def _note_failure(self, error: TargetError, result: ApplyResult) -> None:
        # One bad secret stops only itself: the rest is left for what is the site's own alone.
        if self._pace.failed(site_wide=isinstance(error, (TargetDenied, TargetUnavailable))):
            result.broken = error
        if isinstance(error, SiteFull):
            result.full = error

    def _take(self, transition: Transition, action: Action, batch: LedgerBatch, result: ApplyResult) -> None:
        if transition.drop is not None:
            batch.drop.append(transition.drop)
        if transition.put is not None:
            batch.put.append(transition.put)
        if transition.fails:
            result.failed_names.add(action.name)
        if transition.is_unconfirmed:
            result.unconfirmed_creates.add(action.name)
        result.look_again |= transition.look_again

    def _put_back(self, action: Action, record: Record, batch: LedgerBatch, result: ApplyResult) -> None:
        """Undo the journal entry of an action of which the site took nothing.

        Its row is as before, and a limit that the action counted for has that room again.
        """
        if self._terms.is_limited(action):
            line = replace(history_line(Outcome(action=action), record, self._site_time()), outcome="asked to wait")
            batch.log.append(replace(line, result=Result.REFUSED, remote_id=record.remote_id or ""))
        # Each intent in the trail has an end, also where nothing was sent.
        intent = entry_of(action, record, self._clock())
        batch.ends.append(replace(intent, outcome="failed", detail={"error": NOT_TAKEN}))
        self._take(put_back(action, record), action, batch, result)

    def _plausible(self, action: Action, written: Written) -> Written:
        """Return the answer, unless it gives a new secret an id that is taken already.

        Raises `TargetUnavailable` then: only a listing can tell whose id it is.
        """
        if isinstance(action, Create) and written.id in self._taken_ids:
            raise TargetUnavailable(
                f"{self._target.name}: the answer to a creation names the id of another secret",
                hint="the next cycle looks for it by its mark",
                request_id=written.request_id,
                maybe_done=True,
            )
        self._taken_ids.add(written.id)
        return written
