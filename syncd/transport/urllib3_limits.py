"""One call over urllib3, bounded from its request to its last byte: in seconds and in bytes.

hvac and boto3 both stand on urllib3, whose read timeout counts between two bytes only. A peer that drips
a byte now and then would hold a call for ever, and one that never stops would fill the memory.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CALL_SECONDS = 8.0
"""Seconds from the request to the last byte of the answer."""
MOST_BYTES = 16 * 1024 * 1024
"""Most bytes of one answer: the metadata of some 40,000 secrets."""


class Bounds(threading.local):
    """What the call of this thread has left."""

    until = float("inf")
    left = float("inf")
    """Bytes that are left; no limit outside of a call."""
    broken = ""
    """Which bound ended the call, in words."""
    large = False
    """Was it the size that ended the call?"""


BOUNDS = Bounds()


@contextmanager
def bounded() -> Iterator[Bounds]:
    """Bound the calls that this thread makes while the block runs. A broken bound is raised as an error of urllib3's.

    Which bound it was is told by `BOUNDS.broken` and `BOUNDS.large`, until the next call.
    """
    before = BOUNDS.until, BOUNDS.left
    BOUNDS.until, BOUNDS.left = time.monotonic() + CALL_SECONDS, MOST_BYTES
    BOUNDS.broken, BOUNDS.large = "", False
    try:
        yield BOUNDS
    finally:
        # `broken` and `large` stay: whoever translates the error asks outside of the call which bound it was.
        BOUNDS.until, BOUNDS.left = before


class _Bounded(io.RawIOBase):
    """A socket's reading side that looks at the bounds before each read."""

    def __init__(self, sock: Any, raw: Any) -> None:
        self._sock, self._raw = sock, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        seconds = BOUNDS.until - time.monotonic()
        if seconds <= 0:
            BOUNDS.broken = "took too long to answer"
            raise TimeoutError("deadline")
        if seconds != float("inf"):
            # A timeout of the socket's own starts anew with each byte: it is cut to what is left.
            self._sock.settimeout(seconds)
        count = self._raw.readinto(buffer)
        BOUNDS.left -= count or 0
        if BOUNDS.left < 0:
            BOUNDS.large = True
            BOUNDS.broken = f"answers with more than {MOST_BYTES >> 20} MB"
            # urllib3 takes it for the network's, and does not use the connection again.
            raise OSError("too large")
        return int(count) if count is not None else None

    def close(self) -> None:
        self._raw.close()
        super().close()


class BoundedResponse(http.client.HTTPResponse):
    """An answer that is read through the bounds of the calling thread."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        # Here, before the status line is read: headers without end are bounded, too.
        self.fp = io.BufferedReader(_Bounded(sock, self.fp.detach()))
