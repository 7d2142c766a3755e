"""What came of a run that somebody asked for: what of it is not done, where, and what may work a moment later."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping

from syncd.daemon.asked_for import About, Named, Wanted
from syncd.domain import FindingKind, SyncReport
from syncd.domain.plan import Outcome, ref_of
from syncd.errors import TargetUnavailable

PATTERN = re.compile(r"[*?]")
"""The wildcards of a pattern: the place in the source is the text before the first of them."""


def not_done(report: SyncReport, site: str, asked: Collection[About]) -> set[About]:
    """Return what of `asked` one cycle on a site did not do, because of a fault or because a server lags."""
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
    """What came of a run."""

    def __init__(self) -> None:
        self.began = 0.0
        """When the run began (monotonic seconds)."""
        self.taken: dict[str, Mapping[About, Wanted]] = {}
        """What was wanted on each site when it was the run's turn there."""
        self.not_done: defaultdict[About, set[str]] = defaultdict(set)
        """What was asked for and is not done, with the sites on which it is not."""
        self.faults: set[str] = set()
        """What failed and may work a moment later: places of the source, and names on a site."""
        self.sites_away: set[str] = set()
        """The keys of the sites on which the whole cycle failed."""

    def take(self, site: str, wanted: Mapping[About, Wanted]) -> None:
        """Note what is wanted on a site, when it is the run's turn there."""
        self.taken[site] = wanted

    def add(self, report: SyncReport, site: str) -> None:
        """Add the report of a cycle that has ended; one that rested for a pause is left out."""
        # A pause is no fault: its end lets the job run, by itself.
        if report.rests:
            return
        # Where it never was its turn, nothing is done.
        for about in not_done(report, site, self.taken.setdefault(site, {})):
            self.not_done[about].add(site)
        if report.error:
            self.sites_away.add(site)
        else:
            self.faults |= _faults(report, site)

    def kept_from(self) -> set[str]:
        """Return the paths that were not seen or sent because of another fault than that of a whole site."""
        return {about for about, sites in self.not_done.items() if isinstance(about, str) and sites - self.sites_away}

    def still_expected(self, paths: Collection[str]) -> None:
        """Count these paths as not done where an event asked for them: what it tells of was not seen yet.

        What a person asked for does not depend on that.
        """
        for site, wanted in self.taken.items():
            for path in wanted.keys() & set(paths):
                if wanted[path].by.kind == "event":
                    self.not_done[path].add(site)


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
