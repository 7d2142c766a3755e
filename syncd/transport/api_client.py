"""A small client of a running daemon's API, for commands with `--server`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from syncd.errors import ConfigError, LedgerError, PlanMoved, SecretError, SourceError, SyncdError, TargetError
from syncd.transport.addresses import is_loopback
from syncd.transport.fault_words import in_words
from syncd.transport.private_files import read_bounded

SECONDS = 70.0
"""For one answer: `where --wait` asks again by itself, a rollback runs a cycle."""
MOST_BYTES = 64 * 1024
KINDS: tuple[type[SyncdError], ...] = (ConfigError, SecretError, SourceError, TargetError, PlanMoved, LedgerError)
"""What a refusal is here, by the exit code that the daemon tells."""


class ApiClient:
    """Calls one daemon's API with the token in a file.

    Raises `ConfigError` for an address that is neither HTTPS nor on this machine, or a file without a usable token.
    """

    def __init__(self, server: str, token_file: Path) -> None:
        parts = urlsplit(server)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise ConfigError(f"--server {server} is no address", hint="write https://HOST:PORT")
        # A bearer token over plain http is everybody's on the way.
        if parts.scheme == "http" and not is_loopback(server):
            raise ConfigError("--server sends the token in the clear over plain http", hint="use https")
        try:
            token = read_bounded(token_file, MOST_BYTES).decode().strip()
        except (OSError, ValueError) as error:
            what = f"{token_file} cannot be read ({in_words(error)})"
            raise ConfigError(what, hint="see --token-file") from None
        # HTTP libraries name a header that they cannot send, and so the token in it.
        if not token or not all("!" <= char <= "~" for char in token):
            raise ConfigError(f"{token_file} holds no token", hint="one line of visible ASCII")
        self._base, self._headers = server.rstrip("/"), {"Authorization": f"Bearer {token}"}

    def get(self, path: str, /, **query: str) -> Any:
        """The answer of `GET /api/v1/PATH`. Raises `SyncdError` as the daemon means it."""
        return self._asked("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer of `POST /api/v1/PATH`. Raises `SyncdError` as the daemon means it."""
        return self._asked("POST", path, json=body)

    def _asked(self, method: str, path: str, **more: Any) -> Any:
        url = f"{self._base}/api/v1/{path}"
        try:
            answer = httpx.request(method, url, headers=self._headers, timeout=SECONDS, follow_redirects=False, **more)
            content = answer.json() if answer.content else {}
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise SourceError(
                f"the daemon at {self._base} does not answer as one ({in_words(error)})", hint="see --server"
            ) from None
        # Redirects are not followed: the token would go along to wherever they lead.
        if answer.status_code < httpx.codes.BAD_REQUEST:
            return content
        raise _refusal(answer.status_code, content if isinstance(content, dict) else {})


def _refusal(status: int, content: dict[str, Any]) -> SyncdError:
    """The daemon's refusal as the error that the command would raise here."""
    message, hint = str(content.get("error", f"refused (HTTP {status})")), str(content.get("fix", ""))
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return ConfigError(message, hint=hint or "see server.tokens: name and `may`")
    kind = next((kind for kind in KINDS if kind.exit_code == content.get("exit_code")), ConfigError)
    return kind(message, hint=hint)
