"""Which jobs an event wakes, and what it named: writes at Vault, changes at AWS, a person's request."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from syncd.domain.job import Job
from syncd.domain.naming import selects_path
from syncd.domain.places import KV2_CALLS, spellings
from syncd.domain.ports import Queue
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


def secrets_in(paths: Iterable[str]) -> set[str]:
    """Paths without those by which KV v2's API is asked for another one of them.

    An audit device names the address of the request, and what that means where the mount is one of KV v2.
    """
    found = set(paths)

    def is_an_address(path: str) -> bool:
        parts = path.split("/")
        calls = (at for at, part in enumerate(parts) if part in KV2_CALLS)
        return any("/".join((*parts[:at], *parts[at + 1 :])) in found for at in calls)

    return {path for path in found if not is_an_address(path)}


class _Shared:
    """What outlasts the replacement of a configuration."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.named: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """By job, what events named, and until when (monotonic seconds) a version that is known may be a lag."""
        self.seen: dict[tuple[str, str], float] = {}
        """By source and path, when a new version of it was last read."""


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

    def put(self, job: str, named: Iterable[str], *, until_seen: bool = False) -> None:
        """An event: what was looked at before it is old.

        `until_seen`: a server may not have yet what it tells of, so each path is looked at for a while, until it has
        another version.
        """
        until = time.monotonic() + EXPECTED if until_seen else 0.0
        self.put_back(job, dict.fromkeys(named, until))
        self.look_anew()

    def look_anew(self) -> None:
        """What was looked at is old for whoever asks from now on."""
        with self._lock:
            self._cache = ObservationCache()

    def put_back(self, job: str, named: Mapping[str, float]) -> None:
        """For the job's next run: the one that took these did not look at all of its sites."""
        with self._lock:
            waiting = self._named[job]
            for path in sorted(named):
                if path in waiting or len(waiting) < MOST_NAMED:
                    waiting[path] = max(named[path], waiting.get(path, 0.0))

    def take(self, job: str) -> tuple[ObservationCache, dict[str, float]]:
        """For a run that starts: an observation cache young enough to share, and the paths to look at directly.

        Each with until when it is looked for, as `unseen` takes it.
        """
        with self._lock:
            self._cache = self._cache.fresh()
            return self._cache, self._named.pop(job, {})

    def unseen(self, source: str, named: Mapping[str, float], news: Iterable[str], began: float) -> set[str]:
        """Which of these have, since an event named them, had no new version, and may get it yet.

        `named`: as it was taken. `news`: what was read in a new version; another job of the source may have read it.
        `began`: when the look at them did (monotonic seconds): one from before an event says nothing of it.
        """
        now = time.monotonic()
        with self._lock:
            seen = self._shared.seen
            seen |= dict.fromkeys(((source, path) for path in news), began)
            for key in [key for key, at in seen.items() if now - at > EXPECTED]:
                del seen[key]
            came = {path: until - EXPECTED for path, until in named.items() if until > now}
            return {path for path, at in came.items() if seen.get((source, path), 0.0) < at}


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
