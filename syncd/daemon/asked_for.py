"""Who asks for a job's next run, and for what of it: what the run does beside that is its own."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet

from syncd.domain import SyncReport
from syncd.domain.audit import Actor, Cause
from syncd.domain.job import Job
from syncd.domain.plan import ref_of

WHOLE_JOB = ""
"""In the place of a path: who asks does it for all of the job."""
PATTERN = re.compile(r"[*?]")
"""Where a place of a source ends, and what is taken of it begins."""


class AskedFor:
    """What people and events asked jobs for since each last did it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by: defaultdict[str, dict[str, Actor]] = defaultdict(dict)

    def note(self, job: str, by: Actor, about: Iterable[str]) -> None:
        """Somebody asks. `about`: for these paths, or paths and fields; without any for the whole job."""
        with self._lock:
            self._by[job] |= dict.fromkeys(tuple(about) or (WHOLE_JOB,), by)

    def of(self, job: str) -> dict[str, Actor]:
        """For a run that begins: by path, or `WHOLE_JOB`, who asks."""
        with self._lock:
            return dict(self._by[job])

    def done(self, job: str, asked: Mapping[str, Actor], left: AbstractSet[str]) -> None:
        """A run did what it was asked for, but for these paths; who asks again meanwhile is heard again."""
        with self._lock:
            waiting = self._by[job]
            for path, by in asked.items():
                if path not in left and waiting.get(path) is by:
                    del waiting[path]


def cause_of(job: Job, asked: Mapping[str, Actor], run: Cause) -> Cause:
    """In whose name a run acts on which secrets. `run`: what else is known of it."""
    schedule = Actor("schedule", f"job {job.name}", "syncd run")
    of_secrets = {f"{job.source}:{path}": (by, None) for path, by in asked.items() if path != WHOLE_JOB}
    whole = asked.get(WHOLE_JOB) or schedule
    return Cause(actor=whole, run=run.run, config=run.config, commit=run.commit, of_secrets=of_secrets)


def has_failed(report: SyncReport, asked: Collection[str]) -> bool:
    """Did a fault keep a run from what was asked for: all of it, or what of source or site holds one of these paths?"""
    last = {outcome.action.name: outcome for outcome in report.outcomes}
    unsent = [outcome for outcome in last.values() if outcome.error is not None]
    # Of a whole job what passes counts; a single secret that is refused for good comes with its own delays.
    passes = WHOLE_JOB in asked and any(getattr(item.error, "maybe_done", False) for item in unsent)
    places = [PATTERN.split(failure.location)[0] for failure in report.failures]
    places += [ref_of(outcome.action).path for outcome in unsent]
    of_paths = any(path.startswith(place) for path in asked if path != WHOLE_JOB for place in places)
    return bool(asked) and (bool(report.error) or passes or of_paths)
