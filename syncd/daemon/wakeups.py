"""Which jobs an event wakes, and what it named: writes at Vault, changes at AWS, a person's request."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from syncd.domain.job import Job
from syncd.domain.naming import selects_path
from syncd.domain.places import spellings
from syncd.domain.ports import Queue
from syncd.domain.source import latest
from syncd.errors import SourceError
from syncd.reconcile.observe.observation_cache import ObservationCache

MOST_NAMED = 1000
"""Paths that one cycle looks at directly because an event named them; the listing tells of the rest."""
EXPECTED = 60.0
"""Seconds for which a path that an event named is looked at again while it has the version of before."""
REST = 2.0
"""Seconds from one look at whose queue it is to the next."""
BACKOFF_MAX = 60.0
"""Seconds between two tries at a queue that does not answer."""


def jobs_that_sync(
    jobs: Mapping[str, Job], namespaces: Mapping[str, str | None], paths: Iterable[tuple[str | None, str]]
) -> dict[str, set[str]]:
    """The jobs with a rule for one of the (namespace, path) pairs, and the paths by which they take them.

    `namespaces`: by source, None for any.
    """
    asked, found = list(paths), dict[str, set[str]]()
    for name, job in sorted(jobs.items()):
        here = namespaces[job.source]
        named = named_for(job, (path for space, path in asked if space is None or here is None or space == here))
        if named:
            found[name] = named
    return found


def named_for(job: Job, names: Iterable[str]) -> set[str]:
    """The paths by which a job's rules take secrets that an event names: a rule may have the name, or the ARN."""
    texts = [rule.path.text for rule in job.rules]
    called = {path for name in names for path in spellings(name, None, {}, texts)}
    return {path for path in called if any(selects_path(rule, path) for rule in job.rules)}


@dataclass(frozen=True, slots=True)
class Expected:
    """How a path that an event named is looked for."""

    until: float = 0.0
    """For so long (monotonic seconds); what is over is looked at once."""
    version: int = 0
    """Until each site's look has read this version, or a later one; 0: for the whole time."""

    def and_(self, other: Expected | None) -> Expected:
        """Both at once."""
        if other is None:
            return self
        return Expected(max(self.until, other.until), latest(self.version, other.version))


ONCE = Expected()


def unseen(named: Mapping[str, Expected], looks: Sequence[Mapping[str, int]]) -> set[str]:
    """Which of these paths are to be looked at again. `named`: as it was taken.

    `looks`: for each site, of what an event named the version that was read (`SyncReport.numbers`). Only a version that
    is told, and was read for every site, ends it early: whatever else a look shows, a server may have been behind.
    """
    now = time.monotonic()
    read = {path: min((look.get(path, 0) for look in looks), default=0) for path in named}
    return {path for path, item in named.items() if item.until > now and not 0 < item.version <= read[path]}


def fresh(named: Mapping[str, Expected], *, rests: bool) -> set[str]:
    """Which of these paths to look at directly where a site rests, though they were seen for the others.

    It may rest for a moment alone; after a minute the listing of its first cycle tells all that was named.
    """
    return unseen(named, []) if rests else set()


class _Shared:
    """What outlasts the replacement of a configuration."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.named: defaultdict[str, dict[str, Expected]] = defaultdict(dict)
        """By job, what events named."""


class PendingEvents:
    """What events named since each job last looked, and the look at the sources that jobs share."""

    def __init__(self, shared: _Shared | None = None) -> None:
        self._shared = shared or _Shared()
        self._lock = self._shared.lock
        self._named = self._shared.named
        self._cache = ObservationCache()

    def for_another_configuration(self) -> PendingEvents:
        """What events named goes on when a configuration is replaced; what was looked at under it does not."""
        return PendingEvents(self._shared)

    def has(self, job: str) -> bool:
        """Did an event name something of the job that it has not looked at yet?"""
        with self._lock:
            return bool(self._named.get(job))

    def put(self, job: str, named: Iterable[str], *, expected: Mapping[str, int] | None = None) -> None:
        """An event: what was looked at before it is old.

        `expected`: a server may not have yet what it tells of, so each of these paths is looked at for a while, until
        it has this version (0: another one).
        """
        until = time.monotonic() + EXPECTED
        self.put_back(job, dict.fromkeys(named, ONCE))
        self.put_back(job, {path: Expected(until, version) for path, version in (expected or {}).items()})
        self.look_anew()

    def look_anew(self) -> None:
        """What was looked at is old for whoever asks from now on."""
        with self._lock:
            self._cache = ObservationCache()

    def put_back(self, job: str, named: Mapping[str, Expected]) -> None:
        """For the job's next run: the one that took these did not look at all of its sites."""
        with self._lock:
            waiting = self._named[job]
            for path in sorted(named):
                if path in waiting or len(waiting) < MOST_NAMED:
                    waiting[path] = named[path].and_(waiting.get(path))

    def take(self, job: str) -> tuple[ObservationCache, dict[str, Expected]]:
        """For a run that starts: an observation cache young enough to share, and the paths to look at directly."""
        with self._lock:
            self._cache = self._cache.fresh()
            return self._cache, self._named.pop(job, {})

    def take_left(self, stays: Callable[[str, str], bool]) -> dict[tuple[str, str], Expected]:
        """What events named and no run has seen yet, by job and path, but what `stays`: it is the caller's now."""
        found: dict[tuple[str, str], Expected] = {}
        with self._lock:
            for job, named in self._named.items():
                for path in [path for path in named if not stays(job, path)]:
                    found[job, path] = named.pop(path)
        return found


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
