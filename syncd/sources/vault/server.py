"""A Vault server, and how it is reached: address, proxy, certificates, connections."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import hvac
import requests

from syncd.domain import SecretValue
from syncd.sources.vault.adapter import BoundedAdapter
from syncd.sources.vault.answers import NoRedirects, VaultAdapter
from syncd.transport.addresses import is_loopback, proxy_for

THREADS = 32
TIMEOUT = (5.0, 8.0)
"""Seconds to connect, and until the first byte of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A Vault server, and how it is reached."""

    name: str
    """The source's name."""
    address: str
    namespace: str = ""
    login_namespace: str | None = None
    """The namespace of the login and its token; None: the one of the secrets."""
    ca_file: str = ""
    client_cert: tuple[str, str] | None = None
    proxy: SecretValue[str] | None = None
    on_call: Callable[[str], None] = lambda _call: None
    on_expiry: Callable[[datetime | None], None] = lambda _at: None
    """Called at each login and renewal.

    Gets the time when the token ends, if it cannot be renewed any further; else None.
    """
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the process ends: nothing is waited for any more."""
    steady: Callable[[], float] = time.monotonic
    """A clock in seconds that does not jump when the system time is set; leases and pauses are measured by it."""

    @property
    def place(self) -> str:
        """How messages name this server."""
        return f"source {self.name} ({self.address})"

    def proxy_url(self) -> str | None:
        """Return the URL of the proxy that leads to this server; None for none.

        Raises `ConfigError` for a variable in the environment that names no proxy.
        """
        if self.proxy:
            return self.proxy.reveal()
        return None if is_loopback(self.address) else proxy_for(self.address)


def connections(server: Server, proxy: str | None) -> requests.Session:
    """Make a session of connections to the server. `proxy`: the URL of the proxy on the way; None: there is none."""
    session = NoRedirects()
    # Proxies go by our own law; and without a look at the environment each time, a third more is read a second.
    session.trust_env = False
    session.headers["Accept-Encoding"] = "identity"
    # On the session itself: hvac ignores its own `verify` and `cert` where it is given one.
    session.verify = server.ca_file or os.environ.get("REQUESTS_CA_BUNDLE") or True
    session.cert = server.client_cert
    session.proxies.update({"http": proxy, "https": proxy} if proxy else {})
    for scheme in ("https://", "http://"):
        # The usual ten connections are fewer than our threads; those beyond would be made anew for each read.
        session.mount(scheme, BoundedAdapter(pool_maxsize=THREADS))
    return session


def client(server: Server, session: requests.Session, namespace: str) -> hvac.Client:
    """Make an hvac client of the server in one namespace, without a token yet."""
    return hvac.Client(
        url=server.address,
        token="",  # not the one of VAULT_TOKEN or ~/.vault-token
        namespace=namespace or None,
        session=session,
        timeout=TIMEOUT,
        allow_redirects=False,  # hvac would take the token along
        adapter=VaultAdapter,
    )
