"""A login leads on to pages of ours alone; what the first sentence says is true; a header is one word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.requests import Request

from syncd.web.answers import is_page
from syncd.web.auth import who_asks
from syncd.web.console import headline


@pytest.mark.parametrize(
    ("to", "leads"),
    [
        ("/secrets?status=behind&job=payments", True),
        ("/secrets/00000000-0000-4000-8000-000000000001/PAY_KEY", True),
        ("/governance", True),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("https://evil.example/secrets", False),
        ("/secrets//evil.example/x", False),
        ("/logout", False),
        ("/secrets\r\nSet-Cookie: a=b", False),
        ("/api/v1/overview", False),
        ("javascript:alert(1)", False),
    ],
)
def test_where_a_login_leads_on_to(to: str, leads: bool) -> None:
    assert is_page(to) is leads


NOW = datetime(2026, 6, 1, tzinfo=UTC)
WELL: dict[str, Any] = {
    "total": 12, "sites": 2, "statuses": {"synced": 12}, "now": NOW, "as_of": NOW - timedelta(seconds=9), "unseen": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "needs", "said"),
    [
        ({}, 0, "All 12 secrets on 2 sites are as their sources say, as of 9 s ago."),
        ({}, 1, "1 thing needs you."),
        ({"unseen": 1}, 0, "1 place of a job and a site had no good cycle yet."),
        ({"unseen": 3}, 0, "3 places of a job and a site had no good cycle yet."),
        ({"statuses": {"synced": 11, "behind": 1}, "unseen": 1}, 0, "1 of 12 secrets on 2 sites are not"),
        ({"total": 0}, 0, "No secret is here yet."),
    ],
)
def test_the_first_sentence_is_true(change: dict[str, Any], needs: int, said: str) -> None:
    assert said in headline({**WELL, **change}, needs)
    assert headline({**WELL, **change}, needs).startswith("All") == (not change and not needs)


class Accounts:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def by_token(self, token: str) -> None:
        return None

    def by_session(self, session: str) -> None:
        return None

    def by_proxy(self, headers: Any, address: str) -> None:
        self.asked.append(headers.get("x-user", ""))


@pytest.mark.parametrize(
    ("users", "named"), [([b"alice"], "alice"), ([b"mallory", b"alice"], "mallory, alice"), ([], "")]
)
def test_a_header_that_came_twice_names_neither(users: list[bytes], named: str) -> None:
    accounts = Accounts()
    scope = {"type": "http", "headers": [(b"x-user", user) for user in users], "client": ("127.0.0.1", 1)}
    assert who_asks(accounts, Request(scope)) is None  # type: ignore[arg-type]
    assert accounts.asked == [named]
