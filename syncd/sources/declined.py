"""Abilities that a server may lack: what it refused rests for an hour, because a policy or an upgrade may bring it."""

from __future__ import annotations

import time
from collections.abc import Callable

REST_SECONDS = 3600.0
"""From one try of a refused ability to the next: a process lives for months, and policies change meanwhile."""


class Declined:
    """Abilities that one server refused within the last hour: callers do without them."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._until: dict[str, float] = {}

    def add(self, what: str) -> None:
        """Note that the server refused this ability just now."""
        self._until[what] = self._steady() + REST_SECONDS

    def discard(self, what: str) -> None:
        """Take a refusal back: the server did not refuse this ability after all."""
        self._until.pop(what, None)

    def __contains__(self, what: str) -> bool:
        """Did the server refuse this ability within the last hour?"""
        return self._steady() < self._until.get(what, float("-inf"))
