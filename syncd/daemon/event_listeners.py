"""A thread for each queue of events: it hands the names on to the jobs that sync them."""

from __future__ import annotations

import threading

from syncd.bootstrap.app import App
from syncd.config.settings import AwsSettings
from syncd.daemon.asked_for import Ask
from syncd.daemon.generations import Generations
from syncd.daemon.job_runner import JobRunner
from syncd.daemon.wakeups import listen, named_for
from syncd.domain.audit import Actor
from syncd.domain.ports import Queue
from syncd.errors import LedgerError, SourceError
from syncd.telemetry.logs import logger, safe_traceback

RETRY = 60.0
"""Seconds until a listener that met a bug begins anew."""

Queues = list[tuple[str, Queue]]
"""Pairs of a source's name and its queue."""


class EventListeners:
    """Starts a thread for each queue of a configuration; it stops when its configuration is replaced."""

    def __init__(self, generations: Generations, runner: JobRunner) -> None:
        self._generations, self._runner, self._log = generations, runner, logger()

    def queues_of(self, app: App) -> Queues:
        """The queues of a configuration, not asked yet. Raises `SyncdError`."""
        return [
            (name, app.queue(name, settings))
            for name, settings in app.settings.sources.items()
            if isinstance(settings, AwsSettings) and settings.events is not None
        ]

    def start(self, app: App, queues: Queues) -> None:
        """Listen to each queue until the configuration ends."""
        for source, queue in queues:
            threading.Thread(target=self._listen, args=(app, source, queue), daemon=True).start()

    def _listen(self, app: App, source: str, queue: Queue) -> None:
        """Listen to one queue until its configuration ends. No error passes this boundary.

        A bug is logged, and a minute later the listener begins again.
        """
        while not app.ended.is_set():
            try:
                listen(
                    queue,
                    lambda names: self._changed(source, names),
                    lambda error: self._log.warning("events.unreadable", message=error.message, hint=error.hint),
                    app.ended,
                    self._rests,
                )
            except Exception as error:  # noqa: BLE001  # a boundary, as a cycle's: say it and begin anew
                self._log.error("events.bug", source=source, error=type(error).__name__, where=safe_traceback(error))
                app.ended.wait(RETRY)

    def _rests(self) -> bool:
        """Is the queue to be left alone: does another daemon work in this one's place, or can nobody know?"""
        try:
            return bool(self._generations.current.app.ledger.configurations.why_it_rests())
        except LedgerError:
            return True

    def _changed(self, source: str, names: frozenset[str]) -> None:
        """Secrets of a source were changed: let its jobs run, and look at these directly.

        Raises `SourceError` where another daemon began to work meanwhile: the message comes again, to that one.
        """
        app = self._generations.current.app
        if self._rests():
            raise SourceError(
                f"source {source}: its events are left to the daemon with the newer configuration",
                hint="give both the same file; see docs/ledger.md, One configuration",
            )
        for job in app.runtime.jobs.values():
            selected = named_for(job, names) if job.source == source else ()
            if selected:
                by = Actor("event", f"queue of {source}", f"{len(selected)} secrets")
                self._runner.trigger(job.name, selected, ask=Ask(by=by, about=tuple(selected)))
