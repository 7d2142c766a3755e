"""The one retry layer of the sources: reads only, few tries, a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.wait import wait_random_exponential

from syncd.errors import SourceUnavailable

T = TypeVar("T")
TRIES = 3
TRIED_FOR = 20.0
"""Seconds within which a passing fault is tried again. A source that asks to wait is asked as often as fits in."""
LONGEST_WAIT = 10.0
"""Longest requested wait that is kept, in seconds; a random wait of up to 3 seconds is added.

A source that asks for longer is asked earlier, and may then ask to wait again.
"""
_GROWING = wait_random_exponential(multiplier=0.2, max=3)


def _unavailable(state: RetryCallState) -> SourceUnavailable | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, SourceUnavailable) else None


def _is_over(state: RetryCallState) -> bool:
    error = _unavailable(state)
    # A source that asks to wait is up and answers: with three tries, a quota ended each cycle after a few reads.
    tried_enough = state.attempt_number >= TRIES and not (error and error.asks_to_wait)
    return tried_enough or (state.seconds_since_start or 0.0) >= TRIED_FOR


def _wait(state: RetryCallState) -> float:
    """Return the seconds before the next try: what the source asks for, and a growing random time on top.

    The random time differs from caller to caller, because many wait at once.
    """
    error = _unavailable(state)
    return min(LONGEST_WAIT, error.retry_after if error else 0.0) + _GROWING(state)


class FailFast:
    """Make many calls to one source. Once the source as a whole does not answer, the rest fails without asking."""

    def __init__(self) -> None:
        self._gone: SourceUnavailable | None = None

    def __call__(self, call: Callable[[], T]) -> T:
        """Make the call and return its result. Raises what the call raises.

        After a `SourceUnavailable` with `whole`, no further call is made, and the same error is raised again.
        """
        if self._gone is not None:
            raise self._gone
        try:
            return call()
        except SourceUnavailable as error:
            # Without this, each of thousands of paths would wait for a timeout of its own.
            if error.whole:
                self._gone = error
            raise


def retried(call: Callable[[], T], stop: threading.Event) -> T:
    """Return what the call returns. If it raises a passing `SourceUnavailable`, it is made up to three times in all.

    A call that stalled until its timeout is not repeated. A source that asks to wait is asked more often, for up
    to 20 seconds; after them its error is marked `whole`, so that nothing more is asked.
    `stop`: set when the process ends; then no further try follows. Raises what the last call raised.
    """

    def pause(seconds: float) -> None:
        # Not a sleep: a process that is asked to end waits for no source.
        stop.wait(seconds)

    retrying = Retrying(
        # A peer that stalls costs one timeout a cycle, not three.
        retry=retry_if_exception(lambda e: isinstance(e, SourceUnavailable) and not e.stalled),
        stop=lambda state: stop.is_set() or _is_over(state),
        wait=_wait,
        sleep=pause,
        reraise=True,
    )
    try:
        return retrying(call)
    except SourceUnavailable as error:
        # Its quota stayed used up for all the time that there was: the other paths are not asked for.
        error.whole = error.whole or error.asks_to_wait
        raise
