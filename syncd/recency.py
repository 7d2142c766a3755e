"""Stored times against a clock that may have jumped: each is compared with both bounds. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

TOLERANCE = timedelta(minutes=1)
"""As far a stored time may lie ahead of the clock: what NTP corrects by itself."""


def happened_within(at: datetime | None, now: datetime, span: timedelta) -> bool:
    """Did it happen less than `span` ago? Not if it lies in the future: then the clock was wrong at one of the two."""
    return at is not None and -TOLERANCE <= now - at < span


def is_ahead(at: datetime | None, now: datetime, most: timedelta) -> bool:
    """Does this moment, set for `most` ahead at the most, still lie ahead? A wrong clock set one further ahead."""
    return at is not None and now < at <= now + most + TOLERANCE
