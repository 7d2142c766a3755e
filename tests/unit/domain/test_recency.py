"""Days at the end of the calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from syncd.domain.recency import END, day_after


@pytest.mark.parametrize(
    ("at", "after"),
    [
        (datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        (datetime(9999, 12, 30, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)),
        (datetime(9999, 12, 31, tzinfo=UTC), END),
        (END, END),
    ],
)
def test_the_day_after(at: datetime, after: datetime) -> None:
    assert day_after(at) == after
