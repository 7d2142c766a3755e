"""Whether a request that waits may still be sent: its sender asks, and the cycle that wanted it answers."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

HALTED: ContextVar[Callable[[], bool]] = ContextVar("halted", default=lambda: False)  # a function
"""Returns True if the action may not be sent any more; set around each action.

So a pause, the end of a window, or a consent that was taken back also holds back a request that waits for its
place in the rate limit.
"""
