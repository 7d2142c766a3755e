"""Who asks for a job's next run, and for what of it: what the run does beside that is its own."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from syncd.domain import SyncReport
from syncd.domain.audit import Actor, Asked, Cause
from syncd.domain.job import Job
from syncd.domain.plan import ref_of

WHOLE_JOB = ""
"""In the place of a path: who asks does it for all of the job."""
PATTERN = re.compile(r"[*?]")
"""Where a place of a source ends, and what is taken of it begins."""


KEPT = 900.0
"""Seconds for which who asked is kept where a fault or a lag keeps it from being done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asked of a job."""

    by: Actor
    at: float = field(default_factory=time.monotonic)
    sites: frozenset[str] | None = None
    """On which it is not done yet; None: on none of them."""


class AskedFor:
    """What people and events asked jobs for since each last did it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: defaultdict[str, dict[str, Wanted]] = defaultdict(dict)

    def note(self, job: str, by: Actor, about: Iterable[str]) -> None:
        """Somebody asks. `about`: for these paths, or paths and fields; without any for the whole job."""
        with self._lock:
            waiting = self._wanted[job]
            for path in tuple(about) or (WHOLE_JOB,):
                # An event that comes beside a person's decision does not take its name away.
                if path not in waiting or by.kind != "event" or waiting[path].by.kind == "event":
                    waiting[path] = Wanted(by=by)

    def of(self, job: str) -> dict[str, Wanted]:
        """For a run that begins: by path, or `WHOLE_JOB`, what is wanted."""
        with self._lock:
            return dict(self._wanted[job])

    def given_up(self, job: str, path: str) -> Actor | None:
        """Who asked for a path; nobody does it in their name here any more."""
        with self._lock:
            wanted = self._wanted[job].pop(path, None)
            return wanted.by if wanted else None

    def done(self, job: str, wanted: Mapping[str, Wanted], left: Mapping[str, frozenset[str] | None]) -> None:
        """A run did what was wanted, but for these paths, on these sites; who asks again meanwhile is heard again."""
        now = time.monotonic()
        with self._lock:
            waiting = self._wanted[job]
            for path in [path for path, item in wanted.items() if waiting.get(path) is item]:
                if path in left and now - waiting[path].at < KEPT:
                    waiting[path] = replace(waiting[path], sites=left[path])
                else:
                    del waiting[path]


def cause_of(job: Job, wanted: Mapping[str, Wanted], run: Cause) -> Cause:
    """In whose name a run acts on which secrets. `run`: what else is known of it."""
    own = Actor("schedule", f"job {job.name}", "syncd run")
    of_secrets = {
        f"{job.source}:{path}": Asked(item.by, sites=item.sites) for path, item in wanted.items() if path != WHOLE_JOB
    }
    whole = wanted.get(WHOLE_JOB)
    # Of a whole job that is to be done on some sites still, the others' lines are the schedule's.
    everything = Asked(whole.by, sites=whole.sites) if whole else None
    return replace(run, actor=own, of_secrets=of_secrets, of_all=everything)


def has_failed(report: SyncReport, asked: Collection[str]) -> bool:
    """Did a fault keep a run from what was asked for: all of it, or what of source or site holds one of these paths?"""
    # A pause is no fault: its end lets the job run.
    if report.rests:
        return False
    last = {outcome.action.name: outcome for outcome in report.outcomes}
    unsent = [outcome for outcome in last.values() if outcome.error is not None]
    # Of a whole job what passes counts; a single secret that is refused for good comes with its own delays.
    passes = WHOLE_JOB in asked and any(getattr(item.error, "maybe_done", False) for item in unsent)
    places = [PATTERN.split(failure.location)[0] for failure in report.failures]
    places += [ref_of(outcome.action).path for outcome in unsent]
    of_paths = any(path.startswith(place) for path in asked if path != WHOLE_JOB for place in places)
    return bool(asked) and (bool(report.error) or passes or of_paths)
