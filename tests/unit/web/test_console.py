"""A login leads on to pages of ours alone."""

from __future__ import annotations

import pytest

from syncd.web.console import is_page


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
