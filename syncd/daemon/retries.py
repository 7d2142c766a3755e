"""When a job that somebody asked for, or that met a server which lags, is tried again before its schedule says so."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Collection
from datetime import timedelta

from syncd.daemon.asked_for import KEPT

FIRST, LAST = timedelta(seconds=2), timedelta(minutes=10)
"""The shortest and the longest wait: each is as long as it has been going on."""


class Retries:
    """What keeps each job from what was asked of it, and since when."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._asked: set[str] = set()
        self._seen: set[str] = set()

    def begin_anew(self) -> None:
        """The next run of each job is its first one."""
        with self._lock:
            self._seen.clear()

    def asked(self, job: str, paths: Collection[str] = ()) -> None:
        """Somebody asks for a run. `paths`: what it is about; without any everything is tried anew."""
        with self._lock:
            self._asked.add(job)
            known = self._since[job]
            for place in paths or tuple(known):
                known.pop(place, None)

    def wait(self, job: str, faults: Collection[str], lagging: Collection[str] = ()) -> timedelta | None:
        """A run has ended. Returns: in how long to try again; None: by the schedule.

        `faults`: the places that did not work, for a quarter of an hour and only where somebody asked: what lasts, such
        as a path that is denied, is for the schedule. `lagging`: what is sure to come, and is waited for longer.
        """
        now = time.monotonic()
        with self._lock:
            # What a job does first is what its configuration was just given for.
            is_asked = job in self._asked or job not in self._seen
            self._seen.add(job)
            before = self._since[job]
            since = self._since[job] = {place: before.get(place, now) for place in {*faults, *lagging}}
            due = [at for place, at in since.items() if place in lagging or (is_asked and now - at < KEPT)]
            if not due:
                self._asked.discard(job)
                return None
            self._asked.update({job} if is_asked else ())
            return min(max(timedelta(seconds=now - max(due)), FIRST), LAST)
