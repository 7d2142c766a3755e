"""When a job may send: days of the week, a time of the day, a time zone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FORM = re.compile(
    r"(?:(?P<days>[A-Za-z]{3}(?:-[A-Za-z]{3})?(?:,[A-Za-z]{3}(?:-[A-Za-z]{3})?)*) +)?"
    r"(?P<begin>\d{2}:\d{2})-(?P<end>\d{2}:\d{2})(?: +(?P<zone>[A-Za-z0-9_+/-]+))?"
)
VERBS = ("create", "update", "delete")
EXAMPLE = "write days, hours and a time zone, such as Mon-Fri 08:00-18:00 Europe/Berlin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Some hours of some days. If it ends before it begins, it goes past midnight, and is of the day it begins on."""

    text: str
    days: frozenset[int]
    begin: time
    end: time
    """`00:00` and `24:00` both mean the end of the day."""
    zone: str

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read a window such as `Mon-Fri 08:00-18:00 Europe/Berlin`.

        Without days it is open every day, without a zone the hours are in UTC. Raises ValueError, whose text says what
        to write.
        """
        match = FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(EXAMPLE)
        zone = match["zone"] or "UTC"
        try:
            ZoneInfo(zone)
        # `ZoneInfo` raises each of these: for an unknown name, one that is a path, one that is a folder.
        except (KeyError, ValueError, OSError):
            raise ValueError("the time zone is not known; write one such as Europe/Berlin") from None
        begin, end = _clock(match["begin"]), _clock(match["end"])
        # It could mean always as well as never; only 00:00-24:00 is plainly the whole day.
        if begin == end and match["end"] != "24:00":
            raise ValueError("the window ends when it begins; leave it out, or write another end")
        return cls(text=text.strip(), days=_days(match["days"]), begin=begin, end=end, zone=zone)

    def is_open(self, now: datetime) -> bool:
        """Is the window open at this moment, by the clock of its time zone?"""
        here = now.astimezone(ZoneInfo(self.zone))
        at, today = here.time(), here.weekday()
        if self.end == time(0) or self.begin < self.end:
            return today in self.days and self.begin <= at and (self.end == time(0) or at < self.end)
        yesterday = (here - timedelta(days=1)).weekday()
        return (today in self.days and at >= self.begin) or (yesterday in self.days and at < self.end)

    def edges(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the moments, in UTC, at which the window may open or close.

        They are of all days from the one before `begin` to the day of `end`, also of days on which it does not open.
        """
        zone = ZoneInfo(self.zone)
        day, last = begin.astimezone(zone).date() - timedelta(days=1), end.astimezone(zone).date()
        while day <= last:
            yield from (datetime.combine(day, at, zone).astimezone(UTC) for at in (self.begin, self.end))
            day += timedelta(days=1)


def _clock(text: str) -> time:
    hours, minutes = map(int, text.split(":"))
    if (hours, minutes) == (24, 0):
        return time(0)
    if hours > 23 or minutes > 59:
        raise ValueError(EXAMPLE)
    return time(hours, minutes)


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"days are {', '.join(day.title() for day in DAYS)}")
        start, end = DAYS.index(first), DAYS.index(last or first)
        # `Fri-Mon` goes on over the end of the week.
        found |= {day % 7 for day in range(start, end + 1 + (7 if end < start else 0))}
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a job; none: always open."""

    allow: tuple[Window, ...] = ()
    free: frozenset[str] = frozenset()
    """Verbs (create, update, delete) that go at any time."""

    def objection(self, verb: str, now: datetime) -> str:
        """Why an action may not be sent now; empty if it may."""
        if not self.allow or verb in self.free or any(window.is_open(now) for window in self.allow):
            return ""
        return f"outside the job's window ({', '.join(window.text for window in self.allow)})"

    def what_waits(self, now: datetime) -> str:
        """Which actions may not be sent now, and for what they wait, in words; empty if all may."""
        held = {verb: why for verb in VERBS if (why := self.objection(verb, now))}
        waiting = "nothing is sent" if len(held) == len(VERBS) else f"no {' and no '.join(held)} is sent"
        return f"{waiting} {next(iter(held.values()))}" if held else ""
