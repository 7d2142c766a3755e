"""Run a job once in the daemon. No error passes this boundary: it ends the run and not the daemon."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from syncd.bootstrap.app import App
from syncd.bootstrap.process import holder
from syncd.daemon.app_builder import AppBuilder
from syncd.daemon.asked_for import Ask, AskedFor, Wanted, cause_of
from syncd.daemon.generations import Generation, Generations
from syncd.daemon.retries import Retries
from syncd.daemon.run_result import Result
from syncd.daemon.status import counted
from syncd.daemon.wakeups import Expected, fresh, unseen
from syncd.domain import SyncReport
from syncd.domain.audit import CAUSE, Cause
from syncd.domain.job import Job
from syncd.errors import LedgerError, SyncdError
from syncd.reconcile.record.report import counts
from syncd.reconcile.run_job import Run, sync_job
from syncd.telemetry.logs import logger, safe_traceback

GONE = "(gone)"
"""The metrics' label for all jobs that are no longer configured for a site and whose secrets are still on it."""
LOCK_WAIT = timedelta(minutes=5)
"""How long a run waits for a site that another process works on."""


class JobRunner:
    """Run jobs, under one configuration one run of a job at a time.

    A request that comes during a run leads to another run after it.
    """

    def __init__(self, generations: Generations, builder: AppBuilder) -> None:
        self._generations = generations
        self.instruments, self.readiness, self._stop = builder.instruments, builder.readiness, builder.stop
        self._log, self._lock = logger(), threading.Lock()
        self._asked_for, self._retries = AskedFor(), Retries()
        self._running: Counter[str] = Counter()
        """Runs under way, by job: after a reload a run may begin beside one of the configuration before."""
        self._asked_again: set[str] = set()

    def trigger(
        self,
        job: str,
        paths: Iterable[str] = (),
        *,
        ask: Ask | None = None,
        expected: Mapping[str, int] | None = None,
    ) -> bool:
        """Let a job run soon, once for all requests that come within a moment.

        `paths`: what to look at directly. `expected`: paths to look at again and again for a minute, until each has
        this version (0: for the whole minute). `ask`: who asks, and for what; None: nobody, the run is the job's own.

        Returns: False for a job that is not scheduled.
        """
        generation = self._generations.current
        if not generation.schedule.has(job):
            return False
        # What is asked for now is not looked at as rarely as what nobody could read for long.
        is_event = ask is not None and ask.by.kind == "event"
        self._retries.asked(job, {*paths, *(expected or ())} if is_event else None)
        # Written down before a run is asked for: one that starts at this moment takes it along.
        with self._lock:  # the paths with whoever asks, so that they are passed on together
            generation.pending.put(job, paths, expected=expected)
            if ask is not None:
                self._asked_for.note(job, ask)
        self._run_soon(generation, job)
        return True

    def _run_soon(self, generation: Generation, job: str) -> None:
        with self._lock:
            # The scheduler drops a run of a job that is running: this one comes when that ends.
            if self._running[job]:
                self._asked_again.add(job)
                return
        generation.schedule.run_soon(job)

    def run(self, name: str) -> None:
        """One cycle of the job on each of its targets."""
        with self._lock:
            self._running[name] += 1
            # What was asked for until here, this run does.
            self._asked_again.discard(name)
        structlog.contextvars.bind_contextvars(run_id=uuid.uuid4().hex[:12])
        was_replaced, is_done, is_broken = False, False, False
        hinted, result = dict[str, Expected](), Result()
        try:
            with self._generations.running() as generation:
                app = generation.app
                job = app.runtime.jobs.get(name)
                if job is not None:
                    cache, hinted = generation.pending.take(name)
                    run_id = structlog.contextvars.get_contextvars().get("run_id")
                    known = Cause(run=run_id, config=app.config_digest, commit=generation.commit)
                    result.began = self._retries.begins(name, app.config_digest)
                    run = Run(
                        holder=holder(),
                        wait=LOCK_WAIT,
                        cache=cache,
                        hinted_paths=frozenset(hinted),
                        on_turn=partial(self._begin_on, job, known, result),
                        on_report=partial(self._finished, app, result),
                    )
                    with app.ledger.telling_damage():
                        reports = sync_job(app.runtime, job, run)
                    self._look_again(generation, name, hinted, reports, result)
                    app.after_run.soon()
                was_replaced = app.ended.is_set()  # a new configuration cut this run short
                is_done = not was_replaced
        except SyncdError as error:
            self._log.error("cycle.failed", job=name, error=error.message, hint=error.hint)
            is_broken = True
        except Exception as error:  # noqa: BLE001  # the cycle boundary: a bug ends this run, not the daemon
            self._log.error("cycle.bug", job=name, error=type(error).__name__, where=safe_traceback(error))
        finally:
            structlog.contextvars.clear_contextvars()
            # What was cut short, or failed, may not have looked at what events named.
            if not is_done:
                self._generations.current.pending.put_back(name, hinted)
            if is_broken:
                self._try_again(
                    self._generations.current, name, self._retries.wait(name, (), {name}, began=result.began)
                )
            if not (was_replaced or is_broken):
                self._asked_for.done(name, result.taken, result.not_done)
            with self._lock:
                self._running[name] -= 1
                again = name in self._asked_again or was_replaced
        if again and not self._stop.is_set() and self._generations.current.schedule.has(name):
            self._run_soon(self._generations.current, name)

    def _begin_on(self, job: Job, known: Cause, result: Result, site: str) -> None:
        """Set in whose name the run acts on a site, from the requests as they are when its turn there comes.

        The decisions of people that the run goes by are as of that moment, too.
        """
        wanted = self._asked_for.of(job.name)
        result.take(site, wanted)
        CAUSE.set(cause_of(job, wanted, known, self._asked_for.beside(job.name)))

    def _look_again(
        self,
        generation: Generation,
        job: str,
        hinted: Mapping[str, Expected],
        reports: Sequence[SyncReport],
        result: Result,
    ) -> None:
        """Keep for the next run what an event named or somebody asked for, and a lag or a fault kept from being seen.

        Where it may help, the next run comes before its schedule (see `Retries`).
        """
        lagging = frozenset[str]().union(*(report.lagging for report in reports))
        working = [report for report in reports if not report.rests]
        # What failed may have stood still before it sent what it read.
        expected = unseen(hinted, [{} if report.error else report.numbers for report in working])
        # Where a site, or all of a source, was away, the first listing after that tells of what is older than a minute.
        was_away = len(working) < len(reports) or any(report.error for report in reports)
        waiting = expected | fresh(hinted, rests=was_away)
        left = hinted.keys() & (lagging | waiting | result.kept_from())
        generation.pending.put_back(job, {path: hinted[path] for path in left})
        result.still_expected(waiting)
        # What rests looks at nothing before its time; what failed may see it the next time.
        late = lagging | (expected if working else set())
        wait = self._retries.wait(job, result.faults, late, result.sites_away, began=result.began)
        self._try_again(generation, job, wait)

    def asked(self, job: str, ask: Ask) -> None:
        """Note a request to a job, without starting a run for it."""
        self._asked_for.note(job, ask)

    def take_left(
        self, stays: Callable[[str, str], bool], *, stops: bool
    ) -> tuple[dict[tuple[str, str], Expected], dict[tuple[str, str], Wanted]]:
        """Remove and return what events named, and the requests for paths, that are not done yet; by job and path.

        The caller has to pass them on. `stays`: is this path of this job still for this daemon? Then it is left where
        it is. `stops`: does the daemon end? Otherwise nothing is taken from a job that is running: the paths are with
        its run, and are passed on with their requests once it has ended.
        """

        def is_kept(job: str, path: str) -> bool:
            return (not stops and self._running[job] > 0) or stays(job, path)

        with self._lock:
            return self._generations.current.pending.take_left(is_kept), self._asked_for.take_left(is_kept)

    def _try_again(self, generation: Generation, job: str, wait: timedelta | None) -> None:
        """Run the job again after `wait`, and let it look at its sources anew; None: leave it to the schedule.

        After a short fault a job should not wait for a rare schedule. Each wait in a row is about twice the one before.
        """
        if wait is not None:
            generation.pending.look_anew()
            generation.schedule.run_soon(job, wait)

    def _finished(self, app: App, result: Result, report: SyncReport) -> None:
        # Here it is whole: what a run gives back of it has neither outcomes nor failures.
        result.add(report, app.runtime.site_of(report.target))
        self.readiness.finished(report, app.runtime.jobs[report.job].source)
        self.instruments.events.finished(report, counts(report))
        self.instruments.traces.finished(
            report, counts(report), structlog.contextvars.get_contextvars().get("run_id", "")
        )
        if app is not self._generations.current.app:
            return  # what it would count for may be configured no more
        self.instruments.metrics.finished(report)
        try:
            for (site, job), statuses in self._counted(app, app.runtime.site_of(report.target)).items():
                self.instruments.metrics.counted(job, app.first_target_on(site, job), statuses)
        # A number that cannot be counted ends no run.
        except LedgerError as error:
            self._log.error("ledger.unreadable", error=error.message, hint=error.hint)

    def _counted(self, app: App, site: str) -> dict[tuple[str, str], Counter[str]]:
        """Count the secrets on a site, by site and job, and by status.

        A job without secrets there has an empty count; those of jobs that are no longer configured are under `GONE`.
        """
        served = app.served
        numbers = {(site, job): Counter[str]() for job in (*served.jobs.get(site, ()), GONE)}
        for (of_site, job), statuses in counted(app.ledger, served, app.runtime.clock(), site).items():
            numbers[of_site, job if (of_site, job) in numbers else GONE].update(statuses)
        return numbers
