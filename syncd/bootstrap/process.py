"""What a process is: its clock, its name for others, its memory."""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache

M_ARENA_MAX = -8
"""The number of heaps (arenas), as a parameter of glibc's mallopt(3)."""


def now() -> datetime:
    """The machine's clock, in UTC."""
    return datetime.now(UTC)


@cache
def settle_process() -> None:
    """Set up memory, once a process.

    What was imported is no longer searched for garbage (that took an eighth of an idle cycle's time). All threads
    share two heaps (glibc's one per thread keeps tens of megabytes that nobody uses).
    """
    gc.freeze()
    with suppress(OSError, AttributeError, TypeError):  # another C library needs none of it
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def holder() -> str:
    """The name of this process, as others that wait for its lock are told."""
    commands = {"run", "sync", "apply", "check", "state"}
    command = next((word for word in sys.argv[1:] if word in commands), "command")
    return f"syncd {command} (process {os.getpid()} on {socket.gethostname()})"
