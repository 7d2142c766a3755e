"""What follows the runs of jobs: lines are shipped, people are told; a receiver that is slow holds up no job."""

from __future__ import annotations

import threading
from collections.abc import Callable

from syncd.telemetry.logs import logger, safe_traceback

LAST_SECONDS = 15.0
"""Seconds that `end` waits for steps under way; the next process does what is left."""


class AfterRun:
    """Steps that are done in order: in the daemon by a thread of their own, and once more at the end."""

    def __init__(self, ended: threading.Event) -> None:
        """`ended`: set once the app is over; the thread then does no more steps."""
        self._ended, self._wanted = ended, threading.Event()
        self._steps: list[Callable[[], None]] = []
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    def append(self, step: Callable[[], None]) -> None:
        """One more step."""
        self._steps.append(step)

    def soon(self) -> None:
        """Have the thread do the steps; runs that end while it is busy share its next round."""
        self._wanted.set()
        with self._turn:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="after runs", daemon=True)
                self._thread.start()

    def drop(self) -> None:
        """Forget all steps: the configuration that they belong to was never in force."""
        self._steps.clear()

    def end(self) -> None:
        """Do the steps a last time, unless one of them is stuck."""
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)
            if self._thread.is_alive():
                return
        self._do()

    def _work(self) -> None:
        while not self._ended.is_set():
            self._wanted.wait()
            self._wanted.clear()
            if not self._ended.is_set():
                self._do()

    def _do(self) -> None:
        for step in self._steps:
            try:
                step()
            except Exception as error:  # noqa: BLE001  # a thread's boundary: a bug ends this step, not all that follow
                logger().error("cycle.bug", job="", error=type(error).__name__, where=safe_traceback(error))
