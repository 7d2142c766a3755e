"""Who asked for a job's next run, and for which part of it. The rest of the run is in the job's own name."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from syncd.domain.audit import Actor, Asked, Cause
from syncd.domain.job import Job
from syncd.domain.source import SecretRef

KEPT = 900.0
"""Most seconds for which a request is kept under the asker's name while a fault or a lag keeps it from being done."""


class Named(NamedTuple):
    """One secret, by the key of its site and its name there."""

    site: str
    name: str


class WholeJob(NamedTuple):
    """Whatever the job does."""


WHOLE_JOB = WholeJob()

About = str | Named | WholeJob
"""What is asked for: one secret, the whole job, or (as text) a path of the job's source, on each site it goes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What somebody asks of a job."""

    by: Actor
    about: tuple[About, ...] = (WHOLE_JOB,)
    sites: frozenset[str] | None = None
    """The keys of the sites that it is asked for on; None: all."""
    rights: frozenset[str] | None = None
    """The keys of the sites that the rights of whoever asks are for; None: all."""
    lasts: float = KEPT
    """Seconds after which the request ends, even if it is not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request that is not done yet."""

    by: Actor
    rights: frozenset[str] | None = None
    until: float = field(default_factory=lambda: time.monotonic() + KEPT)
    sites: frozenset[str] | None = None
    """The keys of the sites on which it is not done yet; None: it is not done on any site."""
    at: float = 0.0
    """When it was asked for (monotonic seconds)."""

    def again(self) -> Ask:
        """Return the same request, to ask another daemon or job; what it is about is for the caller to add."""
        # In whole seconds, so that what was asked for together stays together.
        return Ask(by=self.by, sites=self.sites, rights=self.rights, lasts=float(round(self.until - time.monotonic())))


NOTHING: Mapping[About, Wanted] = {}
"""Nobody asked."""


class AskedFor:
    """What people and events have asked jobs for, and no run has done yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: defaultdict[str, dict[About, Wanted]] = defaultdict(dict)
        self._beside: defaultdict[str, dict[About, Wanted]] = defaultdict(dict)
        """By job: the requests of events for what a person asked for, too."""
        self._began: dict[str, float] = {}

    def note(self, job: str, ask: Ask) -> None:
        """Keep a request to a job.

        An event's request for what a person asked for is kept beside the person's request and does not replace it.
        """
        now = time.monotonic()
        until = now + min(KEPT, ask.lasts)
        wanted = Wanted(by=ask.by, rights=ask.rights, sites=ask.sites, until=until, at=now)
        with self._lock:
            waiting = self._wanted[job]
            for about in ask.about:
                # An event that comes beside a person's decision does not take its name away.
                before = waiting.get(about)
                is_persons = before is not None and before.until > now and before.by.kind != "event"
                is_beside = is_persons and ask.by.kind == "event"
                (self._beside[job] if is_beside else waiting)[about] = wanted

    def of(self, job: str) -> dict[About, Wanted]:
        """Return what is asked of a job, for its run that begins; what has ended is left out."""
        now = self._began[job] = time.monotonic()
        with self._lock:
            return {about: item for about, item in self._wanted[job].items() if item.until > now}

    def beside(self, job: str) -> dict[About, Wanted]:
        """Return the events' requests for what a person asked for as well, for a run that begins."""
        with self._lock:
            return dict(self._beside[job])

    def take_left(self, stays: Callable[[str, str], bool]) -> dict[tuple[str, str], Wanted]:
        """Remove and return the requests for paths, by job and path: no job here does them in anybody's name any more.

        `stays`: is this path of this job still for this daemon? Then its request is left where it is.
        """
        now, found = time.monotonic(), dict[tuple[str, str], Wanted]()
        with self._lock:
            for job, wanted in self._wanted.items():
                for path in [about for about in wanted if isinstance(about, str) and not stays(job, about)]:
                    if (item := wanted.pop(path)).until > now:
                        found[job, path] = item
        return found

    def done(
        self, job: str, taken: Mapping[str, Mapping[About, Wanted]], left: Mapping[About, Collection[str]]
    ) -> None:
        """Remove what a run has done; a request that came during the run is kept for the next one.

        `taken`: by site, what was wanted when it was the run's turn there; `left`: what the run did not do, and on
        which of these sites.
        """
        now, sites = time.monotonic(), frozenset(taken)
        with self._lock:
            waiting = self._wanted[job]
            for about, item in list(waiting.items()):
                done = {site for site in sites - set(left.get(about, ())) if taken[site].get(about) is item}
                not_yet = (sites if item.sites is None else item.sites) - done
                if item.until <= now or (not not_yet and sites):
                    del waiting[about]
                elif done:
                    waiting[about] = replace(item, sites=not_yet)
            began, beside = self._began.get(job, now), self._beside[job]
            # The run did that as well, if it was told before it began; else the next one does it.
            beside = {
                about: item if item.at >= began else replace(item, sites=frozenset(left[about]))
                for about, item in beside.items()
                if item.at >= began or about in left
            }
            waiting.update({about: item for about, item in beside.items() if about not in waiting})
            self._beside[job] = {about: item for about, item in beside.items() if waiting[about] is not item}


def cause_of(job: Job, wanted: Mapping[About, Wanted], run: Cause, beside: Mapping[About, Wanted] = NOTHING) -> Cause:
    """Return in whose name a run acts on which secrets.

    `wanted`: who asked for what; `run`: what else is known of the run. `beside`: the requests of events for paths that
    a person asked for, too; they count on the sites where the person's request is done already.
    """
    told = {about: Asked(item.by, sites=item.sites, at=item.at) for about, item in beside.items()}
    asked = {about: Asked(item.by, sites=item.sites, at=item.at) for about, item in wanted.items()}
    return replace(
        run,
        actor=Actor("schedule", f"job {job.name}", "syncd run"),
        of_paths={
            SecretRef(source=job.source, path=about): (item, *((told[about],) if about in told else ()))
            for about, item in asked.items()
            if isinstance(about, str)
        },
        of_names={(about.site, about.name): item for about, item in asked.items() if isinstance(about, Named)},
        of_all=asked.get(WHOLE_JOB),
    )
