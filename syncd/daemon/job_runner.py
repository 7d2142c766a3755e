"""One run of a job in the daemon: the boundary that no error passes."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from functools import partial

import structlog

from syncd.bootstrap.app import App
from syncd.bootstrap.process import holder
from syncd.daemon.app_builder import AppBuilder
from syncd.daemon.asked_for import AskedFor, Wanted, cause_of, has_failed
from syncd.daemon.generations import Generation, Generations
from syncd.daemon.status import counted
from syncd.daemon.wakeups import Expected, fresh, unseen
from syncd.domain import SyncReport
from syncd.domain.audit import CAUSE, Actor, Cause
from syncd.domain.job import Job
from syncd.errors import LedgerError, SyncdError
from syncd.reconcile.record.report import counts
from syncd.reconcile.run_job import Run, sync_job
from syncd.telemetry.logs import logger, safe_traceback

GONE = "(gone)"
"""The label of jobs that are configured no more, whose secrets are still on a site."""
LOCK_WAIT = timedelta(minutes=5)
"""How long a run waits for a site that another process works on."""
FIRST_LOOK, LAST_LOOK = timedelta(seconds=2), timedelta(minutes=10)
"""From a look that met a server which lags, or failed, to the next one; each waits twice as long, up to the last."""


class JobRunner:
    """Runs jobs, one run of a job at a time; who asks during a run gets another one after it."""

    def __init__(self, generations: Generations, builder: AppBuilder) -> None:
        self._generations = generations
        self.instruments, self.readiness, self._stop = builder.instruments, builder.readiness, builder.stop
        self._log, self._lock = logger(), threading.Lock()
        self._asked_for = AskedFor()
        self._running: set[str] = set()
        self._asked_again: set[str] = set()
        self._waits: dict[str, timedelta] = {}
        """How long each job waits until it tries again what its source did not give yet, or its ledger not take."""

    def trigger(
        self,
        job: str,
        paths: Iterable[str] = (),
        *,
        by: Actor | None = None,
        about: Iterable[str] = (),
        expected: Mapping[str, int] | None = None,
    ) -> bool:
        """Let a job run soon, once for all that ask within a moment.

        `paths`: what to look at directly; `expected`: again and again for a while, until each has this version (0:
        another one); `by`: who asks, for what is `about` these paths (or paths and fields);
        without any for all that the run does.

        Returns: False for a job that is not scheduled.
        """
        generation = self._generations.current
        if not generation.schedule.has(job):
            return False
        # Written down before a run is asked for: one that starts at this moment takes it along.
        generation.pending.put(job, paths, expected=expected)
        # What is asked for now is not looked at as rarely as what nobody could read for long.
        self._waits.pop(job, None)
        if by is not None:
            self._asked_for.note(job, by, about)
        with self._lock:
            # The scheduler drops a run of a job that is running: this one comes when that ends.
            if job in self._running:
                self._asked_again.add(job)
                return True
        generation.schedule.run_soon(job)
        return True

    def run(self, name: str) -> None:
        """One cycle of the job on each of its targets."""
        with self._lock:
            self._running.add(name)
            # What was asked for until here, this run does.
            self._asked_again.discard(name)
        structlog.contextvars.bind_contextvars(run_id=uuid.uuid4().hex[:12])
        was_replaced, is_done, is_broken = False, False, False
        wanted, hinted = dict[str, Wanted](), dict[str, Expected]()
        not_yet = dict[str, frozenset[str] | None]()
        try:
            with self._generations.running() as generation:
                app = generation.app
                job = app.runtime.jobs.get(name)
                if job is not None:
                    cache, hinted = generation.pending.take(name)
                    wanted, failed = self._asked_for.of(name), set[str]()
                    run_id = structlog.contextvars.get_contextvars().get("run_id")
                    known = Cause(run=run_id, config=app.config_digest, commit=generation.commit)
                    CAUSE.set(cause_of(job, wanted, known))
                    run = Run(
                        holder=holder(),
                        wait=LOCK_WAIT,
                        cache=cache,
                        hinted_paths=frozenset(hinted),
                        on_report=partial(self._finished, app, wanted.keys(), failed),
                    )
                    with app.ledger.telling_damage():
                        reports = sync_job(app.runtime, job, run)
                    is_unfinished, left = self._look_again(generation, job, hinted, reports, failed=bool(failed))
                    # Whoever asked for what was not seen or sent yet asks for it the next time as well.
                    not_yet |= dict.fromkeys(left)
                    # Where a fault kept it from that, on these sites alone: on the others it is done.
                    not_yet |= dict.fromkeys(wanted, frozenset(failed)) if is_unfinished else {}
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
                self._try_again(self._generations.current, name)
            if not (was_replaced or is_broken):
                self._asked_for.done(name, wanted, not_yet)
            with self._lock:
                self._running.discard(name)
                again = name in self._asked_again or was_replaced
        if again and not self._stop.is_set():
            self.trigger(name)

    def _look_again(
        self,
        generation: Generation,
        job: Job,
        hinted: Mapping[str, Expected],
        reports: Sequence[SyncReport],
        *,
        failed: bool,
    ) -> tuple[bool, AbstractSet[str]]:
        """What an event named, or somebody asked for, and a lag or a fault kept from being seen, is not spent.

        The job looks again, ever more rarely. `failed`: did a fault keep it from what it was asked for?

        Returns: is it tried again for that, and which paths are still to be seen?
        """
        lagging = frozenset[str]().union(*(report.lagging for report in reports))
        working = [report for report in reports if not report.rests]
        # What failed may have stood still before it sent what it read.
        expected = unseen(hinted, [{} if report.error else report.numbers for report in working])
        # What lasts, such as a path that is denied, is for the schedule after a quarter of an hour.
        is_unfinished = failed and self._waits.get(job.name, FIRST_LOOK) < LAST_LOOK
        rests = len(working) < len(reports)
        left = hinted.keys() if is_unfinished else hinted.keys() & (lagging | expected | fresh(hinted, rests=rests))
        generation.pending.put_back(job.name, {path: hinted[path] for path in left})
        # What rests looks at nothing before its time; what failed may see it the next time.
        if lagging or (expected and working) or is_unfinished:
            self._try_again(generation, job.name)
        else:
            self._waits.pop(job.name, None)
        return is_unfinished, left

    def asked(self, job: str, by: Actor, about: Iterable[str]) -> None:
        """Somebody asks for these paths, and no run is started for it yet."""
        self._asked_for.note(job, by, about)

    def whose(self, job: str, path: str) -> Actor | None:
        """Who asked for a path that no run of the job looks at any more; it is the caller's to ask for now."""
        return self._asked_for.given_up(job, path)

    def _try_again(self, generation: Generation, job: str) -> None:
        """Soon, and each time in a row twice as late: a rare schedule is no answer to what passes in a moment."""
        wait = self._waits.get(job, FIRST_LOOK)
        self._waits[job] = min(2 * wait, LAST_LOOK)
        generation.pending.look_anew()
        generation.schedule.run_soon(job, wait)

    def _finished(self, app: App, asked: Collection[str], failed: set[str], report: SyncReport) -> None:
        # Here it is whole: what a run gives back of it has neither outcomes nor failures.
        if has_failed(report, asked):
            failed.add(app.runtime.site_of(report.target))
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
        """The secrets on a site by job; a job without any has none, and those of jobs that are gone stand together."""
        served = app.served
        numbers = {(site, job): Counter[str]() for job in (*served.jobs.get(site, ()), GONE)}
        for (of_site, job), statuses in counted(app.ledger, served, app.runtime.clock(), site).items():
            numbers[of_site, job if (of_site, job) in numbers else GONE].update(statuses)
        return numbers
