"""Addresses in the configuration: of servers, of proxies, of certificates."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from syncd.config.fields import Credential, FilePath

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise PydanticCustomError("address", "no address; write https://HOST[:PORT]")
    if parts.query or parts.fragment:
        raise PydanticCustomError("address", "nothing after ? or # belongs into an address")
    if "@" in parts.netloc:
        raise PydanticCustomError("address", "no user or password belongs into an address")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise PydanticCustomError("address", "plain http is for this machine only; write https://")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


def _proxy_address(url: str) -> str:
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise PydanticCustomError("address", "a proxy's user or password is not written here; give {file: PATH}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise PydanticCustomError("address", "no address of a proxy; write http://HOST:PORT")
    return url.rstrip("/")


Proxy = Annotated[
    Annotated[str, AfterValidator(_proxy_address)] | Credential | None,
    Field(
        description="Proxy for this peer; without it HTTPS_PROXY, ALL_PROXY and NO_PROXY hold",
        examples=["http://proxy.example.com:3128", {"file": "/run/secrets/proxy/url"}],
    ),
]
"""A proxy's address, or where one with a user and password is."""


CaFile = FilePath | Literal[""]
"""A file of PEM certificates that are believed; of Vault and AWS in the place of the usual ones."""
