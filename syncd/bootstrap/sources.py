"""Sources as configured, with their clients. SDKs are imported when first needed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.bootstrap.credentials import proxy_of, reader
from syncd.config.fields import Credential
from syncd.config.settings import AwsSettings, CertAuth, VaultSettings
from syncd.domain import SecretValue
from syncd.domain.ports import Clock, Queue, Source
from syncd.errors import ConfigError
from syncd.transport.addresses import see_certificates, see_key_pair

if TYPE_CHECKING:
    from syncd.sources.aws.session import ClientFactory
    from syncd.sources.vault import Login


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHooks:
    """What a source tells while it works, for the metrics; and when it is to end."""

    on_call: Callable[[str, str], None] = lambda _source, _call: None
    on_expiry: Callable[[str, datetime | None], None] = lambda _source, _at: None
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the process ends: a source stops waiting."""


def make_source(name: str, settings: VaultSettings | AwsSettings, clock: Clock, hooks: SourceHooks) -> Source:
    """Build a source; nothing is asked of it yet. Raises `ConfigError` for a missing credential or a bad file."""
    if isinstance(settings, VaultSettings):
        return _vault(name, settings, clock, hooks)
    from syncd.sources.aws.calls import AwsCalls
    from syncd.sources.aws.source import AwsSource

    # A file that is no certificate is told by its key; the SDK would fail at its first call, in its own words.
    if settings.ca_file:
        see_certificates(f"sources.{name}.ca_file", settings.ca_file)
    factory = _aws_clients(name, "secretsmanager", settings, settings.endpoint_url or "")
    heard = partial(hooks.on_call, name)
    calls = AwsCalls(f"source {name}", factory.connect(), factory.renewed, hooks.stop, heard)
    return AwsSource(name, calls, settings.owner_key)


def _vault(name: str, settings: VaultSettings, clock: Clock, hooks: SourceHooks) -> Source:
    from syncd.sources.vault import Server, VaultClient, VaultSource

    auth = settings.auth
    login = _login(name, auth)
    if isinstance(auth, CertAuth):
        cert: tuple[str, str] | None = (str(auth.cert_file), str(auth.key_file))
        see_key_pair(f"sources.{name}.auth: cert_file and key_file", str(auth.cert_file), str(auth.key_file))
    else:
        cert = client_certificate_of_environment()
    if settings.ca_file:
        see_certificates(f"sources.{name}.ca_file", settings.ca_file)
    login.secrets()  # a missing credential is reported before anything is asked
    server = Server(
        name=name,
        address=settings.address,
        namespace=settings.namespace,
        # A login may live in another namespace than the secrets.
        login_namespace=auth.namespace,
        ca_file=settings.ca_file,
        client_cert=cert,
        proxy=proxy_of(f"sources.{name}.proxy", settings.proxy),
        on_call=lambda call: hooks.on_call(name, call),
        # Every other method logs in anew by itself.
        on_expiry=lambda at: hooks.on_expiry(name, at if auth.method == "token" else None),
        stop=hooks.stop,
    )
    return VaultSource(VaultClient(server, login, clock), clock, settings.owner_key)


def client_certificate_of_environment() -> tuple[str, str] | None:
    """Return the files of the client certificate and its key, from the variables that Vault's own command uses.

    None where there are none. Raises `ConfigError` for files that do not exist or are no such pair.
    """
    cert = os.environ.get("VAULT_CLIENT_CERT", "")
    key = os.environ.get("VAULT_CLIENT_KEY", "") or cert
    if not cert:
        return None
    see_key_pair("VAULT_CLIENT_CERT and VAULT_CLIENT_KEY in the environment", cert, key)
    return cert, key


def make_queue(name: str, settings: AwsSettings, stop: threading.Event) -> Queue:
    """The queue of a source's events. Raises `SourceError` where AWS is not set up, `ConfigError` without a queue."""
    from syncd.sources.aws.event_queue import Queue as SqsQueue

    if settings.events is None:
        raise ConfigError(f"sources.{name}: no events", hint="write events: {sqs: URL}")
    factory = _aws_clients(name, "sqs", settings, settings.events.endpoint_url)
    return SqsQueue(name, factory.connect(), settings.events.sqs, factory.renewed, stop)


def _aws_clients(name: str, service: str, settings: AwsSettings, endpoint_url: str) -> ClientFactory:
    from syncd.sources.aws.session import ClientFactory

    return ClientFactory(
        service=service,
        region=settings.region,
        endpoint_url=endpoint_url,
        sts_endpoint_url=settings.sts_endpoint_url or "",
        assume_role=settings.assume_role,
        external_id=settings.external_id,
        ca_file=settings.ca_file,
        proxy=proxy_of(f"sources.{name}.proxy", settings.proxy),
    )


def _login(name: str, auth: Any) -> Login:
    from syncd.sources.vault import Login

    credentials, plain = {}, {}
    for key in type(auth).model_fields:
        value = getattr(auth, key)
        if isinstance(value, Credential):
            credentials[key] = reader(f"sources.{name}.auth.{key}", value)
        elif isinstance(value, str) and key not in {"method", "mount", "namespace"}:
            plain[key] = value
    return Login(
        method=auth.method,
        mount=getattr(auth, "mount", ""),
        settings=plain,
        credentials=credentials,
        wrapped=getattr(auth, "wrapped", False),
        identity=_identity(auth),
    )


def _identity(auth: Any) -> Callable[[], SecretValue[str]] | None:
    """Return what tells one identity from another for a login without a credential of its own; None for other logins.

    It is read at each call, so that a login with another identity is tried at once.
    """
    if isinstance(auth, CertAuth):
        return lambda: SecretValue(_digest_of(auth.cert_file) + _digest_of(auth.key_file))
    if auth.method == "aws_iam":
        return _aws_identity
    return None


def _digest_of(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return "unreadable"  # the login itself says so


def _aws_identity() -> SecretValue[str]:
    from syncd.sources.aws.session import signing_credentials

    return SecretValue(signing_credentials()[0])
