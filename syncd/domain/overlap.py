"""Can two globs take one and the same name? Asked of the configuration, never of a name from outside. Pure."""

from __future__ import annotations

from functools import lru_cache

from syncd.domain.matching import Glob


def may_overlap(glob: Glob, other: Glob) -> bool:
    """Is there a name that both take?"""
    return _segments_meet(tuple(glob.text.split("/")), tuple(other.text.split("/")))


# With `**` on both sides the same rests meet again and again: without a memory the time is exponential.
@lru_cache(maxsize=4096)
def _segments_meet(segments: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if not segments or not other:
        # At the end `**` stands for one segment at least, so it does not meet nothing.
        return all(segment == "**" for segment in segments + other) and bool(segments) == bool(other)
    if segments == ("**",) or other == ("**",):
        return True  # one segment or more, whatever they hold
    if segments[0] == "**":
        return _segments_meet(segments[1:], other) or _segments_meet(segments, other[1:])
    if other[0] == "**":
        return _segments_meet(segments, other[1:]) or _segments_meet(segments[1:], other)
    return _texts_meet(segments[0], other[0]) and (
        (len(segments) == len(other) == 1) or _segments_meet(segments[1:], other[1:])
    )


@lru_cache(maxsize=4096)
def _texts_meet(mine: str, other: str) -> bool:
    """Do two patterns within a segment take one text? Their beginnings and ends decide, where both have wildcards."""
    if "*" not in mine or "*" not in other:
        pattern, text = (mine, other) if "*" in mine else (other, mine)
        return Glob(pattern).matches(text) if "*" in pattern else mine == other
    starts = (mine.partition("*")[0], other.partition("*")[0])
    ends = (mine.rpartition("*")[2], other.rpartition("*")[2])
    return _agree(*starts) and _agree(ends[0][::-1], ends[1][::-1])


def _agree(text: str, other: str) -> bool:
    return text.startswith(other) or other.startswith(text)
