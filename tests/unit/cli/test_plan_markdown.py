"""A plan as Markdown: deletions first, nothing from outside is markup, cut with a count."""

from __future__ import annotations

import re

from syncd.cli.plan_markdown import LIMIT, Part, markdown


def part(*rows: tuple[str, str], notes: tuple[str, ...] = ()) -> Part:
    made = [(action, name, "1", "2", "rotated", f"vault:secret/{name}") for action, name in rows]
    return Part(job="job", target="shop", rows=made, notes=notes)


def test_deletions_come_first_and_all_is_counted() -> None:
    text = markdown([part(("create", "A"), ("delete", "B"), ("update", "C")), part(("delete", "D"))])
    assert text.startswith("## syncd plan: 2 to delete, 1 to update, 1 to create\n")
    assert re.findall(r"^\| `(\w)`", text, re.MULTILINE) == ["B", "D", "C", "A"]


def test_nothing_to_change_is_said() -> None:
    assert markdown([part()]) == "## syncd plan: nothing to change\n"


def test_a_long_plan_is_cut_and_says_how_much() -> None:
    text = markdown([part(*(("create", f"NAME_{number}") for number in range(5000)))])
    assert len(text) <= LIMIT
    (left,) = re.findall(r"\*\*(\d+) more lines are left out", text)
    assert text.count("| `NAME_") + int(left) == 5000
