"""What was seen of a source in one moment, shared by the jobs and targets that look at it."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncd.domain import Action, Delete, ReadResult, RemoteSecret, Rule, Snapshot, SourceEntry
from syncd.domain.ports import Clock, Source

YOUNG = 5.0
"""Seconds for which a look may be shared."""


@dataclass(slots=True)
class ObservationCache:
    """Listings and documents shared by the jobs and targets that look at the same moment.

    A thread that asks for what another thread is just asking for waits for that answer.
    """

    snapshots: dict[tuple[str, Rule], Snapshot] = field(default_factory=dict)
    found: dict[tuple[str, Rule, str], Snapshot] = field(default_factory=dict)
    readings: dict[tuple[str, str, str], ReadResult] = field(default_factory=dict)
    """By source, path, and the version that was asked for."""
    born: float = field(default_factory=time.monotonic)
    moment: datetime | None = None
    """When the first cycle that shares this began to look."""
    sites: dict[str, tuple[Hashable, tuple[RemoteSecret, ...]]] = field(default_factory=dict)
    """By site: its listing, and the state of the ledger's rows when it was listed."""
    foreseen: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By site: the ids that earlier plans would delete. A later job's plan has that much less room in the limit."""
    turns: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    """Locks: one for each source, for each site, and (named by an empty text) for `moment`."""

    def fresh(self) -> ObservationCache:
        """Return this cache while it is younger than `YOUNG`, else a new one: nothing is written on an old look."""
        return self if time.monotonic() - self.born < YOUNG else ObservationCache(foreseen=self.foreseen)

    def looked_at(self, clock: Clock) -> datetime:
        """Return when the look began. What is newer than that, nobody who shares it has seen."""
        with self.turns[""]:
            self.moment = self.moment or clock()
            return self.moment

    def foresee(self, site: str, actions: Iterable[Action]) -> None:
        """Note the deletions that are to be carried out on a site before the plans that follow."""
        self.foreseen[site].update(str(action.record.remote_id) for action in actions if isinstance(action, Delete))

    def list(self, source: Source, rule: Rule) -> Snapshot:
        """The rule's listing, asked for once."""
        # Rules that differ only in what they make of a listing share it.
        key = (source.name, replace(rule, index=0, name="", description="", field=None))
        with self.turns[source.name]:
            if key not in self.snapshots:
                self.snapshots[key] = source.snapshot(rule)
            return self.snapshots[key]

    def site(
        self, site: str, state: Hashable, list_it: Callable[[], tuple[RemoteSecret, ...]]
    ) -> tuple[RemoteSecret, ...]:
        """The site's listing, asked for once as long as nobody writes to it: `state` changes with each write."""
        with self.turns[f"site {site}"]:
            held = self.sites.get(site)
            if held is None or held[0] != state:
                held = self.sites[site] = (state, list_it())
            return held[1]

    def find(self, source: Source, rule: Rule, path: str) -> Snapshot:
        """What the rule selects at this path, asked for once."""
        key = (source.name, replace(rule, index=0, name="", description="", field=None), path)
        with self.turns[source.name]:
            if key not in self.found:
                self.found[key] = source.find(rule, path)
            return self.found[key]

    def read(self, source: Source, entries: Iterable[SourceEntry]) -> Iterable[ReadResult]:
        """The documents of these paths, each asked for once."""
        wanted = {(source.name, entry.ref.path, f"{entry.pin} {entry.read_as}"): entry for entry in entries}
        with self.turns[source.name]:
            missing = [entry for key, entry in wanted.items() if key not in self.readings]
            for reading in source.read(missing) if missing else ():
                entry = reading.entry
                self.readings[source.name, entry.ref.path, f"{entry.pin} {entry.read_as}"] = reading
            return [self.readings[key] for key in wanted if key in self.readings]
