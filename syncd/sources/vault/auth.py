"""The ways to log in, each through hvac's own call; each answers with Vault's `auth` object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import hvac

from syncd.domain import SecretValue
from syncd.domain.untrusted import mapping
from syncd.sources.vault.answers import StatusError

PUBLIC = {"role_id"}
"""AppRole's name of a role: half of a login, and no secret (Vault's documentation, AppRole)."""
WHOLE_LEASE = "whole_lease"
"""Key in a login's answer: the seconds of a token's whole lease, where a part of it may be over already."""
Credential = Callable[[], SecretValue[str]]


@dataclass(kw_only=True)
class Login:
    """A login method with its plain settings and its credentials, which are read at each use."""

    method: str
    mount: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, Credential] = field(default_factory=dict)
    wrapped: bool = False
    identity: Callable[[], SecretValue[str]] | None = None
    """Returns what a login without a credential of its own is done with: a certificate, the machine's AWS identity."""
    _unwrapped: tuple[SecretValue[str], SecretValue[str]] | None = field(default=None, repr=False)

    def secrets(self) -> tuple[SecretValue[str], ...]:
        """Return the credentials as they are now, without those that are no secret: they may be part of a value."""
        return tuple(self.credentials[name]() for name in sorted(self.credentials) if name not in PUBLIC)

    def used(self) -> tuple[SecretValue[str], ...]:
        """Return all that a login would use now. After a refusal the same is not tried again for a while."""
        with_all = tuple(self.credentials[name]() for name in sorted(self.credentials))
        return (*with_all, self.identity()) if self.identity else with_all

    def __call__(self, client: hvac.Client) -> dict[str, Any]:
        """Log in. Returns: Vault's `auth` object, with the token. Raises what the adapter raises.

        Raises KeyError, TypeError or ValueError for an answer of another shape.
        """
        return METHODS[self.method](self, client)

    def reveal(self, name: str) -> str:
        """Return one credential in plain text, read anew."""
        # Read at each login: the kubelet replaces a projected token, and by then the one of the start has expired.
        return self.credentials[name]().reveal()

    def secret_id(self, client: hvac.Client) -> str:
        """AppRole's secret id; a wrapped one is unwrapped once and kept for the next login."""
        given = self.credentials["secret_id"]()
        if not self.wrapped:
            return given.reveal()
        # The first use spends a wrapping token; another one in its place is somebody's new secret id.
        if self._unwrapped is None or self._unwrapped[0] != given:
            client.token = given.reveal()
            try:
                inner = client.sys.unwrap()["data"]["secret_id"]
            finally:
                # The spent wrapping token must not go along with the login.
                client.token = ""
            self._unwrapped = (given, SecretValue(inner))
        return self._unwrapped[1].reveal()


def _token(login: Login, client: hvac.Client) -> dict[str, Any]:
    client.token = login.reveal("token")
    # No login said how long it lives and whether it can be renewed.
    token_info = mapping(client.auth.token.lookup_self()["data"])
    left, whole = (float(seconds or 0) for seconds in (token_info.get("ttl"), _whole_lease(token_info)))
    is_renewable = bool(token_info.get("renewable"))
    # A process that lives shorter than the lease renews it all the same, or it would run out under a schedule.
    if is_renewable and 0 < left < whole * 2 / 3:
        try:
            return _auth(client.auth.token.renew_self())
        except StatusError:
            is_renewable = False  # a policy may leave it out, and then the token ends
    return {"client_token": client.token, "lease_duration": left, "renewable": is_renewable, WHOLE_LEASE: whole}


def _whole_lease(token_info: Mapping[str, Any]) -> Any:
    return token_info.get("period") or token_info.get("creation_ttl")


def _approle(login: Login, client: hvac.Client) -> dict[str, Any]:
    secret_id = login.secret_id(client)
    role_id = login.settings.get("role_id") or login.reveal("role_id")
    mount = login.mount or "approle"
    return _auth(client.auth.approle.login(role_id=role_id, secret_id=secret_id, mount_point=mount))


def _kubernetes(login: Login, client: hvac.Client) -> dict[str, Any]:
    return _auth(
        client.auth.kubernetes.login(
            role=login.settings["role"], jwt=login.reveal("jwt"), mount_point=login.mount or "kubernetes"
        )
    )


def _jwt(login: Login, client: hvac.Client) -> dict[str, Any]:
    path = login.mount or "jwt"
    return _auth(client.auth.jwt.jwt_login(role=login.settings["role"], jwt=login.reveal("jwt"), path=path))


def _userpass(login: Login, client: hvac.Client) -> dict[str, Any]:
    return _auth(
        client.auth.userpass.login(
            username=login.settings["username"],
            password=login.reveal("password"),
            mount_point=login.mount or "userpass",
        )
    )


def _cert(login: Login, client: hvac.Client) -> dict[str, Any]:
    name = {"name": login.settings["role"]} if login.settings.get("role") else {}
    return _auth(client.adapter.login(f"/v1/auth/{login.mount or 'cert'}/login", json=name))


def _aws_iam(login: Login, client: hvac.Client) -> dict[str, Any]:
    from syncd.sources.aws.session import signing_credentials  # noqa: PLC0415  # the AWS SDK, for this login alone

    access_key, secret_key, session_token = signing_credentials()
    return _auth(
        client.auth.aws.iam_login(
            access_key=access_key,
            secret_key=secret_key.reveal(),
            session_token=session_token.reveal() if session_token else None,
            header_value=login.settings.get("server_id") or None,
            role=login.settings.get("role") or None,
            region=login.settings.get("region") or "us-east-1",
            mount_point=login.mount or "aws",
        )
    )


def _auth(answer: dict[str, Any]) -> dict[str, Any]:
    # An answer without it raises, and the session takes that for a refused login (`NO_LOGIN`).
    return mapping(answer["auth"])


METHODS: Mapping[str, Callable[[Login, hvac.Client], dict[str, Any]]] = {
    "token": _token,
    "approle": _approle,
    "kubernetes": _kubernetes,
    "jwt": _jwt,
    "userpass": _userpass,
    "cert": _cert,
    "aws_iam": _aws_iam,
}
