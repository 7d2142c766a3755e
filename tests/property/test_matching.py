"""Globs: what they take, and that no name makes them slow."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from syncd.domain import Glob

SEGMENTS = st.sampled_from(["a", "b", "ab", "*", "**", "a*", "*b", "a*b", "**a", "***", ""])
NAMES = st.sampled_from(["a", "b", "ab", "aab", "*", "**", "", "."])


def reference(glob: str) -> re.Pattern[str]:
    """The same law as an expression: right, and slow for some names."""
    segments, parts = glob.split("/"), []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "**":
            parts.append(".*" if last else "(?:[^/]*/)*")
        else:
            body = "[^/]+" if segment == "*" else "".join("[^/]*" if c == "*" else re.escape(c) for c in segment)
            parts.append(body if last else body + "/")
    return re.compile("".join(parts), re.DOTALL)


@given(st.lists(SEGMENTS, min_size=1, max_size=5), st.lists(NAMES, min_size=1, max_size=6))
def test_the_law_is_that_of_the_expression(pattern: list[str], name: list[str]) -> None:
    glob, path = "/".join(pattern), "/".join(name)
    if path:
        assert Glob(glob).matches(path) == bool(reference(glob).fullmatch(path))


@given(
    st.lists(SEGMENTS, min_size=1, max_size=5).filter(lambda p: "" not in p), st.lists(NAMES, min_size=2, max_size=6)
)
def test_a_folder_is_walked_wherever_it_may_lead_to_a_match(pattern: list[str], name: list[str]) -> None:
    glob = Glob("/".join(pattern))
    if "" not in name and glob.matches("/".join(name)):
        assert all(glob.may_lead_to("/".join(name[:depth])) for depth in range(len(name)))
