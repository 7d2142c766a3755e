"""boto3 and botocore: clients of one service, on credentials that are read again when they are refused."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import boto3
from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from syncd.domain import SecretValue
from syncd.domain.untrusted import parsed
from syncd.errors import ConfigError, SourceDenied
from syncd.sources.aws.errors import HINT_CREDENTIALS
from syncd.transport.addresses import is_loopback, proxy_for
from syncd.transport.echoes import holds
from syncd.transport.fault_words import in_words
from syncd.transport.urllib3_limits import BoundedResponse

for _connection in (AWSHTTPConnection, AWSHTTPSConnection):
    # http.client's own door, on botocore's own classes: no other library's connections are bounded by it.
    _connection.response_class = BoundedResponse

CONNECTIONS = 8
CONFIG = Config(
    # One retry layer, ours; `total_max_attempts` 1 turns boto3's own off.
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=CONNECTIONS,
    connect_timeout=5,
    read_timeout=8,
)
RENEWAL_SECONDS = 60.0
"""Shortest time, in seconds, between two new sessions on the same credentials."""


@dataclass(slots=True, kw_only=True)
class ClientFactory:
    """Makes clients of one service, on the standard credential chain or on a role assumed from it.

    botocore reads the chain's files once for the life of a session: after a refusal of the credentials, `renewed`
    makes a session anew, which sees those that have taken their place.
    """

    service: str
    region: str
    endpoint_url: str = ""
    """The endpoint of this service alone; if empty, the SDK's own variables decide (AWS_ENDPOINT_URL_…)."""
    sts_endpoint_url: str = ""
    assume_role: str = ""
    external_id: str = ""
    ca_file: str = ""
    proxy: SecretValue[str] | None = None
    _last: tuple[str, ...] = field(default=(), repr=False)
    _renewed_at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def connect(self) -> Any:
        """Make a boto3 client on credentials that are read now.

        Raises `SourceError`, and `ConfigError` for a proxy variable in the environment that names no proxy.
        """
        try:
            session = boto3.Session(region_name=self.region or None)
            # Before the role is assumed: people rotate the credentials beneath it, the role's own renew themselves.
            self._last = _identity(session)
            if self.assume_role:
                self._assume(session)
            made = self._client(session.client, self.service, self.endpoint_url)
        except (BotoCoreError, ValueError, OSError) as error:
            raise SourceDenied(f"AWS is not set up ({in_words(error)})", hint=HINT_CREDENTIALS) from None
        # botocore calls its events by a service's id, not by the name that a client is made with.
        for name in ("secrets-manager", "sqs"):
            made.meta.events.register(f"before-parse.{name}", partial(_refuse_odd, session))
        return made

    def renewed(self) -> Any | None:
        """Make a client on credentials that are read anew; None if they are the same and were tried within a minute.

        Raises as `connect` does.
        """
        with self._lock:
            before, now = self._last, time.monotonic()
            made = self.connect()
            if self._last == before and now - self._renewed_at < RENEWAL_SECONDS:
                made.close()
                return None
            self._renewed_at = now
            return made

    def _client(self, create: Callable[..., Any], service: str, endpoint_url: str) -> Any:
        """Make a client that goes through the source's `proxy`, else through the environment's.

        The environment is read by the same rules as for Vault and Wix: botocore's own know neither `ALL_PROXY` nor
        networks in `NO_PROXY`.
        """
        where = {"endpoint_url": endpoint_url or None, "verify": self.ca_file or None}
        if self.proxy:
            return create(service, **where, config=_through(self.proxy.reveal()))
        direct = create(service, **where, config=_through(None))
        address = direct.meta.endpoint_url  # only the client itself knows it, where the SDK chooses it
        # A proxy does not lead back to this machine.
        way = None if is_loopback(address) else proxy_for(address)
        if way is None:
            return direct
        direct.close()
        return create(service, **where, config=_through(way))

    def _assume(self, session: Any) -> None:
        """Credentials of the role, fetched when first used and again before they expire."""
        base = session._session  # noqa: SLF001  # boto3 offers no public way to put refreshing credentials in

        def sts(name: str, **options: Any) -> Any:
            def create(service: str, **ours: Any) -> Any:
                return base.create_client(service, **{**options, **ours})

            return self._client(create, name, self.sts_endpoint_url)

        source = base.get_credentials()
        if source is None:
            raise NoCredentialsError
        # CloudTrail shows the caller under the session's name.
        extra = {"RoleSessionName": "syncd"} | ({"ExternalId": self.external_id} if self.external_id else {})
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=sts, source_credentials=source, role_arn=self.assume_role, extra_args=extra
        )
        base._credentials = DeferredRefreshableCredentials(  # noqa: SLF001
            refresh_using=fetcher.fetch_credentials, method="assume-role"
        )


def _through(proxy: str | None) -> Config:
    """Return our settings of a client, with this proxy; None: with no proxy, whatever the environment says."""
    # An empty mapping, not None: with None botocore reads the environment by its own law.
    return CONFIG.merge(Config(proxies={"http": proxy, "https": proxy} if proxy else {}))


def _identity(session: Any) -> tuple[str, ...]:
    """Return hashes that tell these credentials from others; empty where getting the credentials takes a call.

    They are kept in memory only.
    """
    found = session.get_credentials()
    if found is None or isinstance(found, RefreshableCredentials):
        return ()
    frozen = found.get_frozen_credentials()
    # Hashes are enough to tell whether they changed; the keys themselves are not kept.
    parts = (frozen.access_key, frozen.secret_key, frozen.token)
    return tuple(hashlib.sha256(str(part).encode()).hexdigest() for part in parts)


class _NoAnswer(BotoCoreError):  # type: ignore[misc]  # botocore ships no types
    """The answer is none of AWS's."""

    fmt = "no usable answer"


def _refuse_odd(session: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Raise `_NoAnswer`, before botocore parses it, for an answer that is too much for its parser or repeats our token.

    Too much: no JSON, nested too deeply, or of too many parts. The token: the session token that was sent.
    """
    body = response_dict.get("body")
    if not body:
        return
    # botocore's parser takes any depth and any number of parts; a hostile answer would exhaust stack or memory.
    if parsed(body) is None:
        raise _NoAnswer
    found = session.get_credentials()
    # A peer that echoes it would have it kept as a name or a version. The secret key is only signed with, never sent.
    if found is not None and found.token and holds(bytes(body), str(found.token)):
        raise _NoAnswer


def known_regions() -> frozenset[str]:
    """Return the regions in which the SDK knows Secrets Manager.

    Raises `ConfigError` for a profile that is not there, or an AWS configuration that cannot be read.
    """
    try:
        session = boto3.Session()
        partitions = session.get_available_partitions()
        return frozenset(
            region for partition in partitions for region in session.get_available_regions("secretsmanager", partition)
        )
    except ProfileNotFound:
        raise ConfigError(
            "AWS_PROFILE in the environment names a profile that is not there", hint="see ~/.aws/config, or unset it"
        ) from None
    except (BotoCoreError, ValueError, OSError) as error:
        raise ConfigError(
            f"the AWS SDK cannot read its configuration ({in_words(error)})",
            hint="see ~/.aws/config and ~/.aws/credentials, AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE",
        ) from None


def signing_credentials() -> tuple[str, SecretValue[str], SecretValue[str] | None]:
    """Access key, secret key and session token of the standard chain. Raises `SourceDenied`."""
    try:
        found = boto3.Session().get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except (BotoCoreError, ClientError, OSError) as error:
        raise SourceDenied(
            f"no AWS credentials for the aws_iam login ({in_words(error)})", hint=HINT_CREDENTIALS
        ) from None
    if frozen is None:
        raise SourceDenied("no AWS credentials for the aws_iam login", hint=HINT_CREDENTIALS)
    token = SecretValue(str(frozen.token)) if frozen.token else None
    return str(frozen.access_key), SecretValue(str(frozen.secret_key)), token
