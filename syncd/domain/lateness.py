"""How long something has waited for a site, without the time in which nobody wanted it sent. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from syncd.domain.windows import Windows

DAY = timedelta(days=1)
Rest = tuple[datetime, datetime | None]
"""A time of rest, such as a pause: its begin, and its end (None: it goes on)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """When nobody wants an action with this verb sent: outside of the windows, and while something rests."""

    windows: Windows = field(default_factory=Windows)
    verb: str = "update"
    rests: Collection[Rest] = ()

    def edges(self, begin: datetime, end: datetime) -> set[datetime]:
        """Return the moments within this span at which `holds` may change."""
        found = {edge for window in self.windows.allow for edge in window.edges(begin, end)}
        found |= {edge for rest in self.rests for edge in rest if edge is not None}
        return {edge for edge in found if begin < edge < end}

    def holds(self, moment: datetime) -> bool:
        """Does nobody want the action sent at this moment?"""
        if self.windows.objection(self.verb, moment):
            return True
        return any(begin <= moment and (end is None or moment < end) for begin, end in self.rests)


def waited(since: datetime, until: datetime, shut: Shut, *, enough: timedelta) -> timedelta:
    """Return for how long, between two moments, the action might have been sent.

    It is added up from the end backwards, a day at a time, until the sum is more than `enough`.
    """
    total, end = timedelta(0), until.astimezone(UTC)
    since = since.astimezone(UTC)
    while end > since and total <= enough:
        begin = max(since, end - DAY)
        spans = pairwise([begin, *sorted(shut.edges(begin, end)), end])
        total += sum((last - first for first, last in spans if not shut.holds(first)), timedelta(0))
        end = begin
    return total
