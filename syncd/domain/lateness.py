"""How long something has waited for a site, without the time in which nobody wanted it sent. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from syncd.domain.windows import Windows

DAY = timedelta(days=1)
Rest = tuple[datetime, datetime | None]
"""A pause: from when to when; None: it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """When nobody wants an action of one kind sent."""

    windows: Windows = field(default_factory=Windows)
    verb: str = "update"
    rests: Collection[Rest] = ()

    def edges(self, begin: datetime, end: datetime) -> set[datetime]:
        """The moments between which it holds throughout, or does not."""
        found = {edge for window in self.windows.allow for edge in window.edges(begin, end)}
        found |= {edge for rest in self.rests for edge in rest if edge is not None}
        return {edge for edge in found if begin < edge < end}

    def holds(self, moment: datetime) -> bool:
        """Is it one of those moments?"""
        if self.windows.objection(self.verb, moment):
            return True
        return any(begin <= moment and (end is None or moment < end) for begin, end in self.rests)


def waited(since: datetime, until: datetime, shut: Shut, *, enough: timedelta) -> timedelta:
    """The time between two moments in which an action might have been sent.

    Looked at from the end backwards, until it is more than `enough`.
    """
    total, end = timedelta(0), until.astimezone(UTC)
    since = since.astimezone(UTC)
    while end > since and total <= enough:
        begin = max(since, end - DAY)
        spans = pairwise([begin, *sorted(shut.edges(begin, end)), end])
        total += sum((last - first for first, last in spans if not shut.holds(first)), timedelta(0))
        end = begin
    return total
