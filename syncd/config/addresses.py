"""Addresses in the configuration: of servers, of proxies, of certificates."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from syncd.config.fields import Credential, PlacedFile

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


HOST = re.compile(r"[0-9a-fA-F:.]*:[0-9a-fA-F:.%]+|[\w-]+(\.[\w-]+)*\.?")
"""An IP address, or labels between dots; letters of any script, as names of hosts may have them (RFC 5890)."""


def _parts(url: str) -> SplitResult | None:
    """The parts of an HTTP address; None for anything else."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        return None
    # Addresses stand in messages and logs: one that holds a control character could forge a line of them.
    return parts if known and HOST.fullmatch(parts.hostname or "") and url.isprintable() else None


def _address(url: str) -> str:
    parts = _parts(url)
    if parts is None:
        raise PydanticCustomError("address", "not an address; write https://HOST[:PORT]")
    # An address is shown in messages, and people put tokens here and before the @.
    if parts.query or parts.fragment:
        raise PydanticCustomError("address", "nothing after ? or # belongs into an address")
    if "@" in parts.netloc:
        raise PydanticCustomError("address", "no user or password belongs into an address")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise PydanticCustomError("address", "plain http is for this machine only; write https://")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


def _proxy_address(url: str) -> str:
    # The configuration lives in Git; a password is in a file of its own.
    if "@" in url:
        raise PydanticCustomError("address", "a proxy's user or password is not written here; give {file: PATH}")
    if _parts(url) is None:
        raise PydanticCustomError("address", "no address of a proxy; write http://HOST:PORT (SOCKS is not known)")
    return url.rstrip("/")


Proxy = Annotated[
    Annotated[str, AfterValidator(_proxy_address)] | Credential | None,
    Field(
        description="Proxy for this peer; without it HTTPS_PROXY, ALL_PROXY and NO_PROXY hold",
        examples=["http://proxy.example.com:3128", {"file": "/run/secrets/proxy/url"}],
    ),
]
"""A proxy's address, or a credential that holds an address with user and password."""


CaFile = PlacedFile | Literal[""]
"""A PEM file of CA certificates to trust: for Vault and AWS instead of the usual ones, for Wix beside them."""
