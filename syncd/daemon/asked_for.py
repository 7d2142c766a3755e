"""Who asks for a job's next run, and for what of it: what the run does beside that is its own."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from syncd.domain import FindingKind, SyncReport
from syncd.domain.audit import Actor, Asked, Cause
from syncd.domain.job import Job
from syncd.domain.plan import Outcome, ref_of
from syncd.domain.source import SecretRef
from syncd.errors import TargetUnavailable

PATTERN = re.compile(r"[*?]")
"""Where a place of a source ends, and what is taken of it begins."""
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
                is_beside = about in waiting and ask.by.kind == "event" and waiting[about].by.kind != "event"
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

    def done(self, job: str, wanted: Mapping[About, Wanted], left: Mapping[About, Collection[str]]) -> None:
        """A run did what was wanted, but for what is left, on these sites; who asks again meanwhile is heard again."""
        now = time.monotonic()
        with self._lock:
            waiting = self._wanted[job]
            for about, item in list(waiting.items()):
                if item.until <= now:
                    del waiting[about]
                elif wanted.get(about) is item:
                    del waiting[about]
                    if not_yet := item.sites.intersection(left.get(about, ())) if item.sites else left.get(about):
                        waiting[about] = replace(item, sites=frozenset(not_yet))
            began, beside = self._began.get(job, now), self._beside[job]
            # The run did that as well, if it was told before it began; else the next one does it.
            beside = {about: item for about, item in beside.items() if item.at >= began}
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


def not_done(report: SyncReport, site: str, asked: Collection[About]) -> set[About]:
    """What of it a fault, or a server that lags, kept one cycle from."""
    if report.error:
        return {about for about in asked if not isinstance(about, Named) or about.site == site}
    unsent = [outcome.action for outcome in _unsent(report)]
    places = [failure.location for failure in report.failures]
    late = {finding.name for finding in report.findings if finding.kind in {FindingKind.FAILED, FindingKind.BEHIND}}
    names, paths = late | {action.name for action in unsent}, {ref_of(action).path for action in unsent}
    return {
        about
        for about in asked
        if (isinstance(about, Named) and about.site == site and about.name in names)
        or (isinstance(about, str) and (about in report.lagging or about in paths or _is_in(about, places)))
    }


class Result:
    """What came of a run that did what is `wanted`."""

    def __init__(self, wanted: Mapping[About, Wanted]) -> None:
        self._wanted = wanted
        self.not_done: defaultdict[About, set[str]] = defaultdict(set)
        """What is left of it, and on which sites."""
        self.faults: set[str] = set()
        """The places that may work a moment later."""
        self.sites_away: set[str] = set()
        """On which the whole cycle failed."""

    def add(self, report: SyncReport, site: str) -> None:
        """A cycle has ended."""
        # A pause is no fault: its end lets the job run, by itself.
        if report.rests:
            return
        for about in not_done(report, site, self._wanted):
            self.not_done[about].add(site)
        if report.error:
            self.sites_away.add(site)
        else:
            self.faults |= _faults(report, site)

    def kept_from(self) -> set[str]:
        """The paths that a fault of their own kept from being seen or sent, and not only that of a whole site."""
        return {about for about, sites in self.not_done.items() if isinstance(about, str) and sites - self.sites_away}

    def still_expected(self, paths: Iterable[str], sites: Collection[str]) -> None:
        """What events named of these paths was not seen yet; of a person's decision that is no part."""
        for path in paths:
            if path in self._wanted and self._wanted[path].by.kind == "event":
                self.not_done[path].update(sites)


def _faults(report: SyncReport, site: str) -> set[str]:
    # What a site refuses for good, or has nothing to send, comes with its own delays.
    unsent = {
        f"{site}: {outcome.action.name}" for outcome in _unsent(report) if isinstance(outcome.error, TargetUnavailable)
    }
    return unsent | {failure.location for failure in report.failures if not failure.of_secret}


def _unsent(report: SyncReport) -> list[Outcome]:
    last = {outcome.action.name: outcome for outcome in report.outcomes}
    return [outcome for outcome in last.values() if outcome.error is not None]


def _is_in(path: str, places: Collection[str]) -> bool:
    """Is it one of these places, or in one of them? A pattern is the place before its first wildcard."""
    for place in places:
        start = PATTERN.split(place)[0]
        if path == place or ((start != place or start.endswith("/")) and path.startswith(start)):
            return True
    return False
