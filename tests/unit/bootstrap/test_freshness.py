"""Which sites nobody looked at for too long, or since their source had news."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from syncd.bootstrap.freshness import stale
from syncd.domain import LastRun

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROW = ("site", "job")


def at(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def is_stale(*, every: float | None = 1, news: float | None = None, **told: float) -> bool:
    """Of a job that runs each so many minutes: is its one site stale, by what its last run tells, in minutes ago?"""
    counts = json.dumps({name: at(ago).isoformat() for name, ago in told.items()})
    run = LastRun(
        job="job", site="site", target="shop", started_at=NOW, finished_at=NOW, exit_code=5, counts=counts
    )  # fmt: skip
    schedule = SimpleNamespace(interval=lambda: timedelta(minutes=every)) if every is not None else None
    settings: Any = SimpleNamespace(jobs={"job": SimpleNamespace(schedule=schedule, targets=["shop"])})
    ledger: Any = SimpleNamespace(runs=lambda: [run], news_at=lambda _job: None if news is None else at(news))
    found = stale(settings, ledger, lambda _target: "site", NOW)
    assert found in (frozenset(), {ROW})
    return bool(found)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"looked_at": 3}, False),
        ({"looked_at": 5}, True),
        ({"looked_at": 5, "every": 5}, False),
        ({"looked_at": 5000, "every": None}, False),
        # Where no look ever came to its end.
        ({"tried_since": 3}, False),
        ({"tried_since": 5}, True),
        ({"tried_since": 5, "first_look": 5, "every": None}, False),
        # Since its source had news.
        ({"looked_at": 1, "news": 1}, False),
        ({"looked_at": 1, "news": 0.5}, True),
        ({"looked_at": 1, "news": 0.5, "every": None}, True),
        ({"tried_since": 2, "first_look": 1, "news": 1}, False),
        ({"tried_since": 2, "first_look": 1, "news": 0.5}, True),
        ({"tried_since": 2, "first_look": 1, "news": 0.5, "every": None}, True),
        ({"tried_since": 2, "news": 0.5}, False),  # nothing came there yet
    ],
)
def test_what_nobody_looked_at_is_stale(told: dict[str, Any], expected: bool) -> None:
    assert is_stale(**told) is expected
