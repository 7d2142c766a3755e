"""What a listed version says of the one that is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain import PathState, Version
from syncd.reconcile.observe.freshness import CONFIRMATIONS, SPACING, judge_version

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def of(number: int, lineage: str = "08:00") -> Version:
    return Version(token=f"kv2:{number}@{number}", number=number, lineage=lineage)


def known(version: Version, **more: object) -> PathState:
    return PathState(source="vault", path="kv/a", version=version, fields=None, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("listed", "reads"), [(of(1), False), (of(2), False), (of(3), True), (of(1, "09:00"), True), (None, True)]
)
def test_what_is_read(listed: Version | None, *, reads: bool) -> None:
    assert judge_version(known(of(2)), listed, NOW, confirmed=False).read is reads


def test_an_older_one_is_believed_once_it_was_seen_often() -> None:
    state, read = known(of(2)), []
    for number in range(CONFIRMATIONS):
        found = judge_version(state, of(1), NOW + number * SPACING, confirmed=False)
        read.append(found.read)
        state = found.state or state
    assert read == [False] * (CONFIRMATIONS - 1) + [True]
    assert not judge_version(state, of(1), NOW + 2 * SPACING + timedelta(seconds=1), confirmed=False).read


@pytest.mark.parametrize("lineage", ["", "07:00", "09:00"])
def test_a_listing_tells_of_which_metadata_a_known_version_is(lineage: str) -> None:
    """What was read may have been known by other metadata than it is of."""
    found = judge_version(known(of(2, lineage)), of(2), NOW, confirmed=False)
    assert not found.read and found.state == known(of(2))
    assert judge_version(known(of(2)), of(2, ""), NOW, confirmed=False).state is None, "a server that tells none"
