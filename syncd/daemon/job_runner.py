"""One run of a job in the daemon: the boundary that no error passes."""

from __future__ import annotations

import re
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from syncd.bootstrap.app import App
from syncd.bootstrap.process import holder
from syncd.daemon.app_builder import AppBuilder
from syncd.daemon.generations import Generation, Generations
from syncd.daemon.status import counted
from syncd.daemon.wakeups import Expected, unseen
from syncd.domain import SyncReport
from syncd.domain.audit import CAUSE, Actor, Cause
from syncd.domain.job import Job
from syncd.domain.plan import ref_of
from syncd.errors import LedgerError, SyncdError
from syncd.reconcile.record.report import counts
from syncd.reconcile.run_job import Run, sync_job
from syncd.telemetry.logs import logger, safe_traceback

GONE = "(gone)"
"""The label of jobs that are configured no more, whose secrets are still on a site."""
LOCK_WAIT = timedelta(minutes=5)
"""How long a run waits for a site that another process works on."""
WHOLE_JOB = ""
"""In the place of a path: who asks does it for all of the job."""
PATTERN = re.compile(r"[*?]")
"""Where a place of a source ends, and what is taken of it begins."""
FIRST_LOOK, LAST_LOOK = timedelta(seconds=2), timedelta(minutes=10)
"""From a look that met a server which lags, or failed, to the next one; each waits twice as long, up to the last."""


class JobRunner:
    """Runs jobs, one run of a job at a time; who asks during a run gets another one after it."""

    def __init__(self, generations: Generations, builder: AppBuilder) -> None:
        self._generations = generations
        self.instruments, self.readiness, self._stop = builder.instruments, builder.readiness, builder.stop
        self._log, self._lock = logger(), threading.Lock()
        self._asked_by: defaultdict[str, dict[str, Actor]] = defaultdict(dict)
        """By job, who asks for its next run: by the path that it is about, `WHOLE_JOB` for all."""
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
        with self._lock:
            if by is not None:
                self._asked_by[job] |= dict.fromkeys(tuple(about) or (WHOLE_JOB,), by)
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
        was_replaced, is_done, has_failed, is_unfinished = False, False, False, False
        asked_by, hinted = dict[str, Actor](), dict[str, Expected]()
        try:
            with self._generations.running() as generation:
                app = generation.app
                job = app.runtime.jobs.get(name)
                if job is not None:
                    cache, hinted = generation.pending.take(name)
                    with self._lock:
                        asked_by = dict(self._asked_by[name])
                    self._act_for(generation, job, asked_by)
                    failed = list[bool]()
                    run = Run(
                        holder=holder(),
                        wait=LOCK_WAIT,
                        cache=cache,
                        hinted_paths=frozenset(hinted),
                        on_report=partial(self._finished, app, asked_by, failed),
                    )
                    with app.ledger.telling_damage():
                        reports = sync_job(app.runtime, job, run)
                    is_unfinished = self._look_again(generation, job, hinted, reports, failed=any(failed))
                    app.after_run.soon()
                was_replaced = app.ended.is_set()  # a new configuration cut this run short
                is_done = not was_replaced
        except SyncdError as error:
            self._log.error("cycle.failed", job=name, error=error.message, hint=error.hint)
            has_failed = True
        except Exception as error:  # noqa: BLE001  # the cycle boundary: a bug ends this run, not the daemon
            self._log.error("cycle.bug", job=name, error=type(error).__name__, where=safe_traceback(error))
        finally:
            structlog.contextvars.clear_contextvars()
            # What was cut short, or failed, may not have looked at what events named.
            if not is_done:
                self._generations.current.pending.put_back(name, hinted)
            if has_failed:
                self._try_again(self._generations.current, name)
            with self._lock:
                self._running.discard(name)
                # Whoever asked for what was cut short, or failed, asks for its rest as well.
                if not (was_replaced or has_failed or is_unfinished):
                    waiting = self._asked_by[name]
                    for about in [path for path, by in asked_by.items() if waiting.get(path) is by]:
                        del waiting[about]
                again = name in self._asked_again or was_replaced
        if again and not self._stop.is_set():
            self.trigger(name)

    def _act_for(self, generation: Generation, job: Job, asked_by: Mapping[str, Actor]) -> None:
        """What a person, or an event, asked for is theirs in the audit trail; what the job does beside it is not."""
        of_secrets = {f"{job.source}:{path}": (by, None) for path, by in asked_by.items() if path != WHOLE_JOB}
        by = asked_by.get(WHOLE_JOB) or Actor("schedule", f"job {job.name}", "syncd run")
        run_id = structlog.contextvars.get_contextvars().get("run_id")
        digest, commit = generation.app.config_digest, generation.commit
        CAUSE.set(Cause(actor=by, run=run_id, config=digest, commit=commit, of_secrets=of_secrets))

    def _look_again(
        self,
        generation: Generation,
        job: Job,
        hinted: Mapping[str, Expected],
        reports: Sequence[SyncReport],
        *,
        failed: bool,
    ) -> bool:
        """What an event named, or somebody asked for, and a lag or a fault kept from being seen, is not spent.

        The job looks again, ever more rarely. `failed`: did a fault keep it from what it was asked for? Returns: is it
        tried again for that?
        """
        lagging = frozenset[str]().union(*(report.lagging for report in reports))
        working = [report for report in reports if not report.rests]
        # What failed may have stood still before it sent what it read.
        expected = unseen(hinted, [{} if report.error else report.numbers for report in working])
        # A pause, another process that has the site, a source that is away: what was named is still to be seen.
        stood_still = any(report.rests or report.error for report in reports)
        left = hinted if stood_still else hinted.keys() & (lagging | expected)
        generation.pending.put_back(job.name, {path: hinted[path] for path in left})
        # What rests looks at nothing before its time; what failed may see it the next time.
        # What lasts, such as a path that is denied, is for the schedule after a quarter of an hour.
        passes = self._waits.get(job.name, FIRST_LOOK) < LAST_LOOK
        is_unfinished = failed and passes
        if lagging or (expected and working) or is_unfinished:
            self._try_again(generation, job.name)
        else:
            self._waits.pop(job.name, None)
        return is_unfinished

    def _try_again(self, generation: Generation, job: str) -> None:
        """Soon, and each time in a row twice as late: a rare schedule is no answer to what passes in a moment."""
        wait = self._waits.get(job, FIRST_LOOK)
        self._waits[job] = min(2 * wait, LAST_LOOK)
        generation.pending.look_anew()
        generation.schedule.run_soon(job, wait)

    def _finished(self, app: App, asked_for: Collection[str], failed: list[bool], report: SyncReport) -> None:
        # Here it is whole: what a run gives back of it has neither outcomes nor failures.
        failed.append(bool(asked_for) and _has_failed(report, asked_for))
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


def _has_failed(report: SyncReport, asked_for: Collection[str]) -> bool:
    """Did a fault keep a run from what was asked for: all of it, or what of source or site holds one of these paths?"""
    last = {outcome.action.name: outcome for outcome in report.outcomes}
    unsent = [outcome for outcome in last.values() if outcome.error is not None]
    # Of a whole job what passes counts; a single secret that is refused for good comes with its own delays.
    if report.error or (WHOLE_JOB in asked_for and any(getattr(item.error, "maybe_done", False) for item in unsent)):
        return True
    places = [PATTERN.split(failure.location)[0] for failure in report.failures]
    places += [ref_of(outcome.action).path for outcome in unsent]
    return any(path.startswith(place) for path in asked_for if path != WHOLE_JOB for place in places)
