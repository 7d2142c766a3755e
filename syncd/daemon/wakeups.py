"""Which jobs an event wakes, and what it named: writes at Vault, changes at AWS, a person's request."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from syncd.domain.job import Job
from syncd.domain.naming import selects_path
from syncd.domain.places import spellings
from syncd.domain.ports import Queue
from syncd.errors import SourceError
from syncd.reconcile.observe.observation_cache import ObservationCache

MOST_NAMED = 1000
"""Paths that one cycle looks at directly because an event named them; the listing tells of the rest."""
REST = 2.0
"""Seconds from one look at whose queue it is to the next."""
BACKOFF_MAX = 60.0
"""Seconds between two tries at a queue that does not answer."""


def jobs_that_sync(
    jobs: Mapping[str, Job], namespaces: Mapping[str, str | None], paths: Iterable[tuple[str | None, str]]
) -> list[str]:
    """The jobs with a rule for one of the (namespace, path) pairs. `namespaces`: by source, None for any."""
    asked = list(paths)

    def takes(job: Job) -> bool:
        here = namespaces[job.source]
        return bool(named_for(job, (path for space, path in asked if space is None or here is None or space == here)))

    return sorted(name for name, job in jobs.items() if takes(job))


def named_for(job: Job, names: Iterable[str]) -> set[str]:
    """The paths by which a job's rules take secrets that an event names: a rule may have the name, or the ARN."""
    texts = [rule.path.text for rule in job.rules]
    called = {path for name in names for path in spellings(name, None, {}, texts)}
    return {path for path in called if any(selects_path(rule, path) for rule in job.rules)}


class PendingEvents:
    """What events named since each job last looked, and the look at the sources that jobs share."""

    def __init__(self, named: defaultdict[str, set[str]] | None = None, lock: threading.Lock | None = None) -> None:
        self._lock = lock or threading.Lock()
        self._named: defaultdict[str, set[str]] = defaultdict(set) if named is None else named
        self._cache = ObservationCache()

    def for_another_configuration(self) -> PendingEvents:
        """What events named goes on when a configuration is replaced; what was looked at under it does not."""
        return PendingEvents(self._named, self._lock)

    def has(self, job: str) -> bool:
        """Did an event name something of the job that it has not looked at yet?"""
        with self._lock:
            return bool(self._named.get(job))

    def put(self, job: str, named: Iterable[str]) -> None:
        """An event: what was looked at before it is old."""
        self.put_back(job, named)
        with self._lock:
            self._cache = ObservationCache()

    def put_back(self, job: str, named: Iterable[str]) -> None:
        """For the job's next run: the one that took these did not look at all of its sites."""
        with self._lock:
            self._named[job] |= set(sorted(named)[: MOST_NAMED - len(self._named[job])])

    def take(self, job: str) -> tuple[ObservationCache, frozenset[str]]:
        """For a run that starts: an observation cache young enough to share, and the paths to look at directly."""
        with self._lock:
            self._cache = self._cache.fresh()
            return self._cache, frozenset(self._named.pop(job, ()))


def listen(
    queue: Queue,
    wake: Callable[[frozenset[str]], object],
    on_error: Callable[[SourceError], None],
    stop: threading.Event,
    rests: Callable[[], bool],
) -> None:
    """Hand a queue's names on until stopped; one that does not answer is asked ever more rarely, and told of once.

    `rests`: is the queue another daemon's for now? What is received is hidden from that one for a while, and a queue
    may give up what was received too often.
    """
    failures = 0
    while not stop.is_set():
        if rests():
            stop.wait(REST)
            continue
        try:
            names, receipts = queue.receive()
            if names:
                wake(names)
            # Taken off the queue once the jobs know: an event that is lost before that comes again.
            queue.done(receipts)
            failures = 0
        except SourceError as error:
            if not failures:
                on_error(error)
            failures += 1
            stop.wait(min(BACKOFF_MAX, 2.0**failures))
