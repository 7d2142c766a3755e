"""The configuration's models: one file, validated whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from syncd.config.cron import fires, usual_gap
from syncd.config.fields import (
    EXTERNAL_ID_PATTERN,
    LISTEN_PATTERN,
    MOUNT_PATTERN,
    OWNER_PATTERN,
    ROLE_PATTERN,
    VISIBLE,
    VISIBLE_OR_EMPTY,
    BodyCredential,
    Credential,
    Duration,
    FilePath,
    Key,
    LimitText,
    RateText,
    Strict,
    parse_duration,
)
from syncd.errors import LedgerError

SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # a path
BASE_URL = "https://www.wixapis.com/_api/cloud-secrets-vault-server"
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


Proxy = Annotated[str, AfterValidator(_proxy_address)] | Credential
"""A proxy's address, or where one with a user and password is."""


CaFile = FilePath | Literal[""]
"""A file of PEM certificates that are believed; of Vault and AWS in the place of the usual ones."""


def _listen(text: str) -> str:
    if int(text.rpartition(":")[2]) > 65535:
        raise PydanticCustomError("port", "a port is at most 65535")
    return text


Listen = Annotated[str, AfterValidator(_listen)]


class State(Strict):
    """Where the ledger is: a SQLite file, or PostgreSQL."""

    path: FilePath | None = Field(
        None, description="SQLite file, relative to the configuration file; its folder is made if needed"
    )
    url: Credential | None = Field(None, description="postgresql://… for a ledger in PostgreSQL")
    fingerprint_key: Credential | None = Field(
        None, description="64 hex digits or more; generated beside the ledger if left out"
    )

    _folder: Path = PrivateAttr(default=Path())

    def placed_in(self, folder: Path) -> None:
        """Say where the configuration file is."""
        self._folder = folder

    @property
    def file(self) -> Path:
        """The SQLite file as it is found from anywhere, by whatever path. Raises `LedgerError`."""
        try:
            return (self._folder / str(self.path)).resolve()
        except (OSError, RuntimeError):  # links that lead to one another
            raise LedgerError(f"the ledger {self.path} cannot be found", hint="see the links on its path") from None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise PydanticCustomError("one_place", "write either path or url")
        if self.url is not None and self.fingerprint_key is None:
            raise PydanticCustomError("key", "a ledger in PostgreSQL needs fingerprint_key: {file: PATH}")
        return self


class Server(Strict):
    """Health, metrics and status over HTTP."""

    listen: Listen = Field(pattern=LISTEN_PATTERN, description="HOST:PORT")
    token: Credential | None = Field(None, description="bearer token for POST; without it they are off")


AuthMount = Annotated[str, Field(pattern=MOUNT_PATTERN)]
"""Where a login method is mounted: it becomes a part of an address."""


class VaultLogin(Strict):
    """What each way to log in has."""

    namespace: str | None = Field(
        None,
        pattern=VISIBLE_OR_EMPTY,
        description="where the login lives, if not in the source's namespace; empty for the root namespace",
    )


class TokenAuth(VaultLogin):
    """A Vault token."""

    method: Literal["token"]
    token: Credential


class AppRoleAuth(VaultLogin):
    """AppRole; `wrapped` says that the secret id is a response-wrapping token."""

    method: Literal["approle"]
    role_id: Credential | str
    secret_id: BodyCredential
    wrapped: bool = False
    mount: AuthMount = "approle"


class KubernetesAuth(VaultLogin):
    """The pod's service account."""

    method: Literal["kubernetes"]
    role: str
    jwt: Credential = Credential(env=None, file=SERVICE_ACCOUNT_TOKEN)
    mount: AuthMount = "kubernetes"


class JwtAuth(VaultLogin):
    """A signed token of an identity provider."""

    method: Literal["jwt"]
    role: str
    jwt: Credential
    mount: AuthMount = "jwt"


class UserpassAuth(VaultLogin):
    """User name and password."""

    method: Literal["userpass"]
    username: str
    password: BodyCredential
    mount: AuthMount = "userpass"


class CertAuth(VaultLogin):
    """A TLS client certificate."""

    method: Literal["cert"]
    cert_file: FilePath
    key_file: FilePath
    role: str = ""
    mount: AuthMount = "cert"


class AwsIamAuth(VaultLogin):
    """AWS credentials of the standard chain."""

    method: Literal["aws_iam"]
    role: str = ""
    region: str = "us-east-1"
    server_id: str = Field(
        "", pattern=VISIBLE_OR_EMPTY, description="value of X-Vault-AWS-IAM-Server-ID, where the server asks for it"
    )
    mount: AuthMount = "aws"


VaultAuth = Annotated[
    TokenAuth | AppRoleAuth | KubernetesAuth | JwtAuth | UserpassAuth | CertAuth | AwsIamAuth,
    Field(discriminator="method"),
]


class VaultSettings(Strict):
    """HashiCorp Vault or OpenBao."""

    type: Literal["vault"]
    address: Address
    namespace: str = Field("", pattern=VISIBLE_OR_EMPTY, description="without spaces or signs beyond ASCII")
    ca_file: CaFile = ""
    proxy: Proxy | None = Field(None, description="its address; without it HTTPS_PROXY and NO_PROXY hold")
    auth: VaultAuth


class AwsEvents(Strict):
    """Where EventBridge puts Secrets Manager's events."""

    sqs: Address = Field(description="URL of an SQS queue")

    @property
    def endpoint_url(self) -> str:
        """Where the queue answers: its URL says so; for AWS's own the SDK's rules and variables hold."""
        parts = urlsplit(self.sqs)
        host = parts.hostname or ""
        is_public = host.startswith("sqs.") and host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        return "" if is_public else f"{parts.scheme}://{parts.netloc}"


class AwsSettings(Strict):
    """AWS Secrets Manager, with the standard AWS credential chain."""

    type: Literal["aws_secrets_manager"]
    region: str = Field(min_length=1)
    assume_role: str = Field("", pattern=ROLE_PATTERN)
    external_id: str = Field(
        "",
        pattern=EXTERNAL_ID_PATTERN,
        description="the external id that the role's trust policy asks for",
    )
    endpoint_url: Address | None = Field(None, description="of Secrets Manager alone")
    sts_endpoint_url: Address | None = Field(None, description="of STS, for assume_role")
    ca_file: CaFile = ""
    proxy: Proxy | None = Field(None, description="its address; without it HTTPS_PROXY and NO_PROXY hold")
    events: AwsEvents | None = Field(None, description="wakes the jobs whose secrets changed, in seconds")


SourceSettings = Annotated[VaultSettings | AwsSettings, Field(discriminator="type")]


class ApiKeyAuth(Strict):
    """An API key for one site."""

    method: Literal["api_key"]
    site_id: str = Field(min_length=1, pattern=VISIBLE)
    api_key: Credential


class AppAuth(Strict):
    """A Wix app's client credentials; the instance is the site."""

    method: Literal["app"]
    app_id: str = Field(min_length=1, pattern=VISIBLE)
    instance_id: str = Field(min_length=1, pattern=VISIBLE)
    app_secret: BodyCredential


class WixSettings(Strict):
    """A Wix site."""

    type: Literal["wix"]
    auth: Annotated[ApiKeyAuth | AppAuth, Field(discriminator="method")]
    base_url: Address = BASE_URL
    ca_file: CaFile = ""
    proxy: Proxy | None = Field(None, description="its address; without it HTTPS_PROXY and NO_PROXY hold")
    rate_limit: RateText = "190/1m"
    name_profile: Literal["api", "dashboard"] = "api"

    def requests_per_second(self) -> float:
        """The rate limit as a number."""
        count, _, span = self.rate_limit.partition("/")
        return float(int(count) / parse_duration(span).total_seconds())

    @property
    def site(self) -> str:
        """The site's own identity."""
        return self.auth.site_id if isinstance(self.auth, ApiKeyAuth) else self.auth.instance_id


class Schedule(Strict):
    """When a job runs by itself."""

    every: Duration | None = None
    cron: str | None = None
    timezone: str = "UTC"

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.every is None) == (self.cron is None):
            raise PydanticCustomError("schedule", "write either every: 5m or cron: '*/10 * * * *'")
        if self.every is not None and self.every < timedelta(seconds=1):
            raise PydanticCustomError("schedule", "every is at least 1s")
        try:
            zone = ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            near = get_close_matches(self.timezone, sorted(available_timezones()), n=1, cutoff=0.6)
            meant = f"did you mean {near[0]}?" if near else "write one such as Europe/Berlin"
            raise PydanticCustomError("timezone", "no known time zone; {meant}", {"meant": meant}) from None
        if self.cron is not None:
            try:
                next(fires(self.cron, datetime(2026, 1, 1, tzinfo=zone)))
            except (ValueError, StopIteration):
                raise PydanticCustomError("cron", "no cron line that ever fires; five fields, or @hourly") from None
        return self

    def interval(self) -> timedelta:
        """The time from one run to the next."""
        if self.every is not None:
            return self.every
        return usual_gap(str(self.cron), datetime(2026, 1, 1, tzinfo=UTC))


class SecretRule(Strict):
    """One rule: which secrets, and their names at Wix."""

    path: str = Field(min_length=1, max_length=1000)
    mount: str | None = None
    exclude: list[str] = Field(default_factory=list)
    field: str | None = Field(None, min_length=1)
    format: Literal["json"] | None = None
    binary: Literal["base64"] | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    name: str | None = Field(None, min_length=1, max_length=500)
    description: str | None = Field(None, max_length=500)
    value: str | None = Field(
        None,
        min_length=1,
        max_length=4000,
        description="one secret of several fields: postgres://{user}:{password|url}@{host}; also |json and |base64",
    )
    version: int | None = Field(None, ge=1, description="Vault: pin this version")
    stage: str | None = Field(None, min_length=1, description="AWS: pin this staging label")


class Guard(Strict):
    """Limits that hold a class of actions back whole."""

    max_deletes: LimitText = "10%"
    max_updates: LimitText | None = None
    max_creates: LimitText | None = None


class JobSettings(Strict):
    """Which secrets of a source go to which sites, when, and what is allowed."""

    source: Key
    targets: list[Key] = Field(min_length=1)
    schedule: Schedule | None = None
    secrets: list[SecretRule] = Field(min_length=1)
    deletion_policy: Literal["keep", "delete"] = "keep"
    deletion_grace: Duration = timedelta(hours=24)
    conflict_policy: Literal["report", "adopt"] = "report"
    drift_policy: Literal["restore", "report"] = "restore"
    verify_every: Duration = timedelta(hours=24)
    guard: Guard = Guard()


class Settings(Strict):
    """The whole file."""

    owner: str = Field(
        pattern=OWNER_PATTERN,
        description="who this installation is, at Wix; every secret's description carries it",
    )
    state: State
    server: Server | None = None
    sources: dict[Key, SourceSettings] = Field(min_length=1)
    targets: dict[Key, WixSettings] = Field(min_length=1)
    jobs: dict[Key, JobSettings] = Field(min_length=1)

    def dump(self) -> dict[str, Any]:
        """What counts for a kept plan: the settings, with credentials as references only."""
        return self.model_dump(mode="json")
