"""Import libraries without what they load only for a command line or a terminal of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_rich(library: str) -> Iterator[None]:
    """Pretend, while `library` is imported, that rich is not installed. structlog and httpx work without it.

    structlog would load it for tracebacks that syncd never shows, httpx for its command line: 10 MB and 80 ms of
    every start. Nothing is done if `library` or rich is loaded already.
    """
    # One of them is loaded: there is nothing left to save, and whoever uses rich must not lose it.
    if {library, "rich"} & set(sys.modules):
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way to say: not to be found
    try:
        yield
    finally:
        del sys.modules["rich"]
