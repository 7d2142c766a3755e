"""httpx clients for Wix and for other addresses: which certificates they trust, and which proxy they use."""

from __future__ import annotations

import functools
import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from syncd.errors import ConfigError
from syncd.transport.addresses import is_loopback, proxy_for
from syncd.transport.fault_words import in_words
from syncd.transport.httpx_limits import DeadlineTransport, deadline


def client_for(
    base_url: str, *, seconds: float, connections: int = 1, ca_file: str = "", proxy: str | None = None
) -> httpx.Client:
    """Make a client that verifies certificates, follows no redirect and keeps its connections.

    `seconds`: for each read and each write; for a whole exchange see `deadline`. `connections`: how many at most.
    `ca_file`: certificates that are trusted beside the usual ones. `proxy`: its URL; without it the environment says
    which.
    Raises `ConfigError` for plain http to another machine, and for a file or proxy that cannot be used.
    """
    if urlsplit(base_url).scheme != "https" and not is_loopback(base_url):
        raise ConfigError(f"{base_url} is not https", hint="plain http is for this machine only")
    try:
        trusted = _trusted(ca_file)
    except (ValueError, OSError) as error:
        what = f"ca_file {ca_file}" if ca_file else "SSL_CERT_FILE or SSL_CERT_DIR in the environment"
        raise ConfigError(
            f"{what} cannot be used ({in_words(error)})", hint="name a file of PEM certificates"
        ) from None
    # A proxy of the environment does not lead to this machine; one that was written for this target is used as it is.
    way = proxy or (None if is_loopback(base_url) else proxy_for(base_url))
    try:
        transport = DeadlineTransport(trusted=trusted, connections=connections, proxy=way)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"the proxy for {urlsplit(base_url).hostname} cannot be used ({in_words(error)})",
            hint="write http://HOST:PORT, or see HTTPS_PROXY and ALL_PROXY",
        ) from None
    return httpx.Client(
        transport=transport,
        timeout=httpx.Timeout(seconds, connect=5.0),
        follow_redirects=False,
        # By its own law httpx fails at networks in NO_PROXY; `proxy_for` knows them.
        trust_env=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "syncd"},
    )


def post(url: str, body: bytes, kind: str, *, seconds: float) -> int:
    """Post to an address that is neither a source nor a target; return the status. The answer's body is not read.

    `kind`: the body's content type. `seconds`: of the whole exchange.
    Raises `ConfigError` as `client_for` does, `ConnectionError` with the cause in words where no answer came.
    """
    try:
        # The status says all, and the answer's size fills no memory.
        with (
            client_for(url, seconds=seconds) as client,
            deadline(seconds),
            client.stream("POST", url, content=body, headers={"Content-Type": kind}) as answer,
        ):
            return answer.status_code
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise ConnectionError(in_words(error)) from None


def _trusted(ca_file: str) -> ssl.SSLContext:
    """Return a TLS context with the certificates that are trusted.

    These are what `SSL_CERT_FILE` or `SSL_CERT_DIR` name, else those that come with httpx; and those of `ca_file`.
    Raises `OSError` and ValueError.
    """
    # Read here, because the client itself does not look at the environment.
    file, folder = os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None
    if not ca_file:
        return _usual(file, folder, Path(file).stat().st_mtime_ns if file else 0)
    context = _made(file, folder)
    context.load_verify_locations(cafile=ca_file)
    return context


@functools.lru_cache(maxsize=8)
def _usual(file: str | None, folder: str | None, _changed_at: int) -> ssl.SSLContext:
    """Return one TLS context for all clients: reading the certificates takes as long as many requests.

    Nobody changes the context. `_changed_at`: the file's modification time, so that a changed file is read again.
    """
    return _made(file, folder)


def _made(file: str | None, folder: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=file, capath=folder) if file or folder else httpx.create_ssl_context()
