"""Write log lines to stderr: no error of the stream ends a cycle, and the daemon does not wait for its reader."""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from contextlib import suppress

MOST_LINES = 10_000
"""Lines that wait for a reader of stderr; what comes beyond is dropped and counted."""


class LossyStream:
    """Drop output when the stream is closed or full, so that logging never aborts a cycle.

    It writes to what `sys.stderr` is at that moment: a progress bar replaces that, and so keeps its place.
    """

    def write(self, text: str) -> None:
        """Write, if it can be written."""
        _write(text)

    def flush(self) -> None:
        """Flush the stream, if it can be flushed."""
        with suppress(Exception):
            sys.stderr.flush()


class QueuedStream(LossyStream):
    """Let a thread of its own write, so that a reader who stands still (a full pipe) holds up no cycle and no stop.

    Lines keep their order. Those that were dropped are told by a line of their own once there is room again.
    """

    def __init__(self, most: int = MOST_LINES) -> None:
        """Start the thread. `most`: lines that may wait."""
        self._waiting: queue.Queue[str | None] = queue.Queue(most)
        self._dropped, self._lock = 0, threading.Lock()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Hand a line over; it never waits. After the end it is written at once."""
        if not self._thread.is_alive():
            _write(text)
            return
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self._count(1)

    def flush(self) -> None:
        """Do nothing: the thread flushes."""

    def end(self, seconds: float) -> None:
        """Let what waits be written, for so long at the most."""
        deadline = time.monotonic() + seconds
        with suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (text := self._waiting.get()) is not None:
            with self._lock:
                dropped, self._dropped = self._dropped, 0
            if dropped:
                told = {"event": "log.dropped", "lines": dropped, "level": "warning", "hint": "stderr is read slowly"}
                if not _write(json.dumps(told) + "\n"):
                    self._count(dropped)
            if not _write(text):
                self._count(1)
            super().flush()

    def _count(self, dropped: int) -> None:
        with self._lock:
            self._dropped += dropped


def _write(text: str) -> bool:
    """Write to stderr as it is at this moment; tell whether that worked, whatever the stream is."""
    try:
        sys.stderr.write(text)
    except Exception:  # noqa: BLE001  # the thread that writes the log has to outlive any fault of the stream
        return False
    return True
