"""The commands. This package only reads arguments and prints output; the packages below it do the work."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point: run the command that was typed, and exit with its documented exit code."""
    from syncd.cli.app import run

    sys.exit(run(sys.argv[1:]))
