"""When a job may send, by the clock of its own time zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from syncd.domain.windows import Window, Windows


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        ("Mon-Fri 08:00-18:00 UTC", "2026-11-27T08:00", True),  # a Friday
        ("Mon-Fri 08:00-18:00 UTC", "2026-11-27T18:00", False),
        ("Mon-Fri 08:00-18:00 UTC", "2026-11-28T12:00", False),
        ("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-27T07:30", True),  # 08:30 there
        ("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-07-24T06:30", True),  # summer time
        ("Fri 22:00-06:00", "2026-11-27T23:00", True),
        ("Fri 22:00-06:00", "2026-11-28T05:59", True),
        ("Fri 22:00-06:00", "2026-11-28T23:00", False),
        ("Fri 22:00-06:00", "2026-11-27T05:00", False),
        ("Sat-Mon 00:00-24:00", "2026-11-29T12:00", True),  # over the week's end
        ("Sat,Wed 10:00-11:00", "2026-11-28T10:30", True),
        ("10:00-11:00", "2026-11-28T10:59", True),
    ],
)
def test_a_window(window: str, moment: str, is_open: bool) -> None:
    assert Window.parse(window).is_open(at(moment)) is is_open


@pytest.mark.parametrize(
    "text", ["", "Mon", "8-18", "Mon-Fri 8:00-18:00", "Foo 08:00-18:00", "08:00-25:00", "08:00-08:00", "08:00-18:00 Mars/X", "Mon Fri 08:00-18:00"]
)  # fmt: skip
def test_what_is_no_window(text: str) -> None:
    with pytest.raises(ValueError):
        Window.parse(text)


def test_what_goes_at_any_time() -> None:
    closed = Windows((Window.parse("Mon 08:00-09:00"),), frozenset({"update"}))
    now = at("2026-11-28T12:00")
    assert closed.objection("update", now) == "" and "Mon 08:00-09:00" in closed.objection("create", now)
    assert Windows().objection("delete", now) == ""
