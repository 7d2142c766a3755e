"""Which exit code a run ends with."""

from __future__ import annotations

from syncd.errors import worst


def test_the_worst_of_all_codes_is_told() -> None:
    assert worst({0, 1, 6}) == 6 and worst({1, 4, 5}) == 4 and worst({3, 7}) == 7 and worst(set()) == 0
