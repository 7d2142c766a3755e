"""Run syncd with every thread pool done in line, so that its system calls come in one countable order.

python -m tests.chaos.serial ARGUMENTS OF SYNCD
"""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Inline(concurrent.futures.Executor):
    """An executor that does the work at once, in the calling thread."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **_: Any) -> Iterator[Any]:
        return map(fn, *iterables)


if __name__ == "__main__":
    concurrent.futures.ThreadPoolExecutor = Inline  # type: ignore[misc,assignment]
    from syncd.cli.app import run

    sys.exit(run(sys.argv[1:]))
