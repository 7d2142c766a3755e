"""What a path was seen to have is remembered while a rollback has an older version read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain import PathState, SecretRef, SourceEntry, Version
from syncd.domain.records import NEWEST
from syncd.reconcile.observe.freshness import CONFIRMATIONS
from syncd.reconcile.observe.newest_seen import NewestSeen

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def version(number: int, lineage: str = "2026-01-01") -> Version:
    return Version(token=f"kv2:{number}@{lineage}", number=number, lineage=lineage)


def entry(number: int, lineage: str = "2026-01-01") -> SourceEntry:
    return SourceEntry(ref=SecretRef(source="vault", path="kv/a"), version=version(number, lineage))


def state(number: int, pin: str = "") -> PathState:
    return PathState(source="vault", path="kv/a", pin=pin, version=version(number), fields=("v",))


def known(seen: NewestSeen) -> int | None:
    stored = seen.changed.get(("kv/a", NEWEST))
    return stored.version.number if stored else None


def after_rollback(newest: int) -> NewestSeen:
    return NewestSeen(
        {"kv/a": PathState(source="vault", path="kv/a", pin=NEWEST, version=version(newest), fields=None)}
    )


@pytest.mark.parametrize(
    ("before", "listed", "kept"),
    [(3, 3, 3), (3, 2, 3), (3, 4, 4), (1, 3, 3), (None, 3, 3)],
)
def test_the_newest_of_what_was_read_and_listed_is_kept(before: int | None, listed: int, kept: int) -> None:
    seen = NewestSeen({})
    seen.note(entry(listed), state(before) if before else None)
    assert known(seen) == kept
    found = seen.version_of(entry(listed))
    assert found is not None and found.number == kept
    seen.changed.clear()
    seen.note(entry(listed), state(1))
    assert known(seen) is None, "an idle cycle writes nothing"


def test_what_was_read_since_an_earlier_rollback_is_the_newest() -> None:
    seen = after_rollback(3)
    seen.note(entry(3), state(5))
    assert known(seen) == 5


def test_a_new_version_meanwhile_is_the_newest() -> None:
    seen = after_rollback(3)
    seen.note(entry(5), state(1))
    assert known(seen) == 5
    assert not seen.lags(entry(5), state(1), NOW, confirmed=False)


def test_a_listing_that_lags_behind_it_is_believed_once_it_was_seen_often() -> None:
    seen = after_rollback(3)
    answers = [seen.lags(entry(2), state(1), NOW + timedelta(minutes=2 * turn), confirmed=False) for turn in range(4)]
    assert answers == [True] * (CONFIRMATIONS - 1) + [False] * (4 - CONFIRMATIONS + 1)
    assert known(seen) == 2, "a source that was really put back"


@pytest.mark.parametrize(
    ("listed", "read"),
    [
        (entry(3), 1),  # it has caught up
        (entry(2), 3),  # read since: the reading says all
        (entry(1, "2026-05-01"), 1),  # made anew
    ],
)
def test_what_is_no_lag(listed: SourceEntry, read: int) -> None:
    assert not after_rollback(3).lags(listed, state(read), NOW, confirmed=False)
    assert not NewestSeen({}).lags(listed, state(read), NOW, confirmed=False)


def test_what_an_event_names_is_judged_as_well() -> None:
    seen = after_rollback(3)
    assert seen.is_before("kv/a", version(2), state(1)) and not seen.is_before("kv/a", version(3), state(1))
    assert not seen.is_before("kv/a", version(2), state(3)) and not seen.is_before("kv/b", version(2), None)
