"""One cycle of one job on one site: pass after pass, until nothing is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from syncd.domain import (
    Action,
    Delete,
    Outcome,
    Plan,
    Record,
    SyncReport,
    deletions_sent,
)
from syncd.domain.audit import CONTROL
from syncd.domain.job import DAY
from syncd.domain.ports import Journal, ReadOnlyJournal, WhileWaiting
from syncd.domain.recency import Since
from syncd.errors import ConfigError, PlanMoved, SourceError, SyncdError, TargetError, TargetUnavailable
from syncd.reconcile.apply.applier import Applier
from syncd.reconcile.apply.result import ApplyResult
from syncd.reconcile.apply.terms import Terms
from syncd.reconcile.consent import Consent
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.plan.comparisons import CycleState
from syncd.reconcile.planned_pass import Look, PlannedPass
from syncd.reconcile.progress import Patience, Progress
from syncd.reconcile.record.cycle_result import store_cycle_result
from syncd.reconcile.record.report import exit_code_of, findings_of, not_carried_out

APPLY_SECONDS = 60.0
"""Longest time to keep applying one plan. After it the cycle releases the lock, lists and plans again."""
LOOKS = 4
"""Most passes of one cycle, without those that left work over (`ApplyResult.left_over`).

A further pass follows where something was not as listed. Twice as many are allowed while deletions wait.
"""
Choose = Callable[[PlannedPass], Plan]
"""Picks the part of a plan that is carried out (for example a kept plan). Raises `PlanMoved`."""


class Cycle:
    """The work of one job on one target."""

    def __init__(self, look: Look, *, allowed_deletes: int = 0) -> None:
        self._look, self._runtime, self._job = look, look.runtime, look.job
        self._allowed_deletes = allowed_deletes
        self._state = CycleState()
        self._progress, self._patience = Progress(), Patience()

    def run(
        self,
        cache: ObservationCache,
        *,
        wait: timedelta,
        choose: Choose | None = None,
        on_turn: Callable[[str], None] | None = None,
    ) -> SyncReport:
        """Run the cycle and report it. Errors of a source, a target or the ledger are in the report, never raised.

        `wait`: how long to wait for another process that works on the site. `choose`: picks what of each plan is
        carried out; None: all. `on_turn`: called with the site each time that this cycle has its turn there.
        """
        started, began = self._runtime.clock(), time.monotonic()
        progress, runtime, look = self._progress, self._runtime, self._look
        try:
            while True:
                if self._rests():  # nothing is listed, recovered or sent meanwhile
                    return self._report(started, began)
                meanwhile = WhileWaiting(runtime.stopped, runtime.waits)
                with runtime.store.lock(look.site, holder=look.holder, wait=wait, meanwhile=meanwhile) as journal:
                    if on_turn is not None:
                        on_turn(look.site)
                    # One listing is shared by jobs that start together, but nothing is written on one that is older
                    # than that.
                    slow = self._work_under_lock(cache.fresh(), journal, choose)
                    if not progress.goes_on:
                        report = self._report(started, began)
                        # Asked for a part, or cut off by a pause: what is left out is due, and all of one that failed.
                        is_part = bool(progress.left_out.actions or progress.error) and (choose or self._rests())
                        held, place = runtime.store.held(look.site, self._job.name), self._place
                        seen = progress.seen(held, place)
                        store_cycle_result(journal, runtime, report, seen, is_part=bool(is_part))
                        return replace(report, audit_heads=runtime.store.audit_heads(look.site, CONTROL))
                # Without the lock, so that another process waiting for this site can take it.
                self._pause(slow or 0.0)
                # Another process may have had the site meanwhile: nothing is planned on what was seen before.
                cache = ObservationCache()
        # The lock was not had, or the ledger fails: nothing can be stored, so the report alone tells of it.
        except SyncdError as failure:
            progress.error = failure
        return self._report(started, began)

    def _work_under_lock(self, cache: ObservationCache, journal: Journal, choose: Choose | None) -> float | None:
        """Run passes until the time is up, the cycle is over, or the site asks to wait.

        Returns: how many seconds the site asks to wait; None if it does not.
        """
        progress, until = self._progress, time.monotonic() + APPLY_SECONDS
        while progress.goes_on and time.monotonic() < until:
            try:
                applied = self._pass(cache, journal, until, choose)
            except (SourceError, TargetError, ConfigError, PlanMoved) as failure:
                slow = self._may_wait(failure) if isinstance(failure, TargetUnavailable) else None
                if slow is not None:
                    return slow
                # Not to have looked is not to have seen an absence: what ran so far stays, and nothing is added.
                self._stop_tombstones(journal)
                progress.fail(failure)
                return None
            # A site that refuses three in a row refuses the next ones, too: they are left for another cycle.
            progress.error, progress.goes_on = applied.broken, self._goes_on(applied)
            if applied.slow_down is not None:
                slow = self._may_wait(applied.slow_down)
                if slow is not None:
                    progress.goes_on = True
                    return slow
                progress.error, progress.goes_on = applied.slow_down, False
            # No listing of before this pass shows what it wrote, so the next one looks anew.
            cache = ObservationCache()
        return None

    def plan(self, cache: ObservationCache) -> PlannedPass:
        """Look and plan without writing, again where the site asks to slow down.

        Raises `SourceError`, `TargetError`, `ConfigError`, `LedgerError`.
        """
        while True:
            try:
                return self._look.plan(
                    cache.fresh(), ReadOnlyJournal(), self._state, allowed_deletes=self._allowed_deletes
                )
            except TargetUnavailable as failure:
                slow = self._may_wait(failure)
                if slow is None:
                    raise
                self._pause(slow)

    @property
    def _place(self) -> tuple[str, str, str]:
        """Site, job and target: the key under which held actions are kept."""
        return self._look.site, self._job.name, self._look.target_name

    def _may_wait(self, failure: TargetUnavailable) -> float | None:
        if self._runtime.stopped():
            return None
        return self._patience.wait_for(failure, len(self._progress.outcomes))

    def _rests(self) -> str:
        """Why this job rests on this target at this moment; empty if it does not."""
        return self._runtime.paused(self._job.name, self._look.target_name)

    def _pause(self, seconds: float) -> None:
        self._runtime.waits(f"target {self._look.target_name} asks to slow down", seconds)
        self._runtime.pause(max(0.2, seconds))

    def _stop_tombstones(self, journal: Journal) -> None:
        """Stop the tombstones of this job's records: a cycle that could not look observes no absence."""
        records = self._runtime.store.records(self._look.site)
        running = [record for record in records if record.job == self._job.name and record.absent_at]
        journal.write(put=[replace(record, absent_at=None) for record in running])

    def _goes_on(self, applied: ApplyResult) -> bool:
        if applied.broken or self._runtime.stopped() or self._rests():
            return False
        # What only ran out of time is no surprise, and uses up none of the looks.
        if applied.left_over:
            return True
        self._progress.looks += 1
        # A deletion comes last, on a listing of its own: what took the looks before it does not put it off for a day.
        most = 2 * LOOKS if self._progress.deletes_wait else LOOKS
        return applied.look_again and self._progress.looks < most

    def _pass(self, cache: ObservationCache, journal: Journal, until: float, choose: Choose | None) -> ApplyResult:
        """Look, plan, and send what may go on one listing: writes first, deletions in a pass of their own."""
        progress = self._progress
        allowed = max(0, self._allowed_deletes - deletions_sent(progress.outcomes))
        progress.looked_at = cache.looked_at(self._runtime.clock)
        # What earlier passes of this run deleted is taken off: the number is for the whole run.
        planned = self._look.plan(cache, journal, self._state, allowed_deletes=allowed)
        progress.planned = planned
        progress.news |= planned.source.news
        # A later pass knows these rows already, and would tell nothing of them.
        progress.noticed += planned.noticed
        todo = choose(planned) if choose else planned.plan
        writes = [action for action in todo.actions if not isinstance(action, Delete)]
        deletes = [action for action in todo.actions if isinstance(action, Delete)]
        journal.write(put=todo.record_updates)
        # Deletions never share a pass with writes: they go on a listing that was made after the last write.
        actions = writes or (self._at_once(deletes) if progress.outcomes or progress.looks else [])
        applied = self._apply(actions, planned, journal, until)
        deletes_left = deletes if writes else deletes[len(actions) :]
        progress.deletes_wait = bool(deletes_left)
        waits_for_room = bool(actions and deletes_left and not writes)
        applied.left_over |= applied.broken is None and (planned.postponed or waits_for_room)
        # A deletion has a listing made for it, and what waits for a name may go on once that is settled.
        if deletes_left or (planned.waits_for_settled_names and applied.outcomes):
            applied.look_again = True
        self._remember(applied)
        self._settle_rows(planned, todo, applied, journal, kept_plan=choose is not None)
        return applied

    def _at_once(self, deletes: list[Delete]) -> list[Delete]:
        """Return the deletions that may go now by the rate limit, at least one.

        What waited for the limit would go out on an old listing.
        """
        room = self._runtime.target(self._look.target_name).room() if deletes else 0
        return deletes[: max(1, room)]

    def _apply(self, actions: Sequence[Action], planned: PlannedPass, journal: Journal, until: float) -> ApplyResult:
        runtime = self._runtime
        runtime.observer.on_planned(len(actions))
        # A look that took all of the time would never be followed by an action: some time is always left for those.
        until = max(until, time.monotonic() + APPLY_SECONDS / 4)
        # The terms are asked again at each action, because minutes may pass between the plan and its last request.
        consent = Consent(self._look, planned)
        terms = Terms(
            on_outcome=self._on_outcome,
            is_consented=consent.is_given,
            is_limited=consent.is_limited,
            is_halted=lambda: runtime.stopped() or bool(self._rests()),
            agreement=consent.agreement,
            was_deleted=self._was_deleted,
            taken_ids=frozenset(
                {secret.id for secret in planned.remote} | {str(record.remote_id) for record in planned.records}
            ),
            workers=runtime.workers,
        )
        applier = Applier(runtime.target(self._look.target_name), journal, runtime.clock, terms)
        return applier.run(actions, stop=lambda: runtime.stopped() or bool(self._rests()) or time.monotonic() >= until)

    def _was_deleted(self, remote_id: str) -> bool:
        now = self._runtime.clock()
        site_now = self._runtime.target(self._look.target_name).site_time() or now
        return remote_id in self._runtime.store.deletions(self._look.site, None, Since(30 * DAY, site_now, now))

    def _on_outcome(self, outcome: Outcome) -> None:
        """Keep and report an outcome at once: it is known even if the ledger fails later in the pass."""
        self._progress.outcomes.append(outcome)
        self._runtime.observer.on_outcome(outcome, self._job.name, self._look.target_name)

    def _remember(self, applied: ApplyResult) -> None:
        for outcome in applied.outcomes:
            # What was compared before the write says nothing of what the site holds now.
            self._state.site_values.pop(outcome.action.name, None)
        self._state.failed_names |= applied.failed_names
        self._state.unconfirmed_creates |= applied.unconfirmed_creates
        # Only an interruption counts: such a run is due again and no success.
        self._progress.unsent = applied.unsent if self._runtime.stopped() else 0

    def _settle_rows(
        self, planned: PlannedPass, todo: Plan, applied: ApplyResult, journal: Journal, *, kept_plan: bool
    ) -> None:
        """Note the rows as this pass leaves them, and the actions that it left out.

        Where the cycle ends early, or carries out a chosen part only, the rows of those actions no longer read
        `synced`.
        """
        stopped, rests = self._runtime.stopped(), self._rests()
        rows: dict[str, Record | None] = {record.name: record for record in (*planned.records, *todo.record_updates)}
        # What the requests left is newer than what the plan noted.
        rows |= applied.rows
        left_out = not_carried_out(
            planned.plan, todo, applied, "interrupted; the next cycle sends it" if stopped else rests
        )
        if applied.broken or applied.slow_down or stopped or rests or kept_plan:
            # Whatever ends this cycle: the site does not hold what the source has.
            behind = list(left_out.rows_behind(rows))
            journal.write(put=behind)
            rows |= {row.name: row for row in behind}
        planned.records = tuple(row for row in rows.values() if row is not None)
        self._progress.left_out, self._progress.rows = left_out, planned.records

    def _report(self, started: datetime, began: float) -> SyncReport:
        progress, planned, outcomes = self._progress, self._progress.planned, tuple(self._progress.outcomes)
        planned_findings = (*planned.plan.findings, *planned.desired.findings) if planned else ()
        failures = tuple(planned.source.failures) if planned else ()
        findings = findings_of(planned_findings, progress.noticed, outcomes, progress.left_out)
        report = SyncReport(
            job=self._job.name,
            target=self._look.target_name,
            started_at=started,
            finished_at=self._runtime.clock(),
            seconds=time.monotonic() - began,
            outcomes=outcomes,
            findings=findings,
            failures=failures,
            error=progress.error,
            exit_code=exit_code_of(findings, outcomes, failures, progress.error),
            unsent=progress.unsent,
            looked_at=progress.looked_at,
            listing_calls=planned.source.listing_calls if planned else 0,
            lagging=planned.source.lagging if planned else frozenset(),
            numbers=planned.source.numbers if planned else {},
            listing_methods=planned.source.listing_methods if planned else {},
            faulty=planned.desired.faulty() if planned else {},
            rests=self._rests(),
        )
        self._tell(report, planned)
        return report

    def _tell(self, report: SyncReport, planned: PlannedPass | None) -> None:
        observer, place = self._runtime.observer, (report.job, report.target)
        before = planned.problems if planned else {}
        left_out = self._progress.left_out.findings
        for failure in report.failures:
            observer.on_failure(failure, *place)
        for finding in report.findings:
            problem = before.get(finding.name)
            # What was left out has one cause, which is told already: not once more for each name.
            known = finding in left_out or (problem is not None and problem.message == finding.message)
            observer.on_finding(finding, *place, known=known)
