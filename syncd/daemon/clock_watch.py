"""Notices that the machine's clock jumped."""

from __future__ import annotations

import time
from datetime import timedelta

from syncd.bootstrap.process import now

CLOCK_STEP = 2.0
"""Seconds that the clock moves more or less than the time that has passed since the last look, to count as a jump."""


class ClockWatch:
    """Compares the clock with the monotonic one, from look to look."""

    def __init__(self) -> None:
        self._offset = now().timestamp() - time.monotonic()

    def step(self) -> timedelta:
        """How far the clock jumped since the last look; zero for what is no jump."""
        offset = now().timestamp() - time.monotonic()
        step, self._offset = offset - self._offset, offset
        return timedelta(seconds=step) if abs(step) >= CLOCK_STEP else timedelta(0)
