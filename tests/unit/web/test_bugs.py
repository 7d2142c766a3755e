"""A request that ends in a fault of ours: whoever asked is told so, and the log says where, without names."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httpx
import pytest

from syncd.web.principal import Principal
from syncd.web.routes import build
from syncd.web.service import Service


class Broken:
    """A service that breaks at whatever it is asked for a page."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str]] = []

    def by_token(self, _token: str) -> Principal:
        return Principal(name="ann", kind="token", may=frozenset({"read", "sync", "reload"}))

    def bug(self, route: str, error: Exception) -> None:
        self.noted.append((route, type(error).__name__))

    def __getattr__(self, name: str) -> Any:
        def broken(*_: object, **__: object) -> Any:
            raise ZeroDivisionError("planted-name")

        return broken


@pytest.mark.parametrize(
    ("method", "path", "route", "says"),
    [
        ("GET", "/api/v1/secrets/site/planted-name", "GET /api/v1/secrets/{site}/{name}", '"exit_code": 70'),
        ("GET", "/api/v1/audit", "GET /api/v1/audit", '"exit_code": 70'),
        ("GET", "/status", "GET /status", "its log says where"),
        ("POST", "/-/reload", "POST /-/reload", "its log says where"),
    ],
)
def test_it_is_noted_with_its_route(method: str, path: str, route: str, says: str) -> None:
    service = Broken()
    transport = httpx.ASGITransport(build(cast("Service", service)), raise_app_exceptions=False)

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, headers={"Authorization": "Bearer x"})

    answer = asyncio.run(asked())
    assert answer.status_code == 500 and says in answer.text and "planted" not in answer.text
    assert service.noted == [(route, "ZeroDivisionError")]
