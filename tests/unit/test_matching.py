"""Globs: what they take, and that no name makes them slow."""

from __future__ import annotations

import re
import time

import pytest
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


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("*-*-*-*-*-key", "-" * 255),
        ("*a*a*a*a*a*a*a*b", "a" * 2000),
        ("**/a/**/a/**/a/**/b", "/".join("a" * 900)),
        ("**/*x*x*x*x*y/**/z", "/".join(["x" * 60] * 30)),
        ("*" * 200 + "b", "a" * 2000),
    ],
)
def test_no_name_makes_a_glob_slow(glob: str, name: str) -> None:
    began = time.process_time()
    assert not Glob(glob).matches(name)
    assert time.process_time() - began < 0.5, "an expression takes minutes and more for it"


def test_a_glob_is_no_text_and_a_text_is_no_glob() -> None:
    assert Glob("a/*") != "a/*" and str(Glob("a/*")) == "a/*"
    assert Glob("a/*").matches("a/*") and not Glob("a/b").matches("a/*")
