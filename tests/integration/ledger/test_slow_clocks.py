"""Protections end by the clock of the slowest site, whichever answered last."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from syncd.domain.recency import TOLERANCE
from syncd.ledger.decisions import Decisions


def decisions() -> Decisions:
    door: Any = nullcontext
    return Decisions(door, door, lambda: datetime(2026, 11, 29, tzinfo=UTC))


def test_two_sites_do_not_take_turns() -> None:
    one, slow, right = decisions(), TOLERANCE * 5, timedelta(0)
    assert one.clock_is_ahead("slow", slow)
    for _ in range(3):
        assert not one.clock_is_ahead("right", right)
        assert not one.clock_is_ahead("slow", slow)
        assert one.ahead == slow
    assert one.clock_is_ahead("slow", right) and one.ahead == right


def test_the_seconds_of_an_answer_are_no_other_clock() -> None:
    one, second = decisions(), timedelta(seconds=1)
    assert one.clock_is_ahead("a", TOLERANCE + second)
    assert not one.clock_is_ahead("a", TOLERANCE + second - second / 2)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-7200, 7200)), max_size=20))
def test_it_is_at_least_what_any_site_said_last(said: list[tuple[str, int]]) -> None:
    one = decisions()
    for site, seconds in said:
        one.clock_is_ahead(site, timedelta(seconds=seconds))
    last = {site: timedelta(seconds=seconds) for site, seconds in said}
    assert one.ahead >= max([timedelta(0), *(span - 2 * TOLERANCE for span in last.values())])
