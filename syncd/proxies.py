"""Which proxy leads to an address, as the environment says it: for Wix and for Vault by the same law."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from syncd.errors import ConfigError

SCHEMES = {"http", "https", "socks5", "socks5h"}


def proxy_for(address: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The proxy's URL for an address; None for none. `NO_PROXY` takes hosts, domains, IP addresses and networks.

    As curl does (its manual, "Environment"): `https_proxy`, `http_proxy`, then `all_proxy`, small letters first.
    Raises `ConfigError` that names the variable, and nothing of what it holds: a proxy's address may have a password.
    """
    parts = urlsplit(address)
    found = _first(environ, f"{parts.scheme}_proxy", "all_proxy")
    if found is None or _is_excepted(parts.hostname or "", parts.port, _first(environ, "no_proxy")):
        return None
    name, value = found
    url = value if "://" in value else f"http://{value}"
    try:
        proxy = urlsplit(url)
        legal = proxy.scheme in SCHEMES and proxy.hostname and (proxy.port or True)
    except ValueError:
        legal = False
    if not legal:
        raise ConfigError(f"{name} in the environment is no proxy's address", hint=f"write {name}=http://HOST:PORT")
    return url


def _first(environ: Mapping[str, str], *names: str) -> tuple[str, str] | None:
    for name in names:
        for written in (name, name.upper()):
            if value := environ.get(written, "").strip():
                return written, value
    return None


def _is_excepted(host: str, port: int | None, given: tuple[str, str] | None) -> bool:
    if given is None:
        return False
    entries = given[1].replace(",", " ").split()
    return any(_fits(host.casefold(), port, entry.casefold()) for entry in entries)


def _fits(host: str, port: int | None, entry: str) -> bool:
    """Does one entry of `NO_PROXY` name this host? One that is nothing known names nobody, as with curl."""
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass  # a name on one of the sides
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit():
        if port != int(number):
            return False
        entry = name
    domain = entry.removeprefix("*").lstrip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))
