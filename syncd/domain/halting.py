"""May a request still be sent? The sender asks while it waits; the cycle that wanted it answers."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

HALTED: ContextVar[Callable[[], bool]] = ContextVar("halted", default=lambda: False)  # a function
"""Set around each action: what comes while a request waits for its place in the rate limit holds it back (a pause, the
end of a window, a consent that was taken back)."""
