"""How long something has waited: windows that are shut and pauses do not count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain.lateness import Shut, waited
from syncd.domain.windows import Window, Windows

HOUR = timedelta(hours=1)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
OFFICE = Windows(allow=(Window.parse("Mon-Fri 08:00-18:00"),))
NIGHT = Windows(allow=(Window.parse("22:00-02:00 Europe/Berlin"),))
BOTH = Windows(allow=(Window.parse("08:00-12:00"), Window.parse("10:00-14:00")))
FREE = Windows(allow=OFFICE.allow, free=frozenset({"update"}))


def at(days: int, hours: float) -> datetime:
    return MONDAY + timedelta(days=days, hours=hours)


@pytest.mark.parametrize(
    ("windows", "since", "until", "hours"),
    [
        (Windows(), at(0, 9), at(0, 12), 3),
        (Windows(), at(0, 9), at(9, 9), 216),
        (Windows(), at(0, 9), at(0, 8), 0),  # a clock that was set back
        (OFFICE, at(0, 9), at(0, 12), 3),
        (OFFICE, at(0, 6), at(0, 9), 1),
        (OFFICE, at(0, 17), at(1, 9), 2),
        (OFFICE, at(4, 17), at(7, 9), 2),  # over the weekend
        (OFFICE, at(5, 0), at(6, 23), 0),
        (OFFICE, at(0, 0), at(14, 0), 100),
        (FREE, at(5, 0), at(5, 5), 5),
        (NIGHT, at(0, 0), at(1, 0), 4),  # 21:00 to 01:00 UTC, and the hour of the night before
        (BOTH, at(0, 0), at(1, 0), 6),
    ],
)
def test_only_the_time_in_which_it_might_be_sent_counts(
    windows: Windows, since: datetime, until: datetime, hours: float
) -> None:
    assert waited(since, until, Shut(windows=windows), enough=timedelta(days=99)) == hours * HOUR


def test_a_night_without_an_hour_is_shorter() -> None:
    """The clock went from 2:00 to 3:00 in Berlin on 29 March 2026."""
    window = Windows(allow=(Window.parse("01:00-04:00 Europe/Berlin"),))
    since = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert waited(since, since + timedelta(days=1), Shut(windows=window), enough=timedelta(days=9)) == 2 * HOUR


@pytest.mark.parametrize(
    ("rests", "hours"),
    [
        ([(at(0, 10), at(0, 11))], 9), ([(at(0, 17), at(1, 9))], 9), ([(at(0, 10), None)], 2),
        ([(at(0, 10), at(0, 12)), (at(0, 11), at(0, 13))], 7), ([(at(-1, 0), at(0, 7))], 10), ([(at(3, 0), None)], 10),
    ],
)  # fmt: skip
def test_a_pause_does_not_count(rests: list[tuple[datetime, datetime | None]], hours: float) -> None:
    shut = Shut(windows=OFFICE, rests=rests)
    assert waited(at(0, 0), at(0, 23), shut, enough=timedelta(days=99)) == hours * HOUR


def test_it_looks_no_further_back_than_it_has_to() -> None:
    assert HOUR < waited(at(-3000, 0), at(0, 0), Shut(), enough=HOUR) <= timedelta(days=1)
