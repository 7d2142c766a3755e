"""The status of a record, the same in every place that shows it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Which jobs are configured to send to which sites."""

    jobs: Mapping[str, frozenset[str]]
    """The jobs of each site, by the site's key."""
    stale: frozenset[tuple[str, str]] = frozenset()
    """Sites and jobs that did not look for longer than two intervals, or since their source had news.

    Nobody knows whether what was synced then still is.
    """

    def is_detached(self, record: Judged) -> bool:
        """Is its site one that no target names?"""
        return record.site not in self.jobs

    def is_left_over(self, record: OfAJob) -> bool:
        """Does no configured job of this name send to its site? The job may be gone, or the target from its list."""
        return record.job not in self.jobs.get(record.site, frozenset())


class OfAJob(Protocol):
    """Something that belongs to a job on a site, such as a record or a held action."""

    @property
    def site(self) -> str:
        """The site's key."""

    @property
    def job(self) -> str:
        """The name of the job that it belongs to."""


class Judged(OfAJob, Protocol):
    """The fields of a record that decide its status."""

    @property
    def status(self) -> str:
        """As the last cycle found it."""

    @property
    def is_open(self) -> bool:
        """Is a request under way, or is the id at the site not known?"""

    @property
    def unverified(self) -> bool:
        """Is it unknown what the site holds?"""

    def is_frozen(self, now: datetime) -> bool:
        """Is it left alone at this moment?"""


def status_of_record(record: Judged, served: Served, now: datetime) -> str:
    """Return the first status that fits.

    What can be told now is judged now; what only a cycle can see is as the last cycle found it.
    """
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
        """Were they frozen at the moment for which they were counted? `now` is not used."""
        return self.frozen
