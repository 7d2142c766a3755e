"""Does a site hold a version? By the rows that `where` shows, whoever sent them."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.domain import STATUSES
from syncd.report.held_versions import has_it


def row(holds: str | None, newest: str | None, status: str = "synced", **more: Any) -> dict[str, Any]:
    return {"version": holds, "source_version": newest, "status": status, **more}


@pytest.mark.parametrize(
    ("found", "asked", "has"),
    [
        (row("3", "3"), None, True),
        (row("2", "3", "behind"), None, False),
        (row("2", "3", "behind"), "2", True),
        (row("3", "3"), "2", True),
        (row("3", "3", "behind"), "3", False),
        (row("3", "3", "behind", is_changed_by_others=True), "3", False),
        (row("3", "3", "behind", is_changed_by_others=False), "3", True),
        *((row("3", "4", status, is_changed_by_others=True), "3", False) for status in STATUSES),
        *((row("3", "3", status, is_changed_by_others=True), None, False) for status in STATUSES),
        (row("3", "3", "behind", is_changed_by_others=False), None, False),
        (row("5", "2", "behind"), "2", False),
        (row("2", "3", "behind", is_of_an_earlier_secret=True), "1", False),
        (row("2", "2", "frozen", is_of_an_earlier_secret=True), None, False),
        (row("3", "3", "contested"), "3", False),
        (row("3", "3", "unverified"), "1", False),
        (row("3", "3", "frozen"), None, True),
        (row(None, "3", "failed"), "1", False),
        (row("id-a", "id-b", "behind"), "id-a", True),
        (row("id-a", "id-b", "behind"), "id-b", False),
        (row("3", None), None, True),
    ],
)
def test_whether_a_site_has_it(found: dict[str, Any], asked: str | None, has: bool) -> None:
    assert has_it(found, asked) is has
