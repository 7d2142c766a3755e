"""`syncd run`: schedules, signals, reload, the HTTP side. The only place that knows APScheduler."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from syncd.bootstrap.app import App, holder, now
from syncd.config import Settings, load
from syncd.config.settings import AwsSettings, VaultSettings
from syncd.daemon.status import Shared, status_of
from syncd.daemon.triggers import EveryTrigger, trigger_for
from syncd.daemon.wakeups import Pending, jobs_that_sync, listen
from syncd.domain import SecretValue, SyncReport
from syncd.domain.naming import selects_path
from syncd.domain.ports import Queue
from syncd.domain.statuses import status_of_record
from syncd.errors import ConfigError, LedgerError, SyncdError
from syncd.reconcile.cycle import sync_job
from syncd.reconcile.record.cycle_result import counts
from syncd.telemetry.events import Events
from syncd.telemetry.logs import logger, safe_traceback
from syncd.telemetry.metrics import Metrics
from syncd.telemetry.traces import traces
from syncd.web.server import HttpServer

DEBOUNCE = timedelta(seconds=0.3)
"""What asks for a job within this time is answered by one run."""
STAGGER = 0.25
"""Seconds between the first runs of two jobs."""
GRACE = 8.0
"""Seconds that a stop gives to what is in flight; what is journaled then is settled by the next start."""
STRANGERS = 2.0
"""Seconds that what needs no token is told again as it was."""
CLOCK_STEP = 2.0
"""Seconds between two looks at the clock, beyond what has passed, that are a jump."""
LOCK_WAIT = timedelta(minutes=5)
WATCH = 3.0
"""Seconds between two looks at the configuration's file."""
RETRY = 60.0
"""Seconds until a refused configuration is tried again."""


def digest_of(config: Path) -> str:
    """What the file says, in short. Raises `OSError`."""
    return hashlib.sha256(config.read_bytes()).hexdigest()


class Daemon:
    """The long-running service."""

    def __init__(self, config: Path) -> None:
        """Raises `SyncdError` when it cannot start as configured."""
        self._config = config
        self._log = logger()
        self._metrics = Metrics()
        self._events = Events(self._metrics)
        self._traces = traces()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._reload_asked = threading.Event()
        self._lock = threading.RLock()
        self._reloading = threading.Lock()
        self._active: dict[int, tuple[App, int]] = {}
        self._tried: set[str] = set()
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._pending = Pending()
        self._read = self._seen = digest_of(config) if config.is_file() else ""
        self._refused_at: float | None = None
        self._missing_since: tuple[float, bool] | None = None
        """Since when the file is not there, and whether that was said."""
        self._token_missing = False
        self._refusal = ""
        self._clock_offset = now().timestamp() - time.monotonic()
        self._stranger = Shared(lambda: self._status(names=False), STRANGERS)
        self._app = self._build(load(config))
        self._scheduler = self._scheduled(self._app)
        self._configured(self._app)
        server = self._app.settings.server
        if server and server.token:
            server.token.read("server.token")
        self._http = HttpServer(self, server.listen) if server else None

    def _build(self, settings: Settings) -> App:
        return App(
            settings,
            stop=self._stop,
            told=self._events.told,
            waits=lambda cause, seconds: self._log.info("cycle.waits", cause=cause, seconds=round(seconds, 1)),
            source_call=self._metrics.source_call,
            request=self._requested,
            expires=self._metrics.expires,
        )

    def _requested(self, target: str, method: str, code: str) -> None:
        """A site was asked: from here on it is tried, even if it makes the cycle wait for minutes."""
        self._metrics.request(target, method, code)
        if f"target {target}" not in self._tried:
            jobs = self._app.settings.jobs.values()
            self._tried |= {f"target {target}", *(f"source {job.source}" for job in jobs if target in job.targets)}

    def _scheduled(self, app: App) -> BackgroundScheduler:
        """The schedules of a configuration, not started. A thread a job: one that waits holds up no other."""
        settings = app.settings
        scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(max(1, len(settings.jobs)))},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        for number, (name, job) in enumerate(sorted(settings.jobs.items())):
            if job.schedule is None:
                self._log.warning("job.unscheduled", job=name, hint="add schedule: {every: 5m}")
                continue
            scheduler.add_job(
                self._run_job,
                trigger_for(job.schedule),
                args=[name],
                id=name,
                next_run_time=now() + timedelta(seconds=min(30.0, STAGGER * number)),
            )
        return scheduler

    def _configured(self, app: App) -> None:
        """Tell the metrics what is configured; what was removed goes."""
        settings = app.settings
        self._metrics.configured(
            {name: job.schedule.interval().total_seconds() for name, job in settings.jobs.items() if job.schedule},
            {name: target.requests_per_second() for name, target in settings.targets.items()},
            {(name, target) for name, job in settings.jobs.items() for target in job.targets},
            set(settings.sources),
        )

    def _queues(self, app: App) -> list[tuple[str, Queue]]:
        """The queues of events of a configuration. Raises `SyncdError`."""
        return [
            (name, app.queue(name, settings))
            for name, settings in app.settings.sources.items()
            if isinstance(settings, AwsSettings) and settings.events is not None
        ]

    def run(self) -> int:
        """Until SIGTERM or SIGINT. 0 when stopped in good order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        queues = self._queues(self._app)
        self._scheduler.start()
        self._listen(self._app, queues)
        self._log.info(
            "daemon.started",
            jobs=sorted(self._app.settings.jobs),
            listen=self._http.address if self._http else None,
            ledger=self._app.ledger.place,
        )
        while not self._stop.is_set():
            self._wake.wait(WATCH)
            self._wake.clear()
            self._see_clock()
            if (self._reload_asked.is_set() or self._was_changed()) and not self._stop.is_set():
                self._reload_asked.clear()
                with suppress(SyncdError):  # it was logged
                    self.reload()
        return self._shut_down()

    def _see_clock(self) -> None:
        """Notice a clock that jumped, and set the schedules right: they are kept as times of the wall clock."""
        offset = now().timestamp() - time.monotonic()
        step, self._clock_offset = offset - self._clock_offset, offset
        if abs(step) < CLOCK_STEP:
            return
        self._log.warning("clock.jumped", seconds=round(step, 1), hint="see the machine's clock; schedules go on")
        with self._lock:
            for job in self._scheduler.get_jobs():
                if isinstance(job.trigger, EveryTrigger):
                    job.trigger.shift(timedelta(seconds=step))
                    due = job.next_run_time + timedelta(seconds=step)
                    job.modify(next_run_time=min(due, now() + job.trigger.longest))
                else:
                    job.modify(next_run_time=job.trigger.get_next_fire_time(None, now()))

    def _was_changed(self) -> bool:
        """Is the file another one than the one in use? A mounted ConfigMap is changed by swapping a link.

        It counts once two looks have seen the same, because an editor may be in the middle of it. One that was
        refused is tried again every minute: what it lacked may have come.
        """
        try:
            now, before = digest_of(self._config), self._seen
        except OSError:
            self._see_missing_file()
            return False
        self._seen = now
        if self._missing_since and self._missing_since[1] and self._refused_at is None:
            self._metrics.reloaded(well=True)
        self._missing_since = None
        if now == self._read:
            return self._refused_at is not None and time.monotonic() - self._refused_at > RETRY
        return now == before

    def _see_missing_file(self) -> None:
        """The file is being swapped, or gone: the configuration in use goes on; said once, when it stays away."""
        now = time.monotonic()
        if self._missing_since is None:
            self._missing_since = (now, False)
        since, said = self._missing_since
        if not said and now - since >= WATCH:
            self._missing_since = (since, True)
            self._metrics.reloaded(well=False)
            hint = "put it back; the configuration in use goes on, and a restart would fail"
            self._log.error("config.missing", file=str(self._config), hint=hint)

    def _listen(self, app: App, queues: list[tuple[str, Queue]]) -> None:
        """A thread for each queue of events; it ends with its configuration."""
        for source, queue in queues:
            options = {"source": source, "queue": queue}
            threading.Thread(target=self._listen_to, args=(app,), kwargs=options, daemon=True).start()

    def _listen_to(self, app: App, *, source: str, queue: Queue) -> None:
        """Hand a queue's names on until its configuration ends; the boundary that no error passes."""
        while not app.ended.is_set():
            try:
                listen(
                    queue,
                    lambda names: self._changed(source, names),
                    lambda error: self._log.warning("events.unreadable", message=error.message, hint=error.hint),
                    app.ended,
                )
            except Exception as error:  # noqa: BLE001  # a boundary, as a cycle's: say it and begin anew
                self._log.error("events.bug", source=source, error=type(error).__name__, where=safe_traceback(error))
                app.ended.wait(RETRY)

    def _changed(self, source: str, names: frozenset[str]) -> None:
        """Secrets of a source were changed: wake its jobs, and let them look at these directly."""
        for job in self._app.world.jobs.values():
            taken = {name for name in names if any(selects_path(rule, name) for rule in job.rules)}
            if job.source == source and taken:
                self.trigger(job.name, taken)

    def _on_stop(self, *_: object) -> None:
        self._stop.set()
        self._wake.set()

    def _on_reload(self, *_: object) -> None:
        self._reload_asked.set()
        self._wake.set()

    def _shut_down(self) -> int:
        """Let what is in flight end; leave the rest to the journal and the next start."""
        self._scheduler.shutdown(wait=False)
        deadline = time.monotonic() + GRACE
        while self._busy() and time.monotonic() < deadline:
            self._wake.wait(0.05)
        busy = self._busy()
        self._traces.close()
        self._log.info("daemon.stopped", unfinished_cycles=busy)
        if self._http:
            self._http.stop()
        if busy:
            os._exit(0)  # a stalled peer would hold the threads; the journal has what they did
        self._app.close()
        return 0

    def _busy(self) -> int:
        with self._lock:
            return sum(count for _, count in self._active.values())

    def _enter(self) -> App:
        with self._lock:
            app, count = self._app, self._active.get(id(self._app), (self._app, 0))[1]
            self._active[id(app)] = (app, count + 1)
            return app

    def _leave(self, app: App) -> None:
        with self._lock:
            count = self._active[id(app)][1] - 1
            self._active[id(app)] = (app, count)
            if count == 0:
                del self._active[id(app)]
                if app is not self._app:
                    app.close()  # of a configuration that was replaced

    def _run_job(self, name: str) -> None:
        """One cycle; the boundary that no error passes."""
        app = self._enter()
        with self._lock:
            self._running.add(name)
            self._again.discard(name)
        structlog.contextvars.bind_contextvars(run_id=uuid.uuid4().hex[:12])
        try:
            job = app.world.jobs.get(name)
            if job is not None:
                tick, named = self._pending.take(name)
                told = partial(self._finished, app)
                sync_job(app.world, job, holder=holder(), wait=LOCK_WAIT, tick=tick, named=named, ended=told)
        except SyncdError as error:
            self._log.error("cycle.failed", job=name, error=error.message, hint=error.hint)
        except Exception as error:  # noqa: BLE001  # the cycle boundary: log it and live
            self._log.error("cycle.bug", job=name, error=type(error).__name__, where=safe_traceback(error))
        finally:
            structlog.contextvars.clear_contextvars()
            self._leave(app)
            with self._lock:
                self._running.discard(name)
                again = name in self._again
            if again and not self._stop.is_set():
                self.trigger(name)

    def _finished(self, app: App, report: SyncReport) -> None:
        job = app.world.jobs[report.job]
        if not isinstance(report.error, (LedgerError, ConfigError)):
            # One that refuses or does not answer is for metrics, alerts and the log: a pod is not restarted for it.
            self._tried |= {f"source {job.source}", f"target {report.target}"}
        statuses: Counter[str] = Counter()
        served = app.served
        site, at = app.world.site_of(report.target), app.world.clock()
        try:
            for tally in app.ledger.tallies(at, site, report.job):
                statuses[status_of_record(tally, served, at)] += tally.count
            statuses.update(app.ledger.troubles_without_rows(site, report.job))
        except LedgerError as error:
            self._log.error("ledger.unreadable", error=error.message, hint=error.hint)
        self._metrics.finished(report, statuses)
        self._events.finished(report, counts(report))
        self._traces.finished(report, counts(report), structlog.contextvars.get_contextvars().get("run_id", ""))

    # What the HTTP side asks.

    def reload(self) -> None:
        """Load the configuration again, one at a time. Raises `SyncdError`; the old one goes on then."""
        with self._reloading:
            self._reload()

    def _reload(self) -> None:
        with suppress(OSError):
            self._read = digest_of(self._config)
        fresh: App | None = None
        try:
            fresh = self._build(load(self._config))
            self._take_over(fresh, self._scheduled(fresh), self._queues(fresh))
        except Exception as error:  # noqa: BLE001  # whatever it is, the configuration in use goes on
            if fresh is not None:
                fresh.close()
            raise self._refuse(error) from None
        self._refused_at, self._refusal = None, ""
        self._metrics.reloaded(well=True)
        self._log.info("config.reloaded", jobs=sorted(fresh.settings.jobs))

    def _refuse(self, error: Exception) -> SyncdError:
        """Say why the file's configuration is not taken; once, as long as it is the same. Returns: the error."""
        if not isinstance(error, SyncdError):
            where = safe_traceback(error)
            self._log.error("config.bug", error=type(error).__name__, where=where)
            error = ConfigError(f"it cannot be taken over ({type(error).__name__})", hint="run: syncd check")
        self._metrics.reloaded(well=False)
        self._refused_at = time.monotonic()
        problems = list(getattr(error, "problems", ()))
        known, self._refusal = self._refusal, f"{error} {problems}"
        tell = self._log.debug if known == self._refusal else self._log.error
        tell("config.refused", error=error.message, hint=error.hint, problems=problems)
        return error

    def _take_over(self, fresh: App, following: BackgroundScheduler, queues: list[tuple[str, Queue]]) -> None:
        """Put a configuration that is whole in the place of the old one; what fails half-way is undone."""
        with self._lock:
            old, scheduler, pending = self._app, self._scheduler, self._pending
            self._app, self._scheduler, self._pending = fresh, following, Pending()
        try:
            self._configured(fresh)
            following.start()
            self._listen(fresh, queues)
        except BaseException:
            with self._lock:
                self._app, self._scheduler, self._pending = old, scheduler, pending
            self._configured(old)
            with suppress(Exception):
                following.shutdown(wait=False)
            raise
        old.ended.set()
        scheduler.shutdown(wait=False)
        with self._lock:
            idle = id(old) not in self._active
        if idle:
            old.close()
        if fresh.settings.server != old.settings.server:
            self._log.warning("config.restart_needed", hint="another server.listen counts from the next start on")

    def trigger(self, job: str, named: Iterable[str] = ()) -> bool:
        """Let a job run soon, once for all that asks within a moment; one that is running runs once more."""
        with self._lock:
            found = self._scheduler.get_job(job)
            if found is None:
                return False
            self._pending.put(job, named)
            if job in self._running:
                self._again.add(job)
            elif found.next_run_time is None or found.next_run_time > now() + DEBOUNCE:
                found.modify(next_run_time=now() + DEBOUNCE)
        return True

    def wake(self, paths: Iterable[tuple[str | None, str]]) -> list[str]:
        """Let the jobs run soon that sync one of these (namespace or None for any, path)."""
        sources = self._app.settings.sources
        namespaces = {
            name: one.namespace.strip("/") if isinstance(one, VaultSettings) else None for name, one in sources.items()
        }
        return [job for job in jobs_that_sync(self._app.world.jobs, namespaces, paths) if self.trigger(job)]

    def token(self) -> SecretValue[str] | None:
        """The bearer token as it is now. Raises `ConfigError`, and says so in the log once, as long as it is so."""
        server = self._app.settings.server
        if server is None or server.token is None:
            return None
        try:
            token = server.token.read("server.token")
        except ConfigError as error:
            if not self._token_missing:
                self._log.error("token.unreadable", error=error.message, hint=error.hint)
            self._token_missing = True
            raise
        self._token_missing = False
        return token

    def configuration(self) -> str:
        """What is wrong with the configuration file, while the one before goes on; empty if nothing is."""
        if self._refused_at is not None:
            return f"refused, the one before goes on: {self._refusal.partition(' [')[0]}"
        if self._missing_since is not None and self._missing_since[1]:
            return f"{self._config} is not there any more; the one in use goes on"
        return ""

    def metrics(self) -> bytes:
        """The exposition."""
        return self._metrics.text()

    def ready(self) -> list[str]:
        """Sources and targets of scheduled jobs that no cycle has tried yet."""
        settings = self._app.settings
        jobs = [job for job in settings.jobs.values() if job.schedule is not None]
        wanted = {f"source {job.source}" for job in jobs} | {f"target {t}" for job in jobs for t in job.targets}
        return [f"{one}: no cycle has tried it yet" for one in sorted(wanted - self._tried)]

    def status(self, *, names: bool) -> dict[str, Any]:
        """Jobs, their last and next run, and counts. What a stranger asks costs the same however often it is asked."""
        return self._status(names=True) if names else self._stranger()

    def _status(self, *, names: bool) -> dict[str, Any]:
        with self._lock:
            app, scheduler = self._app, self._scheduler
        following = {name: getattr(scheduler.get_job(name), "next_run_time", None) for name in app.world.jobs}
        told = status_of(app.ledger, app.served, app.world.clock(), following, names=names)
        wrong = self.configuration()
        told["configuration"] = wrong if names or not wrong else "the file is refused or missing; see the log"
        return {"ready": not self.ready(), **told}
