"""Libraries without what they take along for a command line or a terminal of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_rich(library: str) -> Iterator[None]:
    """While the library is imported, rich is not there: structlog wants it for tracebacks that are never shown,
    httpx for a command; 10 MB and 80 ms of every start. Both go without where it is not installed.
    """
    if {library, "rich"} & set(sys.modules):
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way to say: not to be found
    try:
        yield
    finally:
        del sys.modules["rich"]
