"""A list of any length is counted whole, and shown by its first rows."""

from __future__ import annotations

import random

import pytest

from syncd.report.governance import Shown


@pytest.mark.parametrize(("rows", "parts"), [(0, 1), (4, 1), (5, 3), (400, 7), (400, 400)])
def test_the_first_rows_are_the_same_in_whatever_parts_they_come(rows: int, parts: int) -> None:
    everything = [{"target": f"t{number % 7}", "name": f"n{number:03}"} for number in range(rows)]
    mixed = random.Random(parts).sample(everything, rows)
    shown = Shown(5)
    for number in range(parts):
        shown.add(iter(mixed[number::parts]))
    assert shown.count == rows
    assert shown.rows == sorted(everything, key=lambda row: (row["target"], row["name"]))[:5]
    assert shown.left_out == max(0, rows - 5)
