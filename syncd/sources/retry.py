"""The one retry layer of the sources: reads only, few tries, a deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception
from tenacity.stop import stop_after_attempt, stop_after_delay
from tenacity.wait import wait_random_exponential

from syncd.errors import SourceUnavailable

T = TypeVar("T")

_RETRYING = Retrying(
    retry=retry_if_exception(lambda e: isinstance(e, SourceUnavailable) and not e.stalled),
    stop=stop_after_attempt(3) | stop_after_delay(20),
    wait=wait_random_exponential(multiplier=0.2, max=3),
    reraise=True,
)


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
            if error.whole:
                self._gone = error
            raise


def retried(call: Callable[[], T]) -> T:
    """What the call returns. One that ends in a passing `SourceUnavailable` is made up to three times in all.

    Raises what the last call raised. A call that stalled until its time was up is not made again.
    """
    return _RETRYING.copy()(call)
