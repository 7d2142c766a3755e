"""Put another configuration in force while the daemon runs, whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from syncd.bootstrap.app import App
from syncd.bootstrap.process import holder
from syncd.config import load
from syncd.config.settings import Server
from syncd.daemon.app_builder import AppBuilder
from syncd.daemon.config_watch import ConfigWatch
from syncd.daemon.event_listeners import EventListeners
from syncd.daemon.generations import Generation, Generations
from syncd.daemon.scheduler import JobSchedule
from syncd.domain.audit import CAUSE, RUN, Actor, Cause, Entry
from syncd.errors import SyncdError
from syncd.telemetry.logs import logger

SYNCD = Actor("system", "syncd", RUN)
"""Who loads a file that changed, or that a signal asks for."""


class Reloads:
    """Loads the file again, one reload at a time."""

    def __init__(
        self,
        file: Path,
        builder: AppBuilder,
        generations: Generations,
        listeners: EventListeners,
        run_job: Callable[[str], None],
    ) -> None:
        self.watch = ConfigWatch(file, builder.instruments.metrics)
        self._file, self._builder, self._run_job = file, builder, run_job
        self._generations, self._listeners = generations, listeners
        self._turn = threading.Lock()
        server = generations.current.app.settings.server
        self._listen = server.listen if server else None
        self._owes = False
        """Is the line about the configuration in force still missing in the audit trail?"""
        self._asked_by = SYNCD

    def start_first(self) -> None:
        """Put the daemon's first configuration in force: let its jobs run, and listen to its queues.

        Raises `SyncdError`.
        """
        first = self._generations.current
        self._tell_metrics(first.app)
        # Before any job runs: where a queue cannot be made, nothing starts.
        queues = self._listeners.queues_of(first.app)
        # Only now: one that could not start as configured was never in force. From here on a daemon with an older one
        # sends nothing: they would undo each other's work in turn.
        first.app.ledger.configurations.load(first.app.config_digest, holder())
        self._note_in_force(first)
        first.schedule.start()
        self._listeners.start(first.app, queues)

    def reload(self, by: Actor = SYNCD) -> None:
        """Load the configuration again. `by`: who asked. Raises `SyncdError`; the one before goes on then."""
        with self._turn:
            # Before the file is read: a change that comes meanwhile is news again.
            self.watch.loading()
            before = self._generations.current.app.ledger.place
            try:
                fresh = self._builder.build(load(self._file))
                self._take_over(fresh)
                with suppress(SyncdError):  # it is in force all the same, and said again within a minute
                    fresh.ledger.configurations.load(fresh.config_digest, holder())
            except Exception as error:  # noqa: BLE001  # whatever it is, the configuration in use goes on
                refused = self.watch.refused(error)
                # It is tried again every minute, and refused each time.
                if self.watch.is_news:
                    self._note_refused(refused, by)
                raise refused from None
            # Only now: the line says what counts, and a configuration that was refused never did.
            self._owes, self._asked_by = True, by
            self.watch.loaded()
            self.tell_what_is_in_force()
            logger().info("config.reloaded", jobs=sorted(fresh.settings.jobs))
            self._see_whether_a_restart_is_needed(fresh.settings.server)
            if fresh.ledger.place != before:
                hint = "what people decided and the audit trail stay in the one before; see: syncd state export --full"
                logger().warning("config.another_ledger", ledger=fresh.ledger.place, before=before, hint=hint)

    def tell_what_is_in_force(self) -> None:
        """Write into the audit trail which configuration is in force, if the last such line is about another one.

        The daemon calls this again and again: a load may have failed to write the line, and another daemon that had a
        newer configuration may be gone. While this daemon rests, nothing is written.
        """
        try:
            if not self._generations.current.app.ledger.configurations.why_it_rests():
                self._note_in_force(self._generations.current)
                self._owes, self._asked_by = False, SYNCD
        except SyncdError as error:
            if self._owes:
                logger().error("ledger.unreadable", error=error.message, hint=error.hint)

    def _take_over(self, fresh: App) -> None:
        """Put a configuration that is whole in force; what fails half-way is undone."""
        current = self._generations.current
        # A reload is no reason to run jobs that stay as they are.
        kept = current.schedule.unchanged(current.app.settings, fresh.settings)
        # What an event named and nobody looked at yet is not put off until the next time on the schedule.
        kept = {name: at for name, at in kept.items() if not current.pending.has(name)}
        try:
            # All that may fail is made before anything is replaced.
            # A commit that was said at the start is not that of a file which changed since: none is better than a
            # false one.
            commit = current.commit if fresh.config_digest == current.app.config_digest else None
            schedule = JobSchedule(fresh.settings, self._run_job, kept)
            generation = Generation(fresh, schedule, commit, current.pending.for_another_configuration())
            queues = self._listeners.queues_of(fresh)
        except BaseException:
            # Nothing is shipped, removed or told by a file that was refused.
            fresh.after_run.drop()
            fresh.close()
            raise

        def begin(following: Generation) -> None:
            self._tell_metrics(following.app)
            following.schedule.start()
            self._listeners.start(following.app, queues)

        try:
            self._generations.replace(generation, begin)
        except BaseException:
            # `begin` may have told of the new one: gauges are those of what is in force.
            self._tell_metrics(self._generations.current.app)
            raise

    def _tell_metrics(self, app: App) -> None:
        """Tell the metrics what is configured; gauges of what was removed go."""
        settings = app.settings
        scheduled = {name: job.schedule for name, job in settings.jobs.items() if job.schedule}
        self._builder.instruments.metrics.configured(
            {name: schedule.interval().total_seconds() for name, schedule in scheduled.items()},
            {name: schedule.longest_gap().total_seconds() for name, schedule in scheduled.items()},
            {name: target.requests_per_second() for name, target in settings.targets.items()},
            {(name, target) for name, job in settings.jobs.items() for target in job.targets},
            set(settings.sources),
        )
        promised = {name: job.objective for name, job in settings.jobs.items() if job.objective}
        self._builder.instruments.metrics.objectives({name: item.total_seconds() for name, item in promised.items()})

    def _note_in_force(self, generation: Generation) -> None:
        app = generation.app
        CAUSE.set(Cause(actor=self._asked_by, config=app.config_digest, commit=generation.commit))
        app.note_in_force()

    def _note_refused(self, refused: SyncdError, by: Actor) -> None:
        app = self._generations.current.app
        CAUSE.set(Cause(actor=by, config=app.config_digest, commit=self._generations.current.commit))
        with suppress(SyncdError):  # it is in the log as well
            entry = Entry(event="config.refused", detail={"error": refused.message})
            app.ledger.audit.note(entry)

    def _see_whether_a_restart_is_needed(self, server: Server | None) -> None:
        """Warn if another address is configured than the server answers at: it is bound once, at the start."""
        if (server.listen if server else None) != self._listen:
            hint = "another server.listen counts from the next start on"
            logger().warning("config.restart_needed", hint=hint)
