"""What keeps an id from being deleted, one by one: by a cycle as by a command."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from syncd.domain import Pending, RemoteSecret
from syncd.reconcile.plan.rows_unwanted import obstacle_to_deletion
from tests.unit.reconcile.plan.test_planner_rows import DAY, LISTED, NOW, RECORD, THEIRS

AT = LISTED.updated_at
assert AT is not None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"frozen_until": NOW + DAY}, "it is frozen"),
        ({"frozen_until": NOW - DAY}, ""),
        ({"adopted": True}, "it was adopted"),
        ({"remarked": True}, "the look-up by its id wrote our mark"),
        ({"unverified": True}, "not verified yet"),
        ({"pending": Pending.CREATE}, "not verified yet"),
        ({"pending": Pending.UPDATE}, "not verified yet"),
        ({"pending": Pending.DESCRIBE}, "not verified yet"),
        ({"theirs": True}, "changed at Wix by somebody else"),
        ({"pinned_at": None}, "changed at Wix by somebody else"),
    ],
)
def test_what_the_row_says(change: dict[str, Any], says: str) -> None:
    told = obstacle_to_deletion(replace(RECORD, **change), LISTED, NOW, plausible=True)
    assert says in told if says else not told


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "OTHER"}, "renamed to OTHER"),
        ({"name": "key"}, "renamed to key"),
        ({"description": THEIRS}, "description was changed"),
        ({"description": ""}, "description was changed"),
        ({"updated_at": AT + timedelta(minutes=1)}, "changed at Wix by somebody else"),
        ({"updated_at": AT - DAY}, "changed at Wix by somebody else"),  # put back by a restore of the site
        ({"updated_at": NOW + DAY}, "changed at Wix by somebody else"),
        ({"updated_at": None}, "changed at Wix by somebody else"),
    ],
)
def test_what_the_listing_says(change: dict[str, Any], says: str) -> None:
    assert says in obstacle_to_deletion(RECORD, replace(LISTED, **change), NOW, plausible=True)


@pytest.mark.parametrize(("listed", "plausible"), [(None, True), (LISTED, False), (None, False)])
def test_a_listing_that_is_not_to_go_by(listed: RemoteSecret | None, plausible: bool) -> None:
    assert "does not show it" in obstacle_to_deletion(RECORD, listed, NOW, plausible=plausible)


def test_a_site_that_tells_no_dates_has_none_that_speaks_against_it() -> None:
    undated = replace(RECORD, pinned_at=None)
    assert not obstacle_to_deletion(undated, replace(LISTED, updated_at=None), NOW, plausible=True)
