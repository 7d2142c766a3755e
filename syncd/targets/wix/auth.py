"""The two ways to log in at Wix: an API key of a site, or an app's client credentials."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import httpx

from syncd.domain import SecretValue
from syncd.errors import TargetDenied, TargetUnavailable
from syncd.targets.wix.http import Sendable, exchange

Credential = Callable[[], SecretValue[str]]
"""Read again at each use, so that a rotated mount is picked up."""

EARLY = timedelta(minutes=5)
"""How long before its expiry a token is renewed, but not before half of its life."""


class Auth(Protocol):
    """Headers for a request, and another try after a 401."""

    def headers(self) -> dict[str, str | SecretValue[str]]:
        """Return the headers that say who asks. Raises `TargetError`; `ConfigError` if a credential cannot be read."""

    def renew(self) -> bool:
        """Called after a 401. Returns: is there something new to try the request with?"""


class ApiKeyAuth:
    """Headers with an API key: `Authorization: KEY` and `wix-site-id` (Wix's page "About API keys")."""

    def __init__(self, site_id: str, key: Credential) -> None:
        self._site_id = site_id
        self._key = key

    def headers(self) -> dict[str, str | SecretValue[str]]:
        """Return the key as it is, without `Bearer`, and the site's id. Raises `ConfigError` for an unreadable key."""
        return {"Authorization": self._key(), "wix-site-id": self._site_id}

    def renew(self) -> bool:
        """A key is what it is until somebody writes another one. Returns: False, there is nothing new to try with."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A Wix app on one site."""

    app_id: str
    instance_id: str
    secret: Credential


class AppAuth:
    """OAuth 2 client credentials: `POST /oauth2/token` at the base URL's origin (Create Access Token)."""

    def __init__(
        self, client: httpx.Client, token_url: str, app: App, *, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._url, self._app, self._steady = client, token_url, app, steady
        self._lock = threading.Lock()
        self._token: SecretValue[str] | None = None
        self._good_until = 0.0

    def headers(self) -> dict[str, str | SecretValue[str]]:
        """Return the access token, fetched where needed. The app's instance is the site, so there is no site header.

        Raises `TargetError`; `ConfigError` if the app's secret cannot be read.
        """
        # Threads that find the token expired share one fetch.
        with self._lock:
            now = self._steady()
            if self._token is None or now >= self._good_until:
                self._token, lives = self._fetch()
                # Never before half of its life: a short token would be fetched for each request otherwise.
                self._good_until = now + max(lives - EARLY, lives / 2).total_seconds()
            return {"Authorization": self._token}

    def renew(self) -> bool:
        """Forget the token, so that the next request fetches one. Returns: True."""
        with self._lock:
            self._token = None
        return True

    def _fetch(self) -> tuple[SecretValue[str], timedelta]:
        payload: Sendable = {
            "grant_type": "client_credentials",
            "client_id": self._app.app_id,
            "client_secret": self._app.secret(),
            "instance_id": self._app.instance_id,
        }
        try:
            answer = exchange(self._client, "POST", self._url, headers={}, payload=payload, is_login=True)
        except TargetUnavailable as error:
            # Whatever became of the login: the request that it is for was not sent.
            error.maybe_done = False
            raise
        token = (answer.body or {}).get("access_token")
        if answer.status in {400, 401, 403, 404}:
            raise TargetDenied(
                f"Wix refused the app's credentials (HTTP {answer.status})",
                hint="see app_id, instance_id and app_secret, and that the app is installed on the site",
                request_id=answer.request_id,
            )
        if answer.status != httpx.codes.OK or not isinstance(token, str) or not _is_header_safe(token):
            raise TargetUnavailable(f"Wix gave no access token (HTTP {answer.status})", request_id=answer.request_id)
        lives = (answer.body or {}).get("expires_in")
        # 14,400 is what Wix documents; no answer makes us keep a token for longer than a day.
        seconds = min(lives, 86400) if isinstance(lives, (int, float)) and lives > 0 else 14400
        return SecretValue(token), timedelta(seconds=seconds)


def _is_header_safe(token: str) -> bool:
    # HTTP libraries name a header that they cannot send, and so the token in it.
    return bool(token) and all("!" <= char <= "~" for char in token)
