"""The standard streams of a command: there, in UTF-8, and closed without an error of Python's own."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


def prepare_streams() -> None:
    """Give the process the standard streams that it was started without, and write UTF-8 to what is no terminal.

    Closed ones would leave their numbers to the next files that are opened, the ledger among them.
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
    """Throw away what a stream takes no more; else the process would end in an error of Python's own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
