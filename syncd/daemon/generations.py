"""The configuration in force, and older ones that still have cycles under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from syncd.bootstrap.app import App
from syncd.daemon.scheduler import JobSchedule
from syncd.daemon.wakeups import PendingEvents


@dataclass(slots=True, eq=False)
class Generation:
    """One configuration with all that the daemon holds for it."""

    app: App
    schedule: JobSchedule
    commit: str | None = None
    """The configuration's commit, as whoever started the daemon gave it; None after a reload brought another one."""
    pending: PendingEvents = field(default_factory=PendingEvents)
    runs: int = 0
    """Runs of jobs that are under way under this configuration."""


class Generations:
    """Old and new configuration side by side: a cycle ends under the one that it began with."""

    def __init__(self, first: Generation) -> None:
        self._lock = threading.RLock()
        self._current = first
        self._replaced: list[Generation] = []
        """No longer in force, and not closed yet."""

    @property
    def current(self) -> Generation:
        """The one in force."""
        with self._lock:
            return self._current

    @contextmanager
    def running(self) -> Iterator[Generation]:
        """The configuration in force now; it is not closed while the block runs, even if a reload replaces it."""
        with self._lock:
            generation = self._current
            generation.runs += 1
        try:
            yield generation
        finally:
            with self._lock:
                generation.runs -= 1
            # The last cycle of a configuration that was replaced is what closes it.
            self._close_idle()

    def busy(self) -> int:
        """Return how many runs of jobs are under way, under any configuration."""
        with self._lock:
            return sum(generation.runs for generation in (self._current, *self._replaced))

    def replace(self, fresh: Generation, begin: Callable[[Generation], None]) -> None:
        """Put `fresh` in force and let it begin; the one before is stopped.

        Raises: whatever `begin` raises; the one before is in force again then.
        """
        # In force before it begins: a job that starts at once has to run under the new one.
        with self._lock:
            before, self._current = self._current, fresh
        try:
            begin(fresh)
        except BaseException:
            with self._lock:
                self._current = before
            self._retire(fresh)
            raise
        # Not before the new one has begun: until then this one may have to go on.
        self._retire(before)

    def _retire(self, generation: Generation) -> None:
        """Stop the schedule of a generation, and close the generation once its runs have ended."""
        generation.app.ended.set()
        with suppress(Exception):  # a schedule that never started
            generation.schedule.stop()
        with self._lock:
            self._replaced.append(generation)
        self._close_idle()

    def _close_idle(self) -> None:
        with self._lock:
            idle = [generation for generation in self._replaced if generation.runs == 0]
            self._replaced = [generation for generation in self._replaced if generation.runs]
        # Not under the lock: closing ships lines of the trail, and a sink may be slow.
        for generation in idle:
            generation.app.close()
