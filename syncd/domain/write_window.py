"""Is a date in the listing ours, a late one of ours, or somebody else's? Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from syncd.domain import LostWrite, Record, RemoteSecret, WriteWindow
from syncd.domain.recency import happened_within

SLACK = timedelta(seconds=2)
"""Clocks and the whole seconds of a `Date` header: as much on either side of a window."""
LISTING_LAG = timedelta(minutes=15)
"""How long a listing may lag behind a write. After that an older date means that something else is there."""
MOST_LOST = 20
LATE_COMMIT = timedelta(hours=1)
"""As long a write whose answer was lost may still take effect and pass for somebody else's."""


class Change(StrEnum):
    """What a listed date says of a record."""

    OURS = "ours"
    EARLIER = "earlier"
    """From before our last write: a listing that lags, or a site that was put back."""
    THEIRS = "theirs"
    UNTOLD = "untold"


def _within(date: datetime, window: WriteWindow) -> bool:
    return window.start - SLACK <= date <= window.end + SLACK


def judge(record: Record, listed: datetime | None) -> Change:
    """Is `listed`, the site's `updatedDate`, of our last write, from before it, or somebody else's?"""
    if listed is None:
        return Change.UNTOLD
    if record.window is not None:
        if _within(listed, record.window):
            return Change.OURS
        return Change.EARLIER if listed < record.window.start else Change.THEIRS
    # No answer of ours had a date, and no listing since was taken for our write's.
    if record.pinned_at is None:
        return Change.UNTOLD
    if listed == record.pinned_at:
        return Change.OURS
    return Change.EARLIER if listed < record.pinned_at else Change.THEIRS


def is_as_left(record: Record, listed: RemoteSecret | None) -> bool:
    """Does the listing show a record's secret as our last write left it, for all that its name and date tell?"""
    if listed is None or record.theirs or listed.name != record.name:
        return False
    # A site that tells no dates has none that could speak against it.
    untold = listed.updated_at is None and record.pinned_at is None
    return untold or judge(record, listed.updated_at) is Change.OURS


def recently_lost(record: Record, now: datetime) -> tuple[LostWrite, ...]:
    """The lost writes that may still commit, the oldest first."""
    return tuple(write for write in sorted(record.lost_writes) if happened_within(write.at, now, LATE_COMMIT))


def may_be_late_commit(record: Record, now: datetime) -> bool:
    """May a write of ours that lost its answer still commit? Then a later `updatedDate` may be ours."""
    return bool(recently_lost(record, now))


def is_of_a_lost_write(record: Record, site_value: str, now: datetime) -> bool:
    """May the site hold the value of one of our writes that lost its answer? `site_value`: its fingerprint."""
    return any(write.fingerprint in {"", site_value} for write in recently_lost(record, now))


def lost(record: Record, now: datetime, tries: int, fingerprint: str | None = None) -> tuple[LostWrite, ...]:
    """The row's lost writes with so many more; the oldest beyond what anybody sends are dropped.

    `fingerprint`: of the value that they carried; None where it is not known.
    """
    return (*recently_lost(record, now), *[LostWrite(now, fingerprint or "")] * tries)[-MOST_LOST:]


def may_lag(record: Record, now: datetime) -> bool:
    """Is our last write so fresh that a listing may still show what was there before it?"""
    return happened_within(record.last_synced_at, now, LISTING_LAG)
