"""Whether two globs can take one name."""

from __future__ import annotations

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
