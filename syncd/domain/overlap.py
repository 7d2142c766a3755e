"""Can two globs take one and the same name? Asked of the configuration, never of a name from outside. Pure."""

from __future__ import annotations

from functools import lru_cache

from syncd.domain.matching import Glob


def may_overlap(one: Glob, other: Glob) -> bool:
    """Is there a name that both take?"""
    return _segments_meet(tuple(one.text.split("/")), tuple(other.text.split("/")))


@lru_cache(maxsize=4096)
def _segments_meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if not one or not other:
        return all(segment == "**" for segment in one + other) and bool(one) == bool(other)
    if one == ("**",) or other == ("**",):
        return True  # one segment or more, whatever they hold
    if one[0] == "**":
        return _segments_meet(one[1:], other) or _segments_meet(one, other[1:])
    if other[0] == "**":
        return _segments_meet(one, other[1:]) or _segments_meet(one[1:], other)
    return _texts_meet(one[0], other[0]) and ((len(one) == len(other) == 1) or _segments_meet(one[1:], other[1:]))


@lru_cache(maxsize=4096)
def _texts_meet(one: str, other: str) -> bool:
    """Do two patterns within a segment take one text? Their beginnings and ends decide, where both have wildcards."""
    if "*" not in one or "*" not in other:
        pattern, text = (one, other) if "*" in one else (other, one)
        return Glob(pattern).matches(text) if "*" in pattern else one == other
    starts = (one.partition("*")[0], other.partition("*")[0])
    ends = (one.rpartition("*")[2], other.rpartition("*")[2])
    return _agree(*starts) and _agree(ends[0][::-1], ends[1][::-1])


def _agree(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
