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
    retry=retry_if_exception(lambda e: isinstance(e, SourceUnavailable)),
    stop=stop_after_attempt(3) | stop_after_delay(20),
    wait=wait_random_exponential(multiplier=0.2, max=3),
    reraise=True,
)


def retried(call: Callable[[], T]) -> T:
    """The call's result; a passing `SourceUnavailable` is tried twice more."""
    return _RETRYING.copy()(call)
