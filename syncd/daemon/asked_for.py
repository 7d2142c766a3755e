"""Who asks for a job's next run, and for what of it: what the run does beside that is its own."""

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
"""Seconds for which who asked is kept where a fault or a lag keeps it from being done."""


class Named(NamedTuple):
    """A secret by what it is called on one site."""

    site: str
    name: str


class WholeJob(NamedTuple):
    """Whatever the job does."""


WHOLE_JOB = WholeJob()

About = str | Named | WholeJob
"""What is asked for; a text is a path of the job's source, wherever it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What somebody asks of a job."""

    by: Actor
    about: tuple[About, ...] = (WHOLE_JOB,)
    sites: frozenset[str] | None = None
    """On these; None: on all."""
    rights: frozenset[str] | None = None
    """The sites that whoever asks may do that on; None: all."""
    lasts: float = KEPT
    """Seconds after which nobody asks for it any more, though it is not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asked for, and is not done yet."""

    by: Actor
    rights: frozenset[str] | None = None
    until: float = field(default_factory=lambda: time.monotonic() + KEPT)
    sites: frozenset[str] | None = None
    """On which it is not done; None: on none of them."""
    at: float = 0.0
    """When it was asked for (monotonic seconds)."""

    def again(self) -> Ask:
        """The same, for another daemon or job to be asked."""
        # In whole seconds, so that what was asked for together stays together.
        return Ask(by=self.by, sites=self.sites, rights=self.rights, lasts=float(round(self.until - time.monotonic())))


NOTHING: Mapping[About, Wanted] = {}
"""Nobody asked."""


class AskedFor:
    """What people and events asked jobs for since each last did it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: defaultdict[str, dict[About, Wanted]] = defaultdict(dict)
        self._beside: defaultdict[str, dict[About, Wanted]] = defaultdict(dict)
        """Events of what a person asked for, too."""
        self._began: dict[str, float] = {}

    def note(self, job: str, ask: Ask) -> None:
        """Somebody asks."""
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
        """For a run that begins: what is wanted."""
        now = self._began[job] = time.monotonic()
        with self._lock:
            return {about: item for about, item in self._wanted[job].items() if item.until > now}

    def beside(self, job: str) -> dict[About, Wanted]:
        """Events of what a person asked for as well, for a run that begins."""
        with self._lock:
            return dict(self._beside[job])

    def take_left(self, stays: Callable[[str, str], bool]) -> dict[tuple[str, str], Wanted]:
        """Who asked for which paths of which jobs, but for what `stays`: nobody does it in their name here any more."""
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
        """A run has ended; who asks again meanwhile is heard again.

        `taken`: what was wanted when it was its turn on each site; `left`: on which of them it did not do it.
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
    """In whose name a run acts on which secrets. `run`: what else is known of it.

    `beside`: events of paths that a person asked for: theirs is what that one has got already.
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
