"""Whose change is a date in the listing? Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from syncd.models import Record, Window

SLACK = timedelta(seconds=2)
"""Clocks and the whole seconds of a `Date` header: as much on either side of a window."""
LATE_COMMIT = timedelta(hours=1)
"""As long a write whose answer was lost may still take effect and pass for somebody else's."""


class Change(StrEnum):
    """What a listed date says of a record."""

    OURS = "ours"
    LAGGING = "lagging"
    THEIRS = "theirs"
    UNTOLD = "untold"


def _within(date: datetime, window: Window) -> bool:
    return window.start - SLACK <= date <= window.end + SLACK


def judge(record: Record, listed: datetime | None) -> Change:
    """Is `listed`, the site's `updatedDate`, of our last write, from before it, or somebody else's?"""
    if listed is None:
        return Change.UNTOLD
    if record.window is not None:
        if _within(listed, record.window):
            return Change.OURS
        return Change.LAGGING if listed < record.window.start else Change.THEIRS
    if record.pinned_at is None:
        return Change.UNTOLD
    if listed == record.pinned_at:
        return Change.OURS
    return Change.LAGGING if listed < record.pinned_at else Change.THEIRS


def may_be_late_commit(record: Record, now: datetime) -> bool:
    """Did we lose an answer so lately that a later date may be our own write's?"""
    return record.lost_at is not None and timedelta(0) <= now - record.lost_at <= LATE_COMMIT
