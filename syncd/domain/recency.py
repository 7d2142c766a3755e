"""Stored times against a clock that may have jumped: each is compared with both bounds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

TOLERANCE = timedelta(minutes=1)
"""How far a stored time may lie ahead of the clock and still count: NTP corrects as much by itself."""


def happened_within(at: datetime | None, now: datetime, span: timedelta) -> bool:
    """Did it happen less than `span` ago? A time over a minute ahead does not count: one of the clocks was wrong."""
    return at is not None and -TOLERANCE <= now - at < span


def is_ahead(at: datetime | None, now: datetime, most: timedelta) -> bool:
    """Does this moment still lie ahead? Not by more than `most`: a wrong clock has set one further ahead."""
    # Else one run with a wrong clock would leave something that holds for a year.
    return at is not None and now < at <= now + most + TOLERANCE


def day_after(at: datetime) -> datetime:
    """A day later; the end of the calendar where there is none."""
    return at + timedelta(days=1) if at < END - timedelta(days=1) else END


END = datetime.max.replace(tzinfo=UTC)
LONGEST_DELAY = timedelta(days=1)
"""Longest time for which what was refused for good is not tried again."""
SKEW = timedelta(seconds=60)
"""A difference of clocks that a person should look at; signed requests are refused from some minutes on."""


def clock_skew(date: str, now: datetime) -> timedelta:
    """How far `now` is ahead of an answer's `Date` header (negative: behind); zero where that is none."""
    try:
        at = parsedate_to_datetime(date)
        # A date with the zone -0000 is read as one without a zone, and is UTC.
        return now - (at if at.tzinfo else at.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        return timedelta(0)


def skew_in_words(skew: timedelta) -> str:
    """The difference as a sentence; empty where it is too small to matter."""
    if abs(skew) < SKEW:
        return ""
    minutes = abs(skew).total_seconds() / 60
    which = "ahead of" if skew > timedelta(0) else "behind"
    return f"the clock of this machine is {minutes:.1f} minutes {which} the server's"


@dataclass(frozen=True, slots=True)
class Since:
    """The time from `span` ago until now, by two clocks (the site's, this machine's), each of which may have jumped.

    Whatever lies in it by one clock counts. A time that lies ahead of a clock was noted while that clock was wrong:
    then the other clock decides.
    """

    span: timedelta
    site_now: datetime
    now: datetime
