"""The standard streams of a command: there, in UTF-8, and closed without an error of Python's own."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


def prepare_streams() -> None:
    """Open the standard streams that the process was started without; write UTF-8 to a stream that is no terminal.

    The number of a closed stream would go to the next file that is opened, and this may be the ledger.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        # Python closes what it opens in child processes (PEP 446); standard streams are never closed there.
        os.set_inheritable(number, True)
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123  # for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What a program reads is UTF-8 (JSON is nothing else); a terminal may know fewer characters.
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def write_no_more(stream: TextIO) -> None:
    """Drop whatever is still written to a stream that takes no more.

    Otherwise Python would report an error of its own when the process ends.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
