"""Held actions: what a release is bound to, how long it holds, and which batch an action is in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain.decisions import HeldAction, batched

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
UPDATE = HeldAction(
    site="s1",
    job="job",
    target="shop",
    cause="rule prod",
    action="update",
    name="a_v",
    ref="vault:kv/a#v",
    from_version="1",
    to_version="2",
    remote_id="id-1",
)


@pytest.mark.parametrize(
    ("change", "by_itself", "finishing"),
    [
        ({}, True, True),
        ({"from_version": "1.5"}, False, True),
        ({"to_version": "3"}, False, False),
        ({"ref": "vault:kv/a#w"}, False, False),
        ({"name": "b_v"}, False, False),
        ({"cause": "rule other"}, False, False),
        ({"remote_id": "id-2", "to_version": "3"}, False, False),
    ],
)
def test_a_release_covers_its_own_action(change: dict[str, str], by_itself: bool, finishing: bool) -> None:
    wanted = replace(UPDATE, **change)
    assert UPDATE.covers(wanted, finishing=False) is by_itself
    assert UPDATE.covers(wanted, finishing=True) is finishing


@pytest.mark.parametrize(("hours", "holds"), [(0, True), (23, True), (24, False), (-1, False)])
def test_a_release_holds_for_a_day(hours: int, holds: bool) -> None:
    assert replace(UPDATE, released_at=NOW - timedelta(hours=hours)).is_released(NOW) is holds


def test_deletions_are_a_batch_of_their_own() -> None:
    wanted = [UPDATE, replace(UPDATE, name="b_v", action="create"), replace(UPDATE, name="c_v", action="delete")]
    batches: dict[str, set[str]] = {}
    for item in batched(wanted, (), NOW):
        batches.setdefault(item.batch, set()).add(item.action)
    assert sorted(map(sorted, batches.values())) == [["create", "update"], ["delete"]]


def test_what_waits_keeps_its_batch() -> None:
    (first,) = batched([UPDATE], (), NOW)
    later = replace(UPDATE, name="b_v")
    both = {item.name: item for item in batched([UPDATE, later], [first], NOW + timedelta(hours=1))}
    assert both["a_v"] == first and both["b_v"].batch != first.batch
