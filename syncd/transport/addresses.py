"""The proxy and the trusted certificates for an address, by the same rules for Wix, Vault and AWS."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from syncd.errors import ConfigError
from syncd.transport.fault_words import in_words

SCHEMES = {"http", "https"}
PROXY_HINT = (
    "write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with %40 for @, %3A for : and %2F for / within them; "
    "SOCKS proxies cannot be used"
)


def proxy_for(address: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the proxy's URL for an address; None for none. `NO_PROXY` takes hosts, domains, IP addresses and networks.

    As curl does (its manual, "Environment"): `https_proxy` or `http_proxy`, by the address's scheme, then `all_proxy`;
    of each the small letters first.
    Raises `ConfigError` that names the variable, and nothing of what it holds: a proxy's address may have a password.
    """
    parts = urlsplit(address)
    found = _first(environ, f"{parts.scheme}_proxy", "all_proxy")
    if found is None or _is_excepted(parts.hostname or "", parts.port, _first(environ, "no_proxy")):
        return None
    name, value = found
    # curl takes HOST:PORT alone for a proxy over http.
    url = value if "://" in value else f"http://{value}"
    if not is_proxy_address(url):
        raise ConfigError(f"{name} in the environment is no address of an HTTP proxy", hint=PROXY_HINT)
    return url


def is_proxy_address(url: str) -> bool:
    """Is this the URL of an HTTP proxy?"""
    try:
        proxy = urlsplit(url)
        whole = proxy.scheme in SCHEMES and bool(proxy.hostname) and (proxy.port is None or proxy.port > 0)
        return (
            whole and proxy.netloc.count("@") <= 1 and proxy.path in {"", "/"} and not (proxy.query or proxy.fragment)
        )
    except ValueError:
        return False


def see_certificates(what: str, file: str) -> None:
    """Check that a file holds certificates. Raises `ConfigError` that names `what` if not, or if it cannot be read."""
    try:
        # Tried before anything is asked: at the first request it would be told as a fault of the network.
        ssl.create_default_context(cafile=file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"{what}: {file} holds no certificates that can be used ({in_words(error)})",
            hint="name a readable file of PEM certificates",
        ) from None


def see_key_pair(what: str, cert: str, key: str) -> None:
    """Check that two files are a certificate and its key. Raises `ConfigError` that names `what` if not."""
    try:
        # Without a password given, OpenSSL would ask for one at the terminal.
        ssl.create_default_context().load_cert_chain(cert, key, password=lambda: b"")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"{what}: {cert} and {key} are no certificate and key that can be used ({in_words(error)})",
            hint="name readable PEM files of a certificate and of its key, the key without a password",
        ) from None


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
    """Does one entry of `NO_PROXY` name this host? As with curl, an entry of no known form names no host."""
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
    # As with curl, a domain is an exception with all its subdomains, with or without a dot before it.
    domain = entry.removeprefix("*").lstrip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def is_loopback(url: str) -> bool:
    """Does this address stay on this machine?"""
    host = urlsplit(url).hostname or ""
    try:
        # Any other name may lead elsewhere tomorrow: plain http and a way around the proxy are not for it.
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
