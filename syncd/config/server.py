"""`server:` of the configuration: health, metrics, the page and the API, and who may do what there."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from syncd.config.fields import LISTEN_PATTERN, Credential, Key, Strict
from syncd.config.governance import Globs, LabelKey

Right = Literal["read", "sync", "release", "pause", "rollback", "freeze", "reload"]


def _listen(text: str) -> str:
    if int(text.rpartition(":")[2]) > 65535:
        raise PydanticCustomError("port", "a port is at most 65535")
    host = text.rpartition(":")[0].strip("[]")
    # Digits and dots are meant as an address: one that is wrong would be looked up as a host's name when it starts.
    if ":" in host or (host and not host.strip("0123456789.")):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise PydanticCustomError(
                "address", "not an address; write 0.0.0.0:8080 or [::]:8080 for all of them"
            ) from None
    return text


Listen = Annotated[str, AfterValidator(_listen)]


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise PydanticCustomError("network", "not a network; write an address or a range such as 10.0.0.0/8") from None
    return text


Network = Annotated[str, AfterValidator(_network)]


class Only(Strict):
    """What somebody's rights are limited to."""

    label: dict[LabelKey, Globs] = Field(
        min_length=1, description="Only targets that carry these labels", examples=[{"team": "shop"}]
    )


class NamedToken(Strict):
    """A token of one person or machine."""

    name: Key = Field(description="Who it is, in the audit trail", examples=["alice"])
    token: Credential = Field(description="The token itself", examples=[{"file": "/run/secrets/syncd/alice"}])
    may: list[Right] = Field(min_length=1, description="What it may do", examples=[["read", "sync", "release"]])
    only: Only | None = Field(None, description="Where", examples=[{"label": {"team": "shop"}}])


class ProxyUsers(Strict):
    """A proxy in front that knows who its users are."""

    header: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,62}$",
        description="The header that names the user",
        examples=["X-Forwarded-User"],
    )
    from_: list[Network] = Field(
        min_length=1, alias="from", description="Addresses of the proxy; of others the header is not believed",
        examples=[["10.0.0.0/8"]],
    )  # fmt: skip
    may: dict[str, list[Right]] = Field(
        min_length=1,
        description="What each user may do; * is everybody whom the proxy lets in",
        examples=[{"alice@example.com": ["read", "release"], "*": ["read"]}],
    )


class Server(Strict):
    """Health, metrics, the page and the API over HTTP."""

    listen: Listen = Field(pattern=LISTEN_PATTERN, description="HOST:PORT", examples=["0.0.0.0:8080"])
    token: Credential | None = Field(
        None,
        description="Bearer token that may do everything, under the name `token`; without any, names and POST are off",
        examples=[{"file": "/run/secrets/syncd/api-token"}],
    )
    tokens: list[NamedToken] = Field(
        default_factory=list,
        description="Tokens of people and machines, each with what it may do",
        examples=[[{"name": "alice", "token": {"file": "/run/secrets/syncd/alice"}, "may": ["read", "release"]}]],
    )
    proxy: ProxyUsers | None = Field(
        None,
        description="An authenticating proxy in front",
        examples=[{"header": "X-Forwarded-User", "from": ["10.0.0.0/8"], "may": {"*": ["read"]}}],
    )
    metrics: Literal["open", "token"] = Field(
        "open", description="Who may read /metrics; token: whoever may read", examples=["token"]
    )

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        names = [item.name for item in self.tokens]
        # The audit trail tells people apart by these names; `token` is that of the single one.
        doubled = next((name for name in names if names.count(name) > 1 or (name == "token" and self.token)), None)
        if doubled is not None:
            raise PydanticCustomError("two_tokens", "two tokens are called {name}", {"name": doubled})
        return self
