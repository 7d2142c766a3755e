"""Connections that nobody used for a while are given up, because what lies between may have forgotten them.

Load balancers and NAT gateways forget a connection that is idle (AWS: an ALB after 60 seconds, a NAT gateway after
350), and many say nothing or reset it only at its next byte: that request would be lost, or waited for in vain.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

IDLE_SECONDS = 5.0
"""Seconds without use after which a new connection costs less than the risk of the old one."""


class IdleWatch:
    """When the connections of one pool were last used; for pools that cannot tell themselves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy, self._used_at = 0, time.monotonic()

    @contextmanager
    def use(self, drop: Callable[[], None]) -> Iterator[None]:
        """Use the pool. `drop` closes its connections: called first where all of them were idle for too long."""
        with self._lock:
            # What another thread is using is not idle, and must not be closed under it.
            if self._busy == 0 and time.monotonic() - self._used_at > IDLE_SECONDS:
                drop()
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                self._used_at = time.monotonic()
