"""What state a record is in, for every place that says so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Which jobs are configured to send to which sites."""

    jobs: Mapping[str, frozenset[str]]
    """By site."""
    stale: frozenset[tuple[str, str]] = frozenset()
    """Sites and jobs whose source was not looked at for longer than two intervals: nobody knows whether what was
    synced then still is."""

    def is_detached(self, record: Judged) -> bool:
        """Is its site one that no target names?"""
        return record.site not in self.jobs

    def is_left_over(self, record: OfAJob) -> bool:
        """Does no configured job of this name send to its site? The job may be gone, or the target from its list."""
        return record.job not in self.jobs.get(record.site, frozenset())


class OfAJob(Protocol):
    """What a job keeps on a site."""

    @property
    def site(self) -> str:
        """The site's key."""

    @property
    def job(self) -> str:
        """The job that keeps it."""


class Judged(OfAJob, Protocol):
    """What of a record tells its status."""

    @property
    def status(self) -> str:
        """As the last cycle found it."""

    @property
    def is_open(self) -> bool:
        """Is something under way, or was it never created?"""

    @property
    def unverified(self) -> bool:
        """Is what the site holds not known?"""

    def is_frozen(self, now: datetime) -> bool:
        """Is it left alone at this moment?"""


def status_of_record(record: Judged, served: Served, now: datetime) -> str:
    """The first that fits; the last cycle's word for what only a cycle can see."""
    # No cycle comes there any more, so what the last one noted says nothing.
    if served.is_detached(record):
        return "detached"
    if record.is_open:
        return "pending"
    if record.unverified:
        return "unverified"
    if record.is_frozen(now):
        return "frozen"
    if served.is_left_over(record):
        return "orphan"
    # Nobody has looked for two intervals: that it was synced then says nothing of now.
    if record.status == "synced" and (record.site, record.job) in served.stale:
        return "behind"
    # A row that no cycle has judged yet has no word of one.
    return record.status or "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Records that are alike in all that tells their status, and how many they are."""

    site: str
    job: str
    status: str
    is_open: bool
    unverified: bool
    frozen: bool
    count: int

    def is_frozen(self, now: datetime) -> bool:  # noqa: ARG002  # counted for a moment
        """Are they left alone?"""
        return self.frozen
