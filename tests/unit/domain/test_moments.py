"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain.moments import moment_of, span_of

NOW = datetime(2026, 11, 29, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("4h", NOW + timedelta(hours=4)),
        ("0s", NOW),
        ("2026-12-24", datetime(2026, 12, 25, tzinfo=UTC)),  # with that day
        ("2026-11-29", datetime(2026, 11, 30, tzinfo=UTC)),  # today
        ("2026-12-24T18:00Z", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-12-24 18:00 UTC", datetime(2026, 12, 24, 18, tzinfo=UTC)),  # as the page writes it
        ("2026-12-24T18:00+02:00", datetime(2026, 12, 24, 16, tzinfo=UTC)),
        ("2020-01-01", datetime(2020, 1, 2, tzinfo=UTC)),
        ("2026-12-24 UTC", datetime(2026, 12, 25, tzinfo=UTC)),
        ("20261224 UTC", datetime(2026, 12, 25, tzinfo=UTC)),
        ("20261224", datetime(2026, 12, 25, tzinfo=UTC)),
        ("20200229", datetime(2020, 3, 1, tzinfo=UTC)),
        ("20261224T1800Z", datetime(2026, 12, 24, 18, tzinfo=UTC)),
    ],
)
def test_what_people_write(text: str, at: datetime) -> None:
    assert moment_of(text, NOW, ahead=True) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "4",
        "h",
        "4 h",
        "-1h",
        "1.5h",
        "٣m",
        "1234567s",
        "2026-13-01",
        "24.12.2026",
        "4h\n",
        "2026-W52",
        "2026W521",
        "20261301",
    ],
)
def test_what_is_no_time(text: str) -> None:
    assert span_of(text) is None
    with pytest.raises(ValueError):
        moment_of(text, NOW, ahead=True)


@pytest.mark.parametrize("text", ["99999d", "5000d"])
def test_a_span_that_is_longer_than_anybody_means(text: str) -> None:
    with pytest.raises(OverflowError):
        moment_of(text, NOW, ahead=True)


def test_what_was_since_a_date_was_since_it_began() -> None:
    assert moment_of("2026-11-01", NOW, ahead=False) == datetime(2026, 11, 1, tzinfo=UTC)


def test_who_means_for_good_writes_a_date() -> None:
    assert moment_of("9999-12-31", NOW, ahead=True).year == 9999


def test_back_from_now_as_far_as_the_calendar_goes() -> None:
    assert moment_of("5000d", NOW, ahead=False) == NOW - timedelta(days=5000)
    with pytest.raises(OverflowError):
        moment_of("999999d", NOW, ahead=False)
