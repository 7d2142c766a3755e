"""SIGTERM and SIGINT while a command runs."""

from __future__ import annotations

import os
import signal
import sys
import threading

from syncd.cli.context import Context


class Signals:
    """Handle SIGTERM and SIGINT: the running command settles the requests in flight and then ends.

    A second signal ends it at once, and so does the first one for a command that only looks (`KeyboardInterrupt`).
    """

    def __init__(self) -> None:
        self.number = 0
        # Python lets no other thread set handlers of signals.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        again, self.number = bool(self.number), number
        Context.stop.set()
        # A command that only looks has nothing in flight. Of any other the second signal means at once.
        if again or not Context.stoppable:
            raise KeyboardInterrupt
        if sys.stderr.isatty():
            # Not through sys.stderr: where a write was going on there, its buffer refuses a second one.
            os.write(2, b"\nstopping: what is in flight ends first; once more to leave at once\n")

    def code(self, code: int) -> int:
        """130 or 143 when interrupted, else the command's own."""
        return 128 + self.number if self.number else code
