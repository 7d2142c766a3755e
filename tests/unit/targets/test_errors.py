"""What an answer of Wix's means, and how long it asks to wait."""

from __future__ import annotations

import pytest

from syncd.errors import TargetUnavailable
from syncd.targets.wix.errors import SLOWEST_WAIT, Asked, error_of
from syncd.targets.wix.http import Answer

LISTING = Asked(target="shop", site="s", method="GET", single=False, window_seconds=60.0)


@pytest.mark.parametrize(
    ("status", "asked", "wait"),
    [
        (503, 7.0, 7.0),
        (500, 3.0, 3.0),
        (503, 10_000.0, SLOWEST_WAIT),
        (503, None, None),
        (429, None, 60.0),
        (429, 2, 2),
    ],
)
def test_an_answer_that_asks_to_wait_is_obeyed(status: int, asked: float | None, wait: float | None) -> None:
    error = error_of(Answer(status=status, body=None, request_id="", retry_after=asked, window=None), LISTING)
    assert isinstance(error, TargetUnavailable) and error.retry_after == wait
    assert error.maybe_done == (status != 429), "a fault of the server's may have taken effect"
