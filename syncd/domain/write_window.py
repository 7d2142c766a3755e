"""Tell whether a date in the listing is of our last write, of a lost write of ours, or somebody else's. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from syncd.domain import LostWrite, Record, RemoteSecret, WriteWindow
from syncd.domain.recency import happened_within

SLACK = timedelta(seconds=2)
"""Tolerance on either side of a write's window, for clocks and for the whole seconds of a `Date` header."""
LISTING_LAG = timedelta(minutes=15)
"""How long a listing may lag behind a write. After that an older date means that something else is there."""
MOST_LOST = 20
LATE_COMMIT = timedelta(hours=1)
"""How long after a lost response Wix may still commit the write. Until then a newer `updatedDate` is not drift."""


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
    """Tell whether `listed`, the site's `updatedDate`, is of our last write, from before it, or somebody else's."""
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
    """Does the listing show the secret of a record as our last write left it, as far as its name and date can tell?"""
    if listed is None or record.theirs or listed.name != record.name:
        return False
    # A site that tells no dates has none that could speak against it.
    untold = listed.updated_at is None and record.pinned_at is None
    return untold or judge(record, listed.updated_at) is Change.OURS


def recently_lost(record: Record, now: datetime) -> tuple[LostWrite, ...]:
    """The lost writes that may still commit, the oldest first."""
    return tuple(write for write in sorted(record.lost_writes) if happened_within(write.at, now, LATE_COMMIT))


def may_be_late_commit(record: Record, now: datetime) -> bool:
    """May a write of ours whose answer was lost still commit? Then a later `updatedDate` may be ours."""
    return bool(recently_lost(record, now))


def is_of_a_lost_write(record: Record, site_value: str, now: datetime) -> bool:
    """May the site hold the value of a write of ours whose answer was lost? `site_value`: fingerprint of its value."""
    return any(write.fingerprint in {"", site_value} for write in recently_lost(record, now))


def lost(record: Record, now: datetime, tries: int, fingerprint: str | None = None) -> tuple[LostWrite, ...]:
    """Return the record's lost writes that may still commit, and `tries` more; only the last `MOST_LOST` are kept.

    `fingerprint`: of the value that the new ones carried; None where it is not known.
    """
    return (*recently_lost(record, now), *[LostWrite(now, fingerprint or "")] * tries)[-MOST_LOST:]


def may_lag(record: Record, now: datetime) -> bool:
    """Is our last write so fresh that a listing may still show what was there before it?"""
    return happened_within(record.last_synced_at, now, LISTING_LAG)
