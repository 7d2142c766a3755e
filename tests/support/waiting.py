"""Wait for what another process or thread does, and see that it was quick enough."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

USUAL_START = 1.2
"""Seconds that `_start` takes on the machine that the promises were measured on."""


def until(what: Callable[[], Any], seconds: float = 60) -> Any:
    """What it returns as soon as that is true. `seconds`: only a test that fails waits so long."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        told = what()
        if told or time.monotonic() > deadline:
            assert told, "it did not happen in time"
            return told
        pause.wait(0.05)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """A promise of the documentation. A slower or busier machine has as much longer as a plain start takes there."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    slower = _start() / USUAL_START if took >= seconds else 1.0
    assert took < seconds * max(slower, 1.0), f"{took:.1f} s, where everything takes {slower:.1f} times as long"


def _start() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import httpx, hvac, boto3"], check=True)
    return time.monotonic() - began
