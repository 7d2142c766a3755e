"""A small client of a running daemon's API, for commands with `--server`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from syncd.errors import ConfigError, LedgerError, PlanMoved, SecretError, SourceError, SyncdError, TargetError
from syncd.transport.addresses import is_loopback
from syncd.transport.fault_words import in_words
from syncd.transport.httpx_client import client_for
from syncd.transport.httpx_limits import bounded_body, deadline
from syncd.transport.private_files import read_bounded

SECONDS = 70.0
"""Longest time for one answer, in seconds: a rollback runs a cycle meanwhile; `where --wait` asks again by itself."""
MOST_TOKEN_BYTES = 64 * 1024
MOST_BYTES = 64 * 1024 * 1024
"""Most bytes of one answer: where a secret is, on all of ten thousand sites."""
NOT_OURS = "its answer is none of a daemon's"
KINDS: tuple[type[SyncdError], ...] = (ConfigError, SecretError, SourceError, TargetError, PlanMoved, LedgerError)
"""The errors that a refusal of the daemon may be raised as; the exit code that the daemon tells decides."""


class ApiClient:
    """Calls one daemon's API with the token in a file.

    Raises `ConfigError` for an address that is neither HTTPS nor on this machine, or a file without a usable token.
    """

    def __init__(self, server: str, token_file: Path) -> None:
        # Nothing of what is no address is shown: it may hold a password, or be the token.
        self._origin, self._base = _address(server)
        # A bearer token over plain http is everybody's on the way.
        if self._origin.startswith("http:") and not is_loopback(self._origin):
            raise ConfigError("--server sends the token in the clear over plain http", hint="use https")
        try:
            token = read_bounded(token_file, MOST_TOKEN_BYTES).decode().strip()
        except (OSError, ValueError) as error:
            what = f"{token_file} cannot be read ({in_words(error)})"
            raise ConfigError(what, hint="see --token-file") from None
        # HTTP libraries name a header that they cannot send, and so the token in it.
        if not token or not all("!" <= char <= "~" for char in token):
            raise ConfigError(f"{token_file} holds no token", hint="one line of visible ASCII")
        self._headers = {"Authorization": f"Bearer {token}"}

    def rows(self, path: str, keys: Collection[str], /, **query: str) -> list[dict[str, Any]]:
        """Return the rows of `GET /api/v1/PATH`, each with at least these keys.

        Raises the kind of `SyncdError` that the daemon tells, and `SourceError` where no daemon answers.
        """
        content = self._asked("GET", path, params=query)
        if not isinstance(content, list) or not all(_has(row, keys) for row in content):
            raise self._no_daemon(NOT_OURS)
        return content

    def said(self, path: str, body: Mapping[str, Any]) -> str:
        """Return what `POST /api/v1/PATH` did, in words. Raises as `rows` does."""
        content = self._asked("POST", path, json=body)
        said = content.get("message") if isinstance(content, dict) else None
        if not isinstance(said, str):
            raise self._no_daemon(NOT_OURS)
        return said

    def _asked(self, method: str, path: str, **more: Any) -> Any:
        try:
            # By the same law as to Wix: nothing of this machine goes through a proxy, the token least of all.
            with (
                client_for(self._base, seconds=SECONDS) as client,
                deadline(SECONDS),
                client.stream(method, f"{self._base}/api/v1/{path}", headers=self._headers, **more) as answer,
            ):
                body = bounded_body(answer, MOST_BYTES)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise self._no_daemon(in_words(error)) from None
        # Not followed: the token would go along to wherever it leads.
        if answer.is_redirect:
            raise self._no_daemon(f"it redirects to {_host_of(answer.headers.get('location', ''))}")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            raise self._no_daemon(f"HTTP {answer.status_code} without JSON") from None
        if answer.status_code == httpx.codes.OK:
            return content
        if answer.is_error and isinstance(content, dict) and isinstance(content.get("error"), str):
            raise _refusal(answer.status_code, content)
        raise self._no_daemon(f"HTTP {answer.status_code}, in no words of a daemon's")

    def _no_daemon(self, why: str) -> SourceError:
        return SourceError(f"the daemon at {self._origin} does not answer as one ({why})", hint="see --server")


def _address(server: str) -> tuple[str, str]:
    """Check the daemon's address. Returns: its origin, which may be shown, and all of it. Raises `ConfigError`."""
    with suppress(ValueError):
        parts = urlsplit(server)
        # Read to see that it is one: a port that is none raises.
        port = parts.port or 0
        is_plain = "@" not in server and not parts.query and not parts.fragment and server.isprintable()
        if parts.scheme in {"http", "https"} and parts.hostname and is_plain and port >= 0:
            origin = f"{parts.scheme}://{parts.netloc}"
            return origin, f"{origin}{parts.path.rstrip('/')}"
    hint = "write https://HOST:PORT, without a user, a password or a query: the token goes into --token-file"
    raise ConfigError("--server is no address of a daemon", hint=hint)


def _refusal(status: int, content: dict[str, Any]) -> SyncdError:
    """The daemon's refusal as the error that the command would raise here."""
    message, hint = str(content.get("error")), str(content.get("fix") or "")
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return ConfigError(message, hint=hint or "see server.tokens: name and `may`")
    kind = next((kind for kind in KINDS if kind.exit_code == content.get("exit_code")), ConfigError)
    return kind(message, hint=hint)


def _has(row: object, keys: Collection[str]) -> bool:
    return isinstance(row, dict) and row.keys() >= set(keys)


def _host_of(address: str) -> str:
    """Where a redirect leads, as far as it may be shown."""
    try:
        return urlsplit(address).hostname or "the same machine"
    except ValueError:
        return "no address"
