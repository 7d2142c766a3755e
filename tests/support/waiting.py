"""Wait for what another process or thread does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def until(what: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        told = what()
        if told or time.monotonic() > deadline:
            assert told, "it did not happen in time"
            return told
        pause.wait(0.05)
