"""How long something has waited for a site, without the time in which nobody wanted it sent. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from syncd.domain.windows import Windows

DAY = timedelta(days=1)
Rest = tuple[datetime, datetime | None]
"""A pause: from when to when; None: it goes on."""


def waited(
    since: datetime,
    until: datetime,
    *,
    enough: timedelta,
    windows: Windows = Windows(),  # noqa: B008  # it is frozen
    verb: str = "update",
    rests: Collection[Rest] = (),
) -> timedelta:
    """The time between two moments in which an action of this kind might have been sent.

    Looked at from the end backwards, until it is more than `enough`.
    """
    total, end = timedelta(0), until.astimezone(UTC)
    since = since.astimezone(UTC)
    while end > since and total <= enough:
        begin = max(since, end - DAY)
        total += _open_time(begin, end, windows, verb, rests)
        end = begin
    return total


def _open_time(begin: datetime, end: datetime, windows: Windows, verb: str, rests: Collection[Rest]) -> timedelta:
    edges = {edge for window in windows.allow for edge in window.edges(begin, end)}
    edges |= {edge for rest in rests for edge in rest if edge is not None}
    moments = [begin, *sorted(edge for edge in edges if begin < edge < end), end]
    spans = [(first, last) for first, last in pairwise(moments) if not windows.objection(verb, first)]
    return sum((last - first for first, last in spans if not _rests(first, rests)), timedelta(0))


def _rests(moment: datetime, rests: Collection[Rest]) -> bool:
    return any(begin <= moment and (end is None or moment < end) for begin, end in rests)
