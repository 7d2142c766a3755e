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
"""Seconds for which an expected path is looked at again, unless the version that the event told is read earlier."""
REST = 2.0
"""Seconds between two looks at which daemon the queue is for, while this one rests."""
BACKOFF_MAX = 60.0
"""Most seconds between two tries at a queue that does not answer."""


def jobs_that_sync(
    jobs: Mapping[str, Job], namespaces: Mapping[str, str | None], paths: Iterable[tuple[str | None, str]]
) -> dict[str, set[str]]:
    """Return the jobs with a rule for one of the (namespace, path) pairs, each with the paths as its rules write them.

    `namespaces`: the namespace of each source; None: any fits.
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
    """How long a path that an event named is looked at again, and until which version."""

    until: float = 0.0
    """Until when (monotonic seconds) it is looked at; a path whose time is over is looked at once."""
    version: int = 0
    """The version that ends it earlier, once each site's look has read it or a later one; 0: nothing ends it."""

    def and_(self, other: Expected | None) -> Expected:
        """Return both in one: the later time, and the later version (0 if one of them has none)."""
        if other is None:
            return self
        return Expected(max(self.until, other.until), latest(self.version, other.version))


ONCE = Expected()


def unseen(named: Mapping[str, Expected], looks: Sequence[Mapping[str, int]]) -> set[str]:
    """Return which of these paths are to be looked at again. `named`: the paths as the run took them.

    `looks`: for each site, which version of these paths was read (`SyncReport.numbers`). A path is done before its
    time only if the event told a version and every site has read it or a later one: after any other look, a server may
    have been behind.
    """
    now = time.monotonic()
    read = {path: min((look.get(path, 0) for look in looks), default=0) for path in named}
    return {path for path, item in named.items() if item.until > now and not 0 < item.version <= read[path]}


def fresh(named: Mapping[str, Expected], *, rests: bool) -> set[str]:
    """Return which of these paths to look at directly again for a site that was not looked at, though others were.

    `rests`: is there such a site, because it is paused or failed? That may last a moment only. After a minute no path
    is returned: the listing of that site's first cycle shows everything that was named.
    """
    return unseen(named, []) if rests else set()


class _Shared:
    """What outlasts the replacement of a configuration."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.named: defaultdict[str, dict[str, Expected]] = defaultdict(dict)
        """By job, what events named."""


class PendingEvents:
    """What events have named since each job last looked, and the observation cache that jobs share."""

    def __init__(self, shared: _Shared | None = None) -> None:
        self._shared = shared or _Shared()
        self._lock = self._shared.lock
        self._named = self._shared.named
        self._cache = ObservationCache()

    def for_another_configuration(self) -> PendingEvents:
        """Return the events for the next configuration: what they named is kept, what was looked at is not."""
        return PendingEvents(self._shared)

    def has(self, job: str) -> bool:
        """Did an event name something of the job that it has not looked at yet?"""
        with self._lock:
            return bool(self._named.get(job))

    def put(self, job: str, named: Iterable[str], *, expected: Mapping[str, int] | None = None) -> None:
        """Note what an event named for a job, and drop the observation cache, which is older than the event.

        `expected`: paths with the version that the event tells of. A server may not have it yet, so each path is looked
        at for a minute, or until that version is read (0: for the whole minute).
        """
        until = time.monotonic() + EXPECTED
        self.put_back(job, dict.fromkeys(named, ONCE))
        self.put_back(job, {path: Expected(until, version) for path, version in (expected or {}).items()})
        self.look_anew()

    def look_anew(self) -> None:
        """Drop the observation cache: whoever starts from now on looks at the sources anew."""
        with self._lock:
            self._cache = ObservationCache()

    def put_back(self, job: str, named: Mapping[str, Expected]) -> None:
        """Keep these paths for the job's next run, for example because a run did not look at them on all of its sites.

        A job keeps at most `MOST_NAMED`.
        """
        with self._lock:
            waiting = self._named[job]
            for path in sorted(named):
                if path in waiting or len(waiting) < MOST_NAMED:
                    waiting[path] = named[path].and_(waiting.get(path))

    def take(self, job: str) -> tuple[ObservationCache, dict[str, Expected]]:
        """Return an observation cache young enough to share, and the paths to look at directly, for a run that starts.

        The paths are removed from here.
        """
        with self._lock:
            self._cache = self._cache.fresh()
            return self._cache, self._named.pop(job, {})

    def take_left(self, stays: Callable[[str, str], bool]) -> dict[tuple[str, str], Expected]:
        """Remove and return what events named and no run has seen yet, by job and path; the caller has to pass it on.

        `stays`: is this path of this job still for this daemon? Then it is left where it is.
        """
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
    """Hand the names that a queue brings to `wake`, until `stop` is set.

    A queue that does not answer is asked ever more rarely, and `on_error` is called once, for the first failure in a
    row. `rests`: is the queue another daemon's for now? Then it is not asked: what is received here is hidden from
    that daemon for a while, and a queue may give up what was received too often.
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
