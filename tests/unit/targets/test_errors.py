"""What an answer of Wix's means, and how long it asks to wait."""

from __future__ import annotations

import pytest

from syncd.errors import NameTaken, SecretGone, SecretRefused, SiteFull, TargetError, TargetUnavailable
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


def judged(status: int, code: str, method: str) -> TargetError | None:
    body = {"message": "", "details": {"applicationError": {"code": code}}} if code else {"message": ""}
    asked = Asked(target="shop", site="s", method=method, single=method != "POST", window_seconds=60.0)
    return error_of(Answer(status=status, body=body, request_id="r", retry_after=None, window=None), asked)


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "ABORTED"), (408, ""), (425, ""), (499, "CANCELLED"), (400, "DEADLINE_EXCEEDED"), (404, "UNAVAILABLE"), (412, "UNKNOWN"), (400, "INTERNAL")],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_what_may_pass_or_may_have_been_done_is_no_refusal(status: int, code: str, method: str) -> None:
    error = judged(status, code, method)
    assert isinstance(error, TargetUnavailable) and error.maybe_done


@pytest.mark.parametrize(
    ("status", "code", "method", "kind"),
    [
        (409, "ALREADY_EXISTS", "POST", NameTaken),
        (409, "", "PATCH", NameTaken),
        (400, "OUT_OF_RANGE", "POST", SecretRefused),
        (400, "RESOURCE_EXHAUSTED", "POST", SiteFull),
        (400, "RESOURCE_EXHAUSTED", "PATCH", SecretRefused),
        (400, "INVALID_ARGUMENT", "PATCH", SecretRefused),
        (404, "NOT_FOUND", "DELETE", SecretGone),
    ],
)
def test_a_refusal_is_one_secrets_own(status: int, code: str, method: str, kind: type[TargetError]) -> None:
    assert type(judged(status, code, method)) is kind
