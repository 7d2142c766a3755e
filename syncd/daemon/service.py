"""`syncd run`: start, signals, reload, stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from syncd.audit_sinks.shipper import Shipper
from syncd.bootstrap.app import App, Surroundings
from syncd.bootstrap.process import now
from syncd.bootstrap.sources import SourceHooks
from syncd.config import Settings, load
from syncd.config.settings import Server
from syncd.daemon.config_watch import PERIOD, ConfigWatch
from syncd.daemon.control import Control
from syncd.daemon.event_listeners import EventListeners
from syncd.daemon.generations import Generation, Generations
from syncd.daemon.job_runner import JobRunner
from syncd.daemon.readiness import Readiness
from syncd.daemon.scheduler import JobSchedule
from syncd.domain.audit import CAUSE, Actor, Cause, Entry
from syncd.errors import SyncdError
from syncd.telemetry.events import Events
from syncd.telemetry.logs import logger
from syncd.telemetry.metrics import Metrics
from syncd.telemetry.traces import traces
from syncd.web.server import HttpServer

STOP_SECONDS = 8.0
"""How long a stop waits for what is in flight; what is journaled then is settled by the next start."""
CLOCK_STEP = 2.0
"""Seconds between two looks at the clock, beyond what has passed, that are a jump."""


class Daemon:
    """The long-running service."""

    def __init__(self, config: Path, *, commit: str | None = None) -> None:
        """`commit`: of the configuration, for the audit trail. Raises `SyncdError` if it cannot start as configured."""
        self._config, self._commit = config, commit
        self._log = logger()
        self._metrics = Metrics()
        self._events = Events(self._metrics)
        self._traces = traces()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._reload_asked = threading.Event()
        self._reloading = threading.Lock()
        self._readiness = Readiness()
        self._clock_offset = now().timestamp() - time.monotonic()
        self.watch = ConfigWatch(config, self._metrics)
        app = self._build(load(config))
        self.generations = Generations(Generation(app, JobSchedule(app.settings, self._run_job)))
        self._runner = JobRunner(
            self.generations, self._events, self._metrics, self._traces, self._readiness, self._stop, commit
        )
        self._listeners = EventListeners(self.generations, self._runner)
        self._configured(app)
        self._in_force(app)
        self.control = Control(self.generations, self._runner, self._readiness, self.watch, self._metrics, self.reload)
        server = app.settings.server
        if server and server.token:
            server.token.read("server.token")
        self._listen = server.listen if server else None
        self.http = HttpServer(self.control, server.listen) if server else None

    def _build(self, settings: Settings) -> App:
        around = Surroundings(
            stop=self._stop,
            observer=self._events,
            waits=lambda cause, seconds: self._log.info("cycle.waits", cause=cause, at_most_seconds=round(seconds, 1)),
            source_hooks=SourceHooks(on_call=self._metrics.source_call, on_expiry=self._metrics.expires),
            on_request=self._requested,
        )
        app = App(settings, around)
        shipper = Shipper(app, prints=True)
        app.after_run.append(lambda: self._metrics.audit_unshipped(shipper.backlog()))
        return app

    def _requested(self, target: str, method: str, code: str) -> None:
        self._metrics.request(target, method, code)
        self._readiness.requested(target, self.generations.current.app.settings)

    def _run_job(self, name: str) -> None:
        self._runner.run(name)

    def _in_force(self, app: App) -> None:
        """Say in the audit trail which configuration counts from here on."""
        by = Actor("system", "syncd", "syncd run")
        CAUSE.set(Cause(actor=by, config=app.config_digest, commit=self._commit))
        app.note_in_force()

    def _note_refused(self, refused: SyncdError) -> None:
        with suppress(SyncdError):  # it is in the log as well
            self.generations.current.app.ledger.audit.note(
                Entry(event="config.refused", detail={"error": refused.message})
            )

    def _configured(self, app: App) -> None:
        """Tell the metrics what is configured; what was removed goes."""
        settings = app.settings
        self._metrics.configured(
            {name: job.schedule.interval().total_seconds() for name, job in settings.jobs.items() if job.schedule},
            {name: target.requests_per_second() for name, target in settings.targets.items()},
            {(name, target) for name, job in settings.jobs.items() for target in job.targets},
            set(settings.sources),
        )

    def run(self) -> int:
        """Work until SIGTERM or SIGINT. Returns: 0 when stopped in good order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        first = self.generations.current
        queues = self._listeners.queues_of(first.app)
        first.schedule.start()
        self._listeners.start(first.app, queues)
        self._log.info(
            "daemon.started",
            jobs=sorted(first.app.settings.jobs),
            listen=self.http.address if self.http else None,
            ledger=first.app.ledger.place,
        )
        while not self._stop.is_set():
            self._wake.wait(PERIOD)
            self._wake.clear()
            self._see_clock()
            if (self._reload_asked.is_set() or self.watch.was_changed()) and not self._stop.is_set():
                self._reload_asked.clear()
                with suppress(SyncdError):  # it was logged
                    self.reload()
        return self.shut_down()

    def _see_clock(self) -> None:
        """Notice a clock that jumped, and set the schedules right."""
        offset = now().timestamp() - time.monotonic()
        step, self._clock_offset = offset - self._clock_offset, offset
        if abs(step) < CLOCK_STEP:
            return
        self._log.warning("clock.jumped", seconds=round(step, 1), hint="see the machine's clock; schedules go on")
        self.generations.current.schedule.shift(timedelta(seconds=step))

    def _on_stop(self, *_: object) -> None:
        self._stop.set()
        self._wake.set()

    def _on_reload(self, *_: object) -> None:
        self._reload_asked.set()
        self._wake.set()

    def reload(self) -> None:
        """Load the configuration again, one at a time. Raises `SyncdError`; the one before goes on then."""
        with self._reloading:
            self.watch.loading()
            try:
                fresh = self._build(load(self._config))
                self._take_over(fresh)
            except Exception as error:  # noqa: BLE001  # whatever it is, the configuration in use goes on
                refused = self.watch.refused(error)
                self._note_refused(refused)
                raise refused from None
            self._in_force(fresh)
            self.watch.loaded()
            self._log.info("config.reloaded", jobs=sorted(fresh.settings.jobs))
            self._see_whether_a_restart_is_needed(fresh.settings.server)

    def _see_whether_a_restart_is_needed(self, server: Server | None) -> None:
        """The server is bound once: say so while another address is configured than the one it answers at."""
        if (server.listen if server else None) != self._listen:
            hint = "another server.listen counts from the next start on"
            self._log.warning("config.restart_needed", hint=hint)

    def _take_over(self, fresh: App) -> None:
        """Put a configuration that is whole in force; what fails half-way is undone."""
        current = self.generations.current
        kept = current.schedule.unchanged(current.app.settings, fresh.settings)
        kept = {name: at for name, at in kept.items() if not current.pending.has(name)}
        try:
            generation = Generation(fresh, JobSchedule(fresh.settings, self._run_job, kept))
            queues = self._listeners.queues_of(fresh)
        except BaseException:
            fresh.close()
            raise

        def begin(following: Generation) -> None:
            self._configured(following.app)
            following.schedule.start()
            self._listeners.start(following.app, queues)

        try:
            self.generations.replace(generation, begin)
        except BaseException:
            self._configured(self.generations.current.app)
            raise

    def shut_down(self) -> int:
        """Let what is in flight end; leave the rest to the journal and the next start."""
        current = self.generations.current
        current.schedule.stop()
        deadline = time.monotonic() + STOP_SECONDS
        while self.generations.busy() and time.monotonic() < deadline:
            self._wake.wait(0.05)
        busy = self.generations.busy()
        self._traces.close()
        self._log.info("daemon.stopped", unfinished_cycles=busy)
        if self.http:
            self.http.stop()
        if busy:
            os._exit(0)  # a stalled peer would hold the threads; the journal has what they did
        current.app.close()
        return 0
