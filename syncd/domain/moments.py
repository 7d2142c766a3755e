"""Moments as people write them: a date, a date with a time, or a span from now. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from syncd.domain.recency import day_after

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Seconds of each unit that a duration may be written in."""
SPAN = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}", re.ASCII)
FURTHEST = timedelta(days=3653)
"""The longest span ahead; a longer one is taken for a typing error. For a longer time people write a date."""


def span_of(text: str) -> timedelta | None:
    """Read a duration such as `0s`, `90s`, `5m`, `24h` or `7d`; return None for anything else."""
    match = SPAN.fullmatch(text)
    return timedelta(seconds=int(match[1]) * UNITS[match[2]]) if match else None


def moment_of(text: str, now: datetime, *, ahead: bool) -> datetime:
    """Read a date, a time in RFC 3339, or a span that leads from `now` into the future (`ahead`) or the past.

    A time without a zone is in UTC, as are all times that syncd shows. A date alone with `ahead` means the end of that
    day: what holds until a date still holds on that day.

    Raises: ValueError for what is no time; OverflowError for what is beyond the calendar, and for a span of over ten
    years ahead.
    """
    span = span_of(text)
    if span is not None:
        if ahead and span > FURTHEST:
            raise OverflowError
        return now + span if ahead else now - span
    # A week that is meant whole would be read as its Monday.
    if "W" in text:
        raise ValueError
    at = datetime.fromisoformat(_in_utc(text))
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    return day_after(at) if ahead and is_day(text) else at


def is_day(text: str) -> bool:
    """Is it a date without a time, so that the whole day is meant?"""
    return DATE.fullmatch(_in_utc(text)) is not None


def _in_utc(text: str) -> str:
    # As the pages write a time; without a zone it is in UTC anyway.
    return text.removesuffix(" UTC")
