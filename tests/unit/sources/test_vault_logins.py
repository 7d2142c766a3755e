"""A given token is renewed in time, and a mended credential is tried at once. No server."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from syncd.domain import SecretValue
from syncd.errors import SourceDenied
from syncd.sources.vault.answers import StatusError
from syncd.sources.vault.auth import Login
from syncd.sources.vault.server import Server
from syncd.sources.vault.session import VaultSession

DAY = 86400


class Token:
    """What the server knows of a token, and what was asked of it."""

    def __init__(self, info: dict[str, Any], renewed: Any) -> None:
        self.info, self.renewed, self.asked = info, renewed, list[str]()

    def lookup_self(self) -> Any:
        self.asked.append("lookup")
        return {"data": self.info}

    def renew_self(self) -> Any:
        self.asked.append("renew")
        if isinstance(self.renewed, Exception):
            raise self.renewed
        return {"auth": {"client_token": "t", "lease_duration": self.renewed, "renewable": True}}


def logged_in(info: dict[str, Any], renewed: Any = DAY) -> tuple[Token, VaultSession, list[Any], list[float]]:
    token, ends, clock = Token(info, renewed), list[Any](), [1000.0]
    login = Login(method="token", credentials={"token": lambda: SecretValue("t")})
    server = Server(name="v", address="http://127.0.0.1:1", on_expiry=ends.append, steady=lambda: clock[0])
    session = VaultSession(server, login, lambda: datetime(2026, 11, 29, tzinfo=UTC))
    auth: Any = SimpleNamespace(token="", adapter=SimpleNamespace(), auth=SimpleNamespace(token=token))
    session._auth = auth
    assert session.token() == "t"
    return token, session, ends, clock


@pytest.mark.parametrize(
    ("info", "asked"),
    [
        ({"ttl": DAY, "creation_ttl": DAY, "renewable": True}, ["lookup"]),
        ({"ttl": 0.7 * DAY, "period": DAY, "renewable": True}, ["lookup"]),
        ({"ttl": 0.6 * DAY, "period": DAY, "creation_ttl": 60, "renewable": True}, ["lookup", "renew"]),
        ({"ttl": 600, "creation_ttl": DAY, "renewable": True}, ["lookup", "renew"]),
        ({"ttl": 600, "creation_ttl": DAY, "renewable": False}, ["lookup"]),
        ({"ttl": 0, "renewable": False}, ["lookup"]),
        ({"ttl": 3600, "renewable": True}, ["lookup"]),
    ],
)
def test_a_command_renews_a_token_that_is_far_in_its_lease(info: dict[str, Any], asked: list[str]) -> None:
    token, _, ends, _ = logged_in(info)
    assert token.asked == asked
    assert bool(ends[-1]) is (not info["renewable"] and info["ttl"] > 0), "what is renewed does not end"


def test_a_process_that_lives_on_renews_at_two_thirds_of_the_whole_lease() -> None:
    token, session, _, clock = logged_in({"ttl": 0.7 * DAY, "period": DAY, "renewable": True})
    clock[0] += 0.3 * DAY
    session.token()
    assert token.asked == ["lookup"]
    clock[0] += 0.1 * DAY
    session.token()
    assert token.asked == ["lookup", "renew"]


@pytest.mark.parametrize("left", [0.3 * DAY, 600, 30])
def test_a_token_that_nothing_renews_is_not_looked_at_for_each_request(left: float) -> None:
    token, session, _, clock = logged_in({"ttl": left, "creation_ttl": DAY, "renewable": False})
    for _ in range(50):
        clock[0] += left / 100
        session.token()
    assert token.asked == ["lookup"]


def test_a_token_whose_renewal_is_refused_is_told_to_end() -> None:
    info = {"ttl": 600, "creation_ttl": DAY, "renewable": True}
    _, _, ends, _ = logged_in(info, renewed=StatusError(403, ("permission denied",), {}))
    assert ends[-1] == datetime(2026, 11, 29, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize("changes", ["its credential", "its identity", "nothing"])
def test_another_credential_or_identity_is_tried_at_once(changes: str) -> None:
    now = {"its credential": "a", "its identity": "a"}
    tried: list[str] = []
    login = Login(
        method="cert",
        credentials={"role_id": lambda: SecretValue(now["its credential"])},
        identity=lambda: SecretValue(now["its identity"]),
    )
    session = VaultSession(Server(name="v", address="http://127.0.0.1:1"), login, lambda: datetime.now(UTC))

    def refused(*_: Any, **__: Any) -> Any:
        tried.append("login")
        raise StatusError(400, (), {})

    session._auth.adapter.login = refused
    for step in range(3):
        with pytest.raises(SourceDenied):
            session.token()
        if step == 1 and changes in now:
            now[changes] = "b"
    assert len(tried) == (1 if changes == "nothing" else 2)


def test_a_role_id_is_no_secret_and_may_stand_in_one() -> None:
    login = Login(
        method="approle", credentials={key: lambda: SecretValue("x" * 20) for key in ("role_id", "secret_id")}
    )
    assert len(login.secrets()) == 1 and len(login.used()) == 2
