"""The commands; nothing but arguments in, output out."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point: run a command and turn what ends it into the documented exit code."""
    from syncd.cli.app import run

    sys.exit(run(sys.argv[1:]))
