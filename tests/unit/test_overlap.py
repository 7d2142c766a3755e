"""Whether two globs can take one name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.domain import Glob
from syncd.domain.overlap import may_overlap

GLOBS = st.lists(st.sampled_from(["a", "b", "*", "**", "a*", "*b", "ab"]), min_size=1, max_size=4).map("/".join)
NAMES = st.lists(st.sampled_from(["a", "b", "ab", "aab", "c"]), min_size=1, max_size=5).map("/".join)


@given(GLOBS, GLOBS, NAMES)
def test_what_both_take_is_an_overlap(one: str, other: str, name: str) -> None:
    if Glob(one).matches(name) and Glob(other).matches(name):
        assert may_overlap(Glob(one), Glob(other)) and may_overlap(Glob(other), Glob(one))


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("secret/app/**", "legacy/**", False),
        ("secret/app/**", "secret/app/legacy/**", True),
        ("secret/app/*", "secret/app/x/y", False),
        ("secret/app/*", "app/x", False),
        ("secret/app/x", "secret/app/x", True),
        ("secret/app/x", "secret/app/y*", False),
        ("prod/*-key", "prod/test-*", True),
        ("prod/*-key", "prod/*-cert", False),
        ("**/x", "a/b/c/y", False),
        ("**/x", "a/b/c/x", True),
        ("a/**", "a", False),
        ("**", "anything/at/all", True),
    ],
)
def test_examples(one: str, other: str, meets: bool) -> None:
    assert may_overlap(Glob(one), Glob(other)) is meets
