"""When a job is tried again before its schedule: after a request that failed, or because a server lags."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Collection
from datetime import timedelta

from syncd.daemon.asked_for import KEPT

FIRST, LAST = timedelta(seconds=2), timedelta(minutes=10)
"""The shortest and the longest wait. Between them, each wait is as long as the tries have been going on."""
REMEMBERED = 3600.0
"""Seconds for which it is remembered that a path lagged, from when that was last seen."""


class Retries:
    """Tells after each run of a job in how long to try it again. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}
        """By job: when a run was last asked for, until a run has done that."""
        self._configured: dict[str, str] = {}
        self._row: dict[str, float] = {}
        """When the first of the tries in a row failed, whatever failed in each."""
        self._since: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """Since when each place has failed in every run."""
        self._lags: defaultdict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
        """When each path lagged first, and last."""

    def begins(self, job: str, configuration: str) -> float:
        """Note that a run begins, which does what was asked for until now. Returns: this moment, for `wait`.

        `configuration`: its digest. The first run of a job under a configuration counts as asked for.
        """
        with self._lock:
            now = time.monotonic()
            if self._configured.get(job) != configuration:
                self._configured[job] = configuration
                self._asked[job] = now
            return now

    def asked(self, job: str, paths: Collection[str] | None = None) -> None:
        """Note that a run is asked for. For how long its paths have failed or lagged is counted anew.

        `paths`: what an event is about; None: everything is to be tried anew, as a person wants.
        """
        now = time.monotonic()
        with self._lock:
            self._asked[job] = now
            for place in {*self._since[job], *self._lags[job]} if paths is None else paths:
                self._since[job].pop(place, None)
                self._lags[job].pop(place, None)
            # However often events come, what fails all the while is not tried each two seconds.
            if paths is None or now - self._row.get(job, now) > LAST.total_seconds():
                self._row.pop(job, None)

    def wait(
        self,
        job: str,
        faults: Collection[str] = (),
        lagging: Collection[str] = (),
        away: Collection[str] = (),
        *,
        began: float,
    ) -> timedelta | None:
        """Return how long to wait after a run until the job is tried again; None: as long as its schedule says.

        `began`: what `begins` returned for the run. `faults`: the places that failed; `away`: the whole sites or
        sources that failed. For both there are tries for a quarter of an hour, and only if somebody asked for a run. A
        place that keeps failing, such as a path that is denied, is left to the schedule. `lagging`: the paths whose new
        version is sure to come; they are waited for longer.
        """
        with self._lock:
            ages = [*self._age_of_tries(job, faults, away, began), *self._age_of_lag(job, lagging)]
        return min(max(timedelta(seconds=min(ages)), FIRST), LAST) if ages else None

    def _age_of_tries(self, job: str, faults: Collection[str], away: Collection[str], run_began: float) -> list[float]:
        now, before = time.monotonic(), self._since[job]
        since = self._since[job] = {place: before.get(place, now) for place in faults}
        began = self._row.get(job, now)
        may_pass = bool(away) or any(now - at < KEPT for at in since.values())
        if not (job in self._asked and may_pass) or now - began >= KEPT:
            # Who asks while a run is under way asks for the next one.
            if self._asked.get(job, now) <= run_began:
                self._asked.pop(job, None)
            self._row.pop(job, None)
            return []
        self._row[job] = began
        return [now - began]

    def _age_of_lag(self, job: str, lagging: Collection[str]) -> list[float]:
        now, before = time.monotonic(), self._lags[job]
        # One that lagged a moment ago lags on: servers that answer in turn are asked ever more rarely as well.
        kept = {path: times for path, times in before.items() if now - times[1] <= REMEMBERED}
        self._lags[job] = kept | {path: (kept.get(path, (now, now))[0], now) for path in lagging}
        return [now - max(self._lags[job][path][0] for path in lagging)] if lagging else []
