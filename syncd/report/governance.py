"""What the page of governance shows: of everything the number, and the first rows."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from math import inf
from typing import Any

from syncd.bootstrap.app import App
from syncd.domain import Record, version_label
from syncd.domain.governance import GovernanceRule, Hit
from syncd.domain.statuses import status_of_record
from syncd.ledger.search import Search
from syncd.report.grouping import names_in_words
from syncd.report.parts import Chosen, drift_rows, exception_rows, hit_row, marked_rows, unmanaged_rows
from syncd.report.rule_hits import hits_by_site, told_to

SHOWN_HITS = 100
SHOWN_ROWS = 200
SHOWN_OLDEST = 20
FILTERED = 5_000
"""Hits of one rule that the page of secrets can be filtered by: their names take 1 MB."""
Row = dict[str, Any]


def _by_place(row: Row) -> tuple[str, str]:
    return row["target"], row["name"]


def _newest_first(row: Row) -> float:
    # Without a date it is older than all lines that are kept.
    return inf if row["found_at"] is None else -datetime.fromisoformat(str(row["found_at"])).timestamp()


@dataclass(slots=True)
class Shown:
    """The first rows of a list of any length, and its length."""

    most: int
    order: Callable[[Row], Any] = _by_place
    count: int = 0
    rows: list[Row] = field(default_factory=list)

    def add(self, rows: Iterable[Row]) -> None:
        """Add more rows of the list, in any order."""
        fresh = list(rows)
        self.count += len(fresh)
        self.rows = heapq.nsmallest(self.most, chain(self.rows, fresh), key=self.order)

    @property
    def left_out(self) -> int:
        """How many are not among the rows."""
        return self.count - len(self.rows)


@dataclass(slots=True)
class Broken:
    """The hits of one rule, with those that an exception covers left out."""

    rule: GovernanceRule
    shown: Shown = field(default_factory=lambda: Shown(SHOWN_HITS))
    places: set[tuple[str, str]] = field(default_factory=set)
    """Sites and names of the hits, as many as a filter takes."""
    excepted: int = 0
    """How many hits an exception covers."""
    unjudged: int = 0
    """How many of `shown.count` have a value that was not read yet: nobody knows whether they break the rule."""

    @property
    def count(self) -> int:
        """How many hits were judged, and break the rule."""
        return self.shown.count - self.unjudged

    def add(self, hits: Iterable[Hit]) -> None:
        """Take this rule's hits from those of one site."""
        of_it = [hit for hit in hits if hit.rule is self.rule]
        mine = [hit for hit in of_it if hit.exemption is None]
        self.excepted += len(of_it) - len(mine)
        self.shown.add(map(hit_row, mine))
        self.unjudged += sum(not hit.is_judged for hit in mine)
        room = FILTERED - len(self.places)
        self.places.update((hit.subject.site, hit.subject.name) for hit in mine[:room])


@dataclass(frozen=True, slots=True, kw_only=True)
class HitBy:
    """The hits of one rule, as far as a page can be filtered by them."""

    places: frozenset[tuple[str, str]]
    """Sites and names."""
    unsearched: int
    """How many more there are than a filter takes."""
    as_of: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Governance:
    """What the page of governance shows, at one moment."""

    as_of: datetime
    rules: list[Broken]
    unmanaged: Shown
    marked: Shown
    orphans: Shown
    drift: Shown
    exceptions: Shown
    oldest: list[Row]

    def hit_by(self, rule: str) -> HitBy:
        """Return the hits of a rule by its id; none where no rule has this id any more."""
        for broken in self.rules:
            if broken.rule.id == rule:
                is_full = len(broken.places) >= FILTERED
                unsearched = broken.shown.count - len(broken.places) if is_full else 0
                return HitBy(places=frozenset(broken.places), unsearched=unsearched, as_of=self.as_of)
        return HitBy(places=frozenset(), unsearched=0, as_of=self.as_of)


def governance_now(app: App, chosen: Chosen) -> Governance:
    """Build the page's content from the ledger alone, one site at a time. Raises `LedgerError`."""
    rules = [Broken(rule) for rule in app.runtime.rules]
    covering: set[int] = set()
    for hits in hits_by_site(app):
        mine = [
            hit
            for hit in told_to(hits, chosen.sees)
            if chosen.takes(app, hit.subject.target, hit.subject.site, hit.subject.job)
        ]
        covering |= {id(hit.exemption) for hit in mine}
        for broken in rules:
            broken.add(mine)
    unmanaged, marked = Shown(SHOWN_ROWS), Shown(SHOWN_ROWS)
    for site in app.served.jobs:
        unmanaged.add(unmanaged_rows(app, chosen, site))
        marked.add(marked_rows(app, chosen, site))
    drift, exceptions = Shown(SHOWN_ROWS, _newest_first), Shown(SHOWN_ROWS, lambda row: row["until"])
    drift.add(drift_rows(app, chosen))
    exceptions.add(exception_rows(app, None if chosen.targets is None else covering))
    return Governance(
        as_of=app.runtime.clock(),
        rules=rules,
        unmanaged=unmanaged,
        marked=marked,
        orphans=_orphans(app, chosen),
        drift=drift,
        exceptions=exceptions,
        oldest=_oldest(app, chosen),
    )


def _orphans(app: App, chosen: Chosen) -> Shown:
    """Return the secrets that no configured job sends any more: a page of them, and how many there are.

    The database counts them.
    """
    now, served = app.runtime.clock(), app.served
    found, _ = app.ledger.find(Search(status="orphan", sites=_sites(app, chosen)), served, now)
    rows = [row for record in found if (row := _row(app, chosen, record))]
    number = sum(
        tally.count
        for tally in app.ledger.tallies(now)
        if status_of_record(tally, served, now) == "orphan"
        and chosen.takes(app, app.first_target_on(tally.site, tally.job), tally.site, tally.job)
    )
    return Shown(SHOWN_ROWS, count=number, rows=rows)


def _oldest(app: App, chosen: Chosen) -> list[Row]:
    # One version on many sites is told once.
    found = app.ledger.oldest(_sites(app, chosen), SHOWN_OLDEST * 15)
    versions: dict[tuple[str, str, str], list[Row]] = {}
    for row in (row for record in found if (row := _row(app, chosen, record))):
        versions.setdefault((row["source"], row["path"], row["version"] or ""), []).append(row)
    alike = list(versions.values())[:SHOWN_OLDEST]
    return [{**rows[0], "targets": names_in_words(sorted({row["target"] for row in rows}))} for rows in alike]


def _row(app: App, chosen: Chosen, record: Record) -> Row | None:
    target = app.first_target_on(record.site, record.job)
    if not chosen.takes(app, target, record.site, record.job):
        return None
    return {
        "name": record.name, "target": target, "site": record.site, "job": record.job,
        "source": record.ref.source, "path": record.ref.path, "field": record.ref.field,
        "version": version_label(record.version) or None, "source_changed_at": record.source_updated_at,
        "arrived_at": record.last_synced_at,
    }  # fmt: skip


def _sites(app: App, chosen: Chosen) -> frozenset[str] | None:
    """The sites of targets that the reader may know of; None: all."""
    if chosen.targets is None:
        return None
    return frozenset(app.site_of(name) for name in app.settings.targets if chosen.sees(name))
