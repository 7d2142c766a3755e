"""Credentials of the configuration as they are used."""

from __future__ import annotations

from collections.abc import Callable

from syncd.config.fields import Credential
from syncd.domain import SecretValue
from syncd.errors import ConfigError
from syncd.transport.addresses import PROXY_HINT, is_proxy_address


def reader(what: str, credential: Credential) -> Callable[[], SecretValue[str]]:
    """Return a function that reads the credential anew at each call, and raises `ConfigError` that names `what`."""
    # At each call: a mounted file that was rotated counts without a restart.
    return lambda: credential.read(what)


def proxy_of(what: str, given: str | Credential | None) -> SecretValue[str] | None:
    """Read a configured proxy's URL (it may hold a password). Raises `ConfigError` if unreadable or no proxy URL."""
    if given is None:
        return None
    url = given.read(what) if isinstance(given, Credential) else SecretValue(given)
    if not is_proxy_address(url.reveal()):
        # What was given is not shown: it may be an address with a password.
        raise ConfigError(f"{what}: holds no address of an HTTP proxy", hint=PROXY_HINT)
    return url
