"""What state a record is in, for every place that says so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from syncd.models import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Which jobs are configured to send to which sites."""

    jobs: Mapping[str, frozenset[str]]
    """By site."""

    def is_detached(self, record: Record) -> bool:
        """Is its site one that no target names?"""
        return record.site not in self.jobs

    def is_left_over(self, record: Record) -> bool:
        """Does its job send nothing to its site any more, whatever was removed: the rule's job, its target?"""
        return record.job not in self.jobs.get(record.site, frozenset())


def status_of_record(record: Record, served: Served, now: datetime) -> str:
    """The first that fits; the last cycle's word for what only a cycle can see."""
    if served.is_detached(record):
        return "detached"
    if record.pending or record.remote_id is None:
        return "pending"
    if record.unverified:
        return "unverified"
    if record.frozen_until and record.frozen_until > now:
        return "frozen"
    if served.is_left_over(record):
        return "orphan"
    return record.status or "pending"
