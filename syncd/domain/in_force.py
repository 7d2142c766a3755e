"""Which configuration said who may do what at some moment, by the trail's lines of configurations. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from syncd.domain.audit import RELOAD, RUN
from syncd.domain.untrusted import instant, mapping


def loaded_at(line: Mapping[Any, Any]) -> datetime | None:
    """When it came into force; of a line that was told again because the first one went by age, long before it."""
    return instant(mapping(line.get("detail")).get("since")) or instant(line.get("at"))


def is_of_a_daemon(line: Mapping[Any, Any]) -> bool:
    """Did a daemon load it? A command's holds for that command alone, and serves nobody."""
    return mapping(line.get("actor")).get("via") in {RUN, RELOAD}


def place_of(line: Mapping[Any, Any]) -> int:
    """Where the trail has it; of a line that was told again, where the first one stood."""
    detail, seq = mapping(line.get("detail")), line.get("seq")
    place = detail.get("first") if "since" in detail else seq
    return place if isinstance(place, int) else 0


class InForce:
    """Looks for the configuration in force at a moment: a daemon's, or where none ever ran the last command's."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._best: tuple[bool, int] | None = None
        self.line: Mapping[Any, Any] | None = None
        """The line that tells of it; None as long as there is none."""

    def take(self, line: Mapping[Any, Any]) -> None:
        """Look at one more line, in whatever order they come."""
        loaded = loaded_at(line)
        if loaded is None or loaded >= self._at:
            return  # a damaged line is named by the chain's break
        # By the trail's own order: the clocks of two machines may be minutes apart.
        rank = (is_of_a_daemon(line), place_of(line))
        if self._best is None or rank >= self._best:
            self._best, self.line = rank, line
