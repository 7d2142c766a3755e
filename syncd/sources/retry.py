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
"""Seconds in which a passing fault is tried again; a source that asks to wait is asked as often as that takes."""
LONGEST_WAIT = 10.0
"""Seconds from one try to the next at most: one that asks for longer is asked earlier, and says so again."""
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
    """Seconds: as the source says, and a little longer each in its own way, because many wait."""
    error = _unavailable(state)
    return min(LONGEST_WAIT, error.retry_after if error else 0.0) + _GROWING(state)


class FailFast:
    """Asks for many things until the source as a whole does not answer; the rest then fails without asking."""

    def __init__(self) -> None:
        self._gone: SourceUnavailable | None = None

    def __call__(self, call: Callable[[], T]) -> T:
        """The call's result. Raises what it raises, and again what said that asking is no use."""
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
    """What the call returns. One that ends in a passing `SourceUnavailable` is made up to three times in all.

    Raises what the last call raised. A call that stalled until its time was up is not made again; one that was asked
    to wait is made again for as long as that takes, within the time, and then nothing more is asked.
    `stop`: set when the process ends.
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
