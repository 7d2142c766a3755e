"""A plan as Markdown: nothing from outside is markup."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from syncd.cli.plan_markdown import Part, markdown


def markdown_of(name: str, note: str) -> str:
    row = ("create", name, "1", "2", "rotated", f"vault:secret/{name}")
    return markdown([Part(job="job", target="shop", rows=[row], notes=(note,))])


@given(st.text(), st.text())
def test_what_comes_from_outside_is_no_markup(name: str, note: str) -> None:
    text = markdown_of(name, note)
    row = next(line for line in text.split("\n") if line.startswith("| `"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 7 and row.count("`") == 4
    told = text.split("### To be seen to")[1] if "### To be seen to" in text else ""
    assert not re.search(r"(?<!\\)[`*_\[\]]|<|(?<!\\)@", told)
    assert text.count("\n") == markdown_of("x", "y").count("\n")
