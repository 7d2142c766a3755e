"""When nobody wanted a secret's new version sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.report.kept_back import EVENTS, kept_back

BEGIN = datetime(2026, 11, 23, tzinfo=UTC)


def at(hours: float) -> datetime:
    return BEGIN + timedelta(hours=hours)


def line(hours: float, event: str, job: str = "job", **detail: Any) -> dict[str, Any]:
    return {"at": at(hours).isoformat(), "event": event, "job": job, "detail": detail}


def until(hours: float) -> str:
    return f"{at(hours):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("lines", "spans"),
    [
        ([], []),
        ([line(1, "secret.frozen", until=until(9)), line(3, "secret.thawed")], [(1, 3)]),
        ([line(1, "secret.frozen", until=until(2)), line(3, "secret.thawed")], [(1, 2)]),
        ([line(1, "secret.frozen", until=until(9))], [(1, 9)]),
        ([line(1, "secret.frozen", until=until(9)), line(2, "secret.frozen", until=until(5))], [(1, 2), (2, 5)]),
        ([line(1, "secret.rolled_back", until=until(9)), line(4, "secret.rolled_back", ended="true")], [(1, 4)]),
        ([line(1, "secret.denied"), line(6, "finding.ended", of="secret.denied")], [(1, 6)]),
        ([line(1, "orphan.found"), line(6, "finding.ended", of="orphan.found")], [(1, 6)]),
        ([line(1, "secret.denied")], [(1, None)]),
        # What is held or drifts is no rest, and another finding's end ends none.
        ([line(1, "secret.held"), line(2, "drift.found"), line(3, "finding.ended", of="drift.found")], []),
        ([line(1, "secret.denied"), line(3, "finding.ended", of="drift.found")], [(1, None)]),
        ([line(2, "secret.thawed"), line(3, "secret.rolled_back", ended="true")], []),
        (
            [line(1, "secret.frozen", until=until(9)), line(2, "secret.denied"), line(3, "secret.thawed")],
            [(1, 3), (2, None)],
        ),
        # A damaged line counts for nothing.
        ([line(1, "secret.denied"), {"at": 7, "event": "finding.ended", "job": "job", "detail": None}], [(1, None)]),
        # Another job's finding is its own; what a person decided holds for whichever job sends it.
        ([line(1, "orphan.found", "other"), line(2, "secret.denied", "other")], []),
        ([line(1, "orphan.found", "other"), line(5, "finding.ended", "other", of="orphan.found")], []),
        # One that is gone was perhaps called so; what never ended is none's.
        ([line(1, "secret.denied", "former"), line(5, "finding.ended", "former", of="secret.denied")], [(1, 5)]),
        ([line(1, "orphan.found", "former"), line(2, "secret.denied", "former")], []),
        ([line(1, "secret.denied"), line(3, "finding.ended", "other", of="secret.denied")], [(1, None)]),
        ([line(1, "secret.frozen", "other", until=until(9)), line(3, "secret.thawed", "other")], [(1, 3)]),
    ],
)
def test_each_span_is_told(lines: list[dict[str, Any]], spans: list[tuple[float, float | None]]) -> None:
    assert kept_back(lines, "job", {"other"}) == [
        (at(first), None if last is None else at(last)) for first, last in spans
    ]
    assert {item["event"] for item in lines if "ended" in item["event"]} <= set(EVENTS.split(","))
