"""syncd without its audit trail: the baseline that the trail's cost is measured against.

python -m tests.benchmarks.unaudited ARGUMENTS OF SYNCD
"""

from __future__ import annotations

import sys
from typing import Any

from syncd.cli.app import run
from syncd.domain.ports import NO_AUDIT
from syncd.ledger.journal import SiteJournal


def main() -> int:
    write = SiteJournal.write

    def bare(self: SiteJournal, **what: Any) -> None:
        write(self, **{**what, "audit": NO_AUDIT})

    SiteJournal.write = bare  # type: ignore[method-assign]
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
