"""Reads at one Vault server, logged in and retried while a fault may pass."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from syncd.domain.ports import Clock
from syncd.sources.declined import Declined
from syncd.sources.retry import retried
from syncd.sources.vault.answers import UNKNOWN_METHOD, StatusError
from syncd.sources.vault.auth import Login
from syncd.sources.vault.server import Server
from syncd.sources.vault.session import VaultSession

LIST = "the method LIST"


class VaultClient:
    """Reads at one server."""

    def __init__(self, server: Server, login: Login, clock: Clock) -> None:
        self.name = server.name
        self._session = VaultSession(server, login, clock)
        self._declined = Declined()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, method: str, path: str, call: str, **params: str) -> dict[str, Any]:
        """Send one read with a valid token; a passing fault is retried. Returns: the JSON object, empty for a 204.

        `call`: its name for the metrics. Raises `StatusError` for a 4xx about the path (400, 403, 404, 405, or our own
        `REPEATS`), `SourceError` for the rest.
        """
        return retried(lambda: self._get(method, path, call, params), self._session.server.stop)

    def _get(self, method: str, path: str, call: str, params: dict[str, str]) -> dict[str, Any]:
        token = self._session.token()
        try:
            return self._send(method, path, call, params, token)
        except StatusError as error:
            # A token may end before its time. A policy's 403 leads to no login: logins in a loop lock a role out.
            if error.status != 403 or not self._session.expired(token, error):
                raise
        token = self._session.token()
        try:
            return self._send(method, path, call, params, token)
        except StatusError as error:
            if error.status == 403:
                self._session.expired(token, error)  # it says so where the new token is not known either
            raise

    def _send(self, method: str, path: str, call: str, params: dict[str, str], token: str) -> dict[str, Any]:
        self._session.server.on_call(call)
        url = "/v1/" + quote(path, safe="/")
        if method == "list" and LIST in self._declined:
            method, params = "get", {**params, "list": "true"}
        try:
            answer = self._session.request(method, url, params, token)
        except StatusError as error:
            if method != "list" or error.status != UNKNOWN_METHOD or error.body:
                raise
            # Vault takes a LIST as a GET with a parameter, too (its HTTP API's reference): for such proxies.
            answer = self._session.request("get", url, {**params, "list": "true"}, token)
            self._declined.add(LIST)
        # A 204 says nothing; what reads an empty answer takes it for none of Vault's, never for an absence.
        return answer if isinstance(answer, dict) else {}
