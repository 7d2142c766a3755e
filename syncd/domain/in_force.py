"""Find the configuration that was in force at a moment (it says who may do what) by the audit trail's lines. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from syncd.domain.audit import RELOAD, RUN
from syncd.domain.untrusted import instant, mapping


def loaded_at(line: Mapping[Any, Any]) -> datetime | None:
    """Return when the configuration of a `config.loaded` line came into force; None for a damaged line.

    Where the first line was removed by age and told again, that is the time of the first one, long before this line's.
    """
    return instant(mapping(line.get("detail")).get("since")) or instant(line.get("at"))


def is_of_a_daemon(line: Mapping[Any, Any]) -> bool:
    """Did a daemon load this configuration? One that a command loads holds for that command alone."""
    return mapping(line.get("actor")).get("via") in {RUN, RELOAD}


def place_of(line: Mapping[Any, Any]) -> int:
    """Return the seq of the line or, for one that was told again, that of the first one; 0 for a damaged line."""
    detail, seq = mapping(line.get("detail")), line.get("seq")
    place = detail.get("first") if "since" in detail else seq
    return place if isinstance(place, int) else 0


class InForce:
    """Finds the configuration in force at a moment: the last that a daemon loaded or, where none ran, a command."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._best: tuple[bool, int] | None = None
        self.line: Mapping[Any, Any] | None = None
        """The `config.loaded` line of that configuration; None while none was found."""

    def take(self, line: Mapping[Any, Any]) -> None:
        """Look at one more line, in whatever order they come."""
        loaded = loaded_at(line)
        if loaded is None or loaded >= self._at:
            return  # a damaged line is named by the chain's break
        # By the trail's own order: the clocks of two machines may be minutes apart.
        rank = (is_of_a_daemon(line), place_of(line))
        if self._best is None or rank >= self._best:
            self._best, self.line = rank, line
