"""Globs over paths: patterns of the configuration, never names from outside. Pure, in linear time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True, repr=False)
class Glob:
    """A pattern over paths that somebody wrote into the configuration.

    `*` stands for any text within one segment (a segment that is just `*` is not empty), `**` for any number
    of segments, whatever they hold; at the end for at least one. A name from outside (a
    listing, an event, a command) is a `str`: it is matched against a glob and never becomes one.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    # It is a part of a rule's digest: with another text every rule would pass for changed.
    def __repr__(self) -> str:
        return repr(self.text)

    @property
    def has_wildcard(self) -> bool:
        """Is this a pattern, not an exact path?"""
        return "*" in self.text

    @property
    def prefix(self) -> str:
        """What stands before the first wildcard; all of an exact path."""
        return self.text.partition("*")[0]

    @property
    def folder(self) -> str:
        """The folder that holds all that it may take: the whole segments before the first wildcard."""
        return self.prefix.rpartition("/")[0] if self.has_wildcard else self.text

    def without(self, start: str) -> Glob:
        """Return the glob relative to `start`, a folder (with its final slash) that all of its matches lie in."""
        return Glob(self.text.removeprefix(start))

    def in_any_case(self) -> Glob:
        """Return the glob for names that were casefolded."""
        return Glob(self.text.casefold())

    def matches(self, name: str) -> bool:
        """Does the glob take this name? Takes time in proportion to their lengths, whatever they hold."""
        # Parsed once a glob: it is matched against thousands of names in a cycle.
        blocks, last = _parsed(self.text)
        if not self.has_wildcard:
            return name == self.text
        segments = name.split("/")
        return _fits(blocks, segments) if not last else _fits_with_tail(blocks, segments)

    def may_lead_to(self, folder: str) -> bool:
        """Can anything below `folder` (no final slash; empty for the top) be taken?"""
        wanted = self.text.split("/")
        for index, segment in enumerate(folder.split("/") if folder else []):
            if index < len(wanted) and wanted[index] == "**":
                return True
            # The last segment of a glob is of a secret: nothing below it is taken.
            if index >= len(wanted) - 1 or not _segment_fits(wanted[index], segment):
                return False
        return True


@lru_cache(maxsize=512)
def _parsed(text: str) -> tuple[tuple[tuple[str, ...], ...], bool]:
    """The runs of segments between `**`s, and whether a `**` stands at the end."""
    segments = text.split("/")
    last = segments[-1] == "**"
    blocks: list[list[str]] = [[]]
    for segment in segments[:-1] if last else segments:
        if segment == "**":
            blocks.append([])
        else:
            blocks[-1].append(segment)
    return tuple(tuple(block) for block in blocks), last


def _segment_fits(pattern: str, segment: str) -> bool:
    """Does a pattern match one segment? The texts between its wildcards are found in order, each at its first place."""
    if pattern == "*":
        return segment != ""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == segment
    end = len(segment) - len(rest[-1])
    # Beginning and end may not share characters: `ab*ba` does not take `aba`.
    if not (segment.startswith(first) and end >= len(first) and segment.endswith(rest[-1])):
        return False
    at = len(first)
    # The first place is enough, since a later one leaves less room for the rest: no way back, so linear time.
    for piece in rest[:-1]:
        found = segment.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _block_fits(block: tuple[str, ...], segments: list[str], at: int) -> bool:
    return all(_segment_fits(pattern, segments[at + index]) for index, pattern in enumerate(block))


def _placed(blocks: tuple[tuple[str, ...], ...], segments: list[str], end: int) -> int:
    """Return the index after the last block, with each block at the first place after the one before; -1: no place.

    Between two blocks any number of segments may stand. `end`: the index at which the last block has to end at the
    latest.
    """
    if len(blocks[0]) > end or not _block_fits(blocks[0], segments, 0):
        return -1
    at = len(blocks[0])
    # As within a segment, the first place leaves the most room for the blocks that follow.
    for block in blocks[1:]:
        while at + len(block) <= end and not _block_fits(block, segments, at):
            at += 1
        if at + len(block) > end:
            return -1
        at += len(block)
    return at


def _fits(blocks: tuple[tuple[str, ...], ...], segments: list[str]) -> bool:
    """Does a glob without a `**` at its end match? Its last block has to stand at the end of the name."""
    *before, final = blocks
    start = len(segments) - len(final)
    if not before:
        return start == 0 and _block_fits(final, segments, 0)
    return start >= 0 and _placed(tuple(before), segments, start) >= 0 and _block_fits(final, segments, start)


def _fits_with_tail(blocks: tuple[tuple[str, ...], ...], segments: list[str]) -> bool:
    """Does a glob with a `**` at its end match? At least one segment has to follow its last block."""
    return segments != [""] and _placed(blocks, segments, len(segments) - 1) >= 0
