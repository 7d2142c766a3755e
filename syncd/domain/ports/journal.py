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
    """What a person decided about this site; these lines go to the control stream."""


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
        """Write into the audit trail which findings of a job began and which ended since its last cycle.

        `open_now`: the line of each finding that is open now, by event and name. `serving`: the jobs that send to the
        site; findings and problems of all other jobs end. `lasting`: names of which no finding ends.
        """

    def problems(self, site: str, job: str, now: Iterable[OpenProblem]) -> None:
        """Replace what is known to keep failing for this job on this site. `now`: all that keeps failing now."""

    def forget_problem(self, name: str) -> None:
        """Drop what was known to keep failing about a name on this site, for every job."""

    def paths(self, states: Iterable[PathState], news: Mapping[str, datetime] = NO_NEWS) -> None:
        """Store what was read of source paths.

        `news`: the jobs for whose source this is something new, each with the time of the look that found it. A site of
        such a job that was not looked at since that time is behind.
        """

    def facts(self, facts: Facts) -> None:
        """Store how values that were read were judged by the checks of rules."""

    def waits(self, job: str, waiting: Iterable[HeldAction], serving: Iterable[str]) -> None:
        """Replace the actions of this job on this site that wait for a release.

        `serving`: the jobs that send to the site; actions of any other job do not wait any more.
        """

    def listed(self, remote: Iterable[RemoteSecret]) -> None:
        """Remember what the site lists; only what changed is written."""

    def mount(self, source: str, mount: str, mount_id: str) -> None:
        """Store the id of a mount or account of a source."""

    def ran(self, run: LastRun) -> None:
        """Store how the cycle ended, as the last run of its job on this site."""

    def follow(self, other: str, put: Iterable[Record]) -> None:
        """Take over what the ledger keeps under `other`, another key of this same site.

        `put`: the records of the site as they are from now on; they replace those of both keys.
        """


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
