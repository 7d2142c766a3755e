"""What a cycle writes down, on the connection that holds its site's lock."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from syncd.domain import (
    HistoryEntry,
    LastRun,
    OpenProblem,
    PathState,
    Record,
    RemoteSecret,
)
from syncd.domain.audit import Entry
from syncd.domain.decisions import HeldAction
from syncd.domain.governance import Facts


@dataclass(frozen=True, slots=True)
class AuditBatch:
    """Lines of the audit trail that go with a transaction."""

    intents: tuple[Entry, ...] = ()
    """What is about to be sent."""
    ends: tuple[Entry, ...] = ()
    """How intents ended."""
    notes: tuple[Entry, ...] = ()
    """What else happened on this site."""
    decisions: tuple[Entry, ...] = ()
    """What a person decided about it; of the control stream."""


NO_AUDIT = AuditBatch()

NO_NEWS: Mapping[str, datetime] = {}
"""No source has anything new."""


class Journal(Protocol):
    """The ledger as one cycle writes it, while it holds the site's lock. All raise `LedgerError`."""

    @property
    def is_writable(self) -> bool:
        """Is what is written here kept?"""

    # In one transaction, so that no request leaves without its row and its line in the audit trail.
    def write(
        self,
        *,
        put: Iterable[Record] = (),
        drop: Iterable[Record] = (),
        log: Iterable[HistoryEntry] = (),
        audit: AuditBatch = NO_AUDIT,
    ) -> None:
        """Store and remove rows, history and audit lines in one durable transaction."""

    def findings(
        self,
        job: str,
        open_now: Mapping[tuple[str, str], Entry],
        serving: Iterable[str],
        lasting: Container[str] = frozenset(),
    ) -> None:
        """Write into the audit trail which findings of a job begin and end, by event and name.

        `serving`: the jobs that send to the site; findings of all others end. `lasting`: names of which none ends.
        """

    def problems(self, site: str, job: str, now: Iterable[OpenProblem]) -> None:
        """Replace what is known to keep failing for this job on this site."""

    def forget_problem(self, name: str) -> None:
        """Drop what was known to keep failing about a name on this site, for every job."""

    def paths(self, states: Iterable[PathState], news: Mapping[str, datetime] = NO_NEWS) -> None:
        """Store what was read of source paths.

        `news`: by job, of those whose source has something new by it, when that was looked at: sites that were not
        looked at since are behind.
        """

    def facts(self, facts: Facts) -> None:
        """Store what was judged of values that were read."""

    def waits(self, job: str, waiting: Iterable[HeldAction], serving: Iterable[str]) -> None:
        """Replace what waits for a release, for this job on this site.

        `serving`: the jobs that send to the site; nothing of any other waits any more.
        """

    def listed(self, remote: Iterable[RemoteSecret]) -> None:
        """Remember what the site lists; only what changed is written."""

    def mount(self, source: str, mount: str, mount_id: str) -> None:
        """Remember which mount this is."""

    def ran(self, run: LastRun) -> None:
        """Remember the cycle."""

    def follow(self, other: str, put: Iterable[Record]) -> None:
        """Take over everything that was kept under another key of this same site; `put`: its rows as they are now."""


class ReadOnlyJournal:
    """A journal that keeps nothing, for plans and looks."""

    is_writable = False

    def write(
        self,
        *,
        put: Iterable[Record] = (),
        drop: Iterable[Record] = (),
        log: Iterable[HistoryEntry] = (),
        audit: AuditBatch = NO_AUDIT,
    ) -> None:
        """Keep nothing."""

    def findings(
        self,
        job: str,
        open_now: Mapping[tuple[str, str], Entry],
        serving: Iterable[str],
        lasting: Container[str] = frozenset(),
    ) -> None:
        """Keep nothing."""

    def problems(self, site: str, job: str, now: Iterable[OpenProblem]) -> None:
        """Keep nothing."""

    def forget_problem(self, name: str) -> None:
        """Keep nothing."""

    def paths(self, states: Iterable[PathState], news: Mapping[str, datetime] = NO_NEWS) -> None:
        """Keep nothing."""

    def facts(self, facts: Facts) -> None:
        """Keep nothing."""

    def waits(self, job: str, waiting: Iterable[HeldAction], serving: Iterable[str]) -> None:
        """Keep nothing."""

    def listed(self, remote: Iterable[RemoteSecret]) -> None:
        """Keep nothing."""

    def mount(self, source: str, mount: str, mount_id: str) -> None:
        """Keep nothing."""

    def ran(self, run: LastRun) -> None:
        """Keep nothing."""

    def follow(self, other: str, put: Iterable[Record]) -> None:
        """Keep nothing."""
