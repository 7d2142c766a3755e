"""Run syncd, and kill it with SIGKILL at the nth time that a step of the journal is reached.

    python -m tests.chaos.crashing STEP N -- ARGUMENTS OF SYNCD

Steps: before_open, after_open (before the request), before_settle (after Wix's commit), after_settle.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from syncd.cli.app import run
from syncd.ledger.journal import SiteJournal


def main() -> int:
    step, number = sys.argv[1], int(sys.argv[2])
    left = [number]
    write = SiteJournal.write

    def reached(here: str) -> None:
        if here == step:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(self: SiteJournal, *, put: Any = (), drop: Any = (), log: Any = (), **more: Any) -> None:
        put, drop, log = list(put), list(drop), list(log)
        opens = any(record.pending for record in put)
        settles = bool(log)
        if opens:
            reached("before_open")
        if settles:
            reached("before_settle")
        write(self, put=put, drop=drop, log=log, **more)
        if opens:
            reached("after_open")
        if settles:
            reached("after_settle")

    SiteJournal.write = wrapped  # type: ignore[method-assign]
    return run(sys.argv[4:])


if __name__ == "__main__":
    sys.exit(main())
