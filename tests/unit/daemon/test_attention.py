"""Since when a site fails, and what there is to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.daemon.attention import failed_runs

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def row(codes: list[int], *, good: timedelta | None = None, fix: str = "", site: str = "guid") -> dict[str, Any]:
    runs = [{"at": NOW - timedelta(minutes=len(codes) - at), "exit_code": code} for at, code in enumerate(codes)]
    return {
        "job": "pay", "target": "shop", "site": site, "exit_code": codes[-1], "fix": fix,
        "message": f"shop: Wix refused the GET on site {site} (HTTP 403)", "last_run_at": NOW, "recent": runs,
        "as_of": NOW - good if good else None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("codes", "good", "minutes"),
    [
        ([0, 0, 5], timedelta(minutes=2), 1),
        ([0, 5, 5, 5], timedelta(minutes=4), 3),
        ([5, 0, 5, 5], timedelta(minutes=3), 2),
        ([5, 5, 1, 5], timedelta(minutes=2), 1),
        ([5] * 30, timedelta(days=3), 3 * 24 * 60),
        ([5] * 4, None, 4),
    ],
)
def test_since_the_first_of_the_last_failures(codes: list[int], good: timedelta | None, minutes: int) -> None:
    (found,) = failed_runs([row(codes, good=good)])
    assert found["since"] == NOW - timedelta(minutes=minutes)


def test_one_cause_of_many_sites_is_one_with_its_fixes_once() -> None:
    (found,) = failed_runs([row([5], fix="give the key the permission", site=site) for site in ("a-1", "b-2")])
    assert found["what"] == "Wix refused the GET on its site (HTTP 403)"
    assert found["fix"] == "give the key the permission; see: syncd check --connect"
    (found,) = failed_runs([row([4], fix="run: syncd check --connect")])
    assert found["fix"] == "run: syncd check --connect"
