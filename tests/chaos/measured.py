"""Run syncd, and write the most memory that it held (in KiB, of this process alone) into a file.

python -m tests.chaos.measured FILE ARGUMENTS OF SYNCD
"""

from __future__ import annotations

import sys
from pathlib import Path

from syncd.cli.app import run

if __name__ == "__main__":
    code = run(sys.argv[2:])
    status = Path("/proc/self/status").read_text()
    Path(sys.argv[1]).write_text(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    sys.exit(code)
