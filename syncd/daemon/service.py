"""`syncd run`: start, signals, stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from syncd.config import load
from syncd.daemon.app_builder import AppBuilder
from syncd.daemon.clock_watch import ClockWatch
from syncd.daemon.config_watch import PERIOD
from syncd.daemon.control import Control
from syncd.daemon.event_listeners import EventListeners
from syncd.daemon.generations import Generation, Generations
from syncd.daemon.job_runner import JobRunner
from syncd.daemon.readiness import Readiness
from syncd.daemon.reloads import Reloads
from syncd.daemon.scheduler import JobSchedule
from syncd.errors import SyncdError
from syncd.telemetry.instruments import Instruments
from syncd.telemetry.logs import logger
from syncd.web.server import HttpServer

STOP_SECONDS = 8.0
"""How long a stop waits for what is in flight; what is journaled then is settled by the next start."""


class Daemon:
    """The long-running service."""

    def __init__(self, config: Path, *, commit: str | None = None) -> None:
        """Load the configuration, open its ledger, and start the HTTP server.

        `commit`: the configuration's commit, for the audit trail. Raises `SyncdError` if it cannot start as configured.
        """
        self._log, self._instruments = logger(), Instruments.fresh()
        self._stop, self._wake, self._reload_asked = threading.Event(), threading.Event(), threading.Event()
        builder = AppBuilder(self._instruments, Readiness(), self._stop)
        app = builder.build(load(config))
        self.generations = Generations(Generation(app, JobSchedule(app.settings, self._run_job), commit))
        self._runner = JobRunner(self.generations, builder)
        listeners = EventListeners(self.generations, self._runner)
        self.reloads = Reloads(config, builder, self.generations, listeners, self._run_job)
        self.control = Control(self.generations, self._runner, self.reloads)
        server = app.settings.server
        # Read once now: a token that is missing ends the start, and not the first request.
        named = {f"server.tokens ({item.name})": item.token for item in server.tokens} if server else {}
        for place, credential in ({"server.token": server.token} | named).items() if server else ():
            if credential is not None:
                credential.read(place)
        # Last, because it answers from here on: all that it asks is made.
        self.http = HttpServer(self.control, server.listen) if server else None

    def _run_job(self, name: str) -> None:
        self._runner.run(name)

    def run(self, before_exit: Callable[[], None] = lambda: None) -> int:
        """Work until SIGTERM or SIGINT. Returns: 0 when stopped in good order.

        `before_exit`: called where a run that does not end makes the process exit at once. Raises `SyncdError` if the
        jobs cannot be started.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        first = self.generations.current
        self.reloads.start_first()
        self._log.info(
            "daemon.started",
            jobs=sorted(first.app.settings.jobs),
            listen=self.http.address if self.http else None,
            ledger=first.app.ledger.place,
        )
        clock = ClockWatch()
        while not self._stop.is_set():
            self._wake.wait(PERIOD)
            self._wake.clear()
            self._follow_clock(clock.step())
            if (self._reload_asked.is_set() or self.reloads.watch.was_changed()) and not self._stop.is_set():
                self._reload_asked.clear()
                with suppress(SyncdError):  # it was logged
                    self.reloads.reload()
            self.reloads.tell_what_is_in_force()
            with suppress(SyncdError):  # it is in the log; it is said again in a moment
                self.generations.current.app.ledger.configurations.tell_that_it_lives()
                self.control.pass_on_what_is_left()
                self.control.run_what_was_passed_on()
                self.control.run_what_was_let_go()
        return self.shut_down(before_exit)

    def _follow_clock(self, step: timedelta) -> None:
        """Move the schedules after the clock jumped by `step` (zero: it did not), so that intervals keep their length.

        The ledger is told of a jump forward, so that no pause or rollback ends too early.
        """
        if step:
            hint = "see the machine's clock; schedules go on"
            self._log.warning("clock.jumped", seconds=round(step.total_seconds(), 1), hint=hint)
            self.generations.current.schedule.shift(step)
            # A clock that was set back ends protections late by itself.
            if step > timedelta(0):
                with suppress(SyncdError):  # it is in the log; the ledger is asked again in the next cycle
                    self.generations.current.app.ledger.decisions.note_clock_jump(step)

    # Handlers of signals set events and nothing else: what they ask for is done by the loop above.
    def _on_stop(self, *_: object) -> None:
        self._stop.set()
        self._wake.set()

    def _on_reload(self, *_: object) -> None:
        self._reload_asked.set()
        self._wake.set()

    def shut_down(self, before_exit: Callable[[], None] = lambda: None) -> int:
        """Stop: let the runs under way end, for up to 8 seconds, and leave the rest to the journal and the next start.

        Returns: 0. If a run is still under way, the process exits here, with 0 as well.
        """
        current = self.generations.current
        current.schedule.stop()
        deadline = time.monotonic() + STOP_SECONDS
        while self.generations.busy() and time.monotonic() < deadline:
            self._wake.wait(0.05)
        busy = self.generations.busy()
        self._instruments.traces.close()
        self._log.info("daemon.stopped", unfinished_cycles=busy)
        if self.http:
            self.http.stop()
        with suppress(SyncdError):  # the schedule looks
            self.control.pass_on_what_is_left(stops=True)
        # After the server has stopped: its last refusals are counted as well.
        self.control.end_count()
        if busy:
            before_exit()
            os._exit(0)  # a stalled peer would hold the threads; the journal has what they did
        with suppress(SyncdError):
            current.app.ledger.configurations.leave()
        current.app.close()
        return 0
