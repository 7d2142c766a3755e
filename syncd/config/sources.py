"""Where secrets come from: the settings of each kind of source."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from syncd.config.addresses import Address, CaFile, Proxy
from syncd.config.fields import (
    EXTERNAL_ID_PATTERN,
    MOUNT_PATTERN,
    REGION_PATTERN,
    ROLE_PATTERN,
    VISIBLE_OR_EMPTY,
    BodyCredential,
    Credential,
    PlacedFile,
    Strict,
)

SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # a path
AuthMount = Annotated[
    str,
    Field(pattern=MOUNT_PATTERN, description="Where the login method is mounted", examples=["approle", "team/approle"]),
]
SourceCa = Annotated[
    CaFile,
    Field(
        description="PEM file of the CA certificates to believe instead of the usual ones",
        examples=["/etc/ssl/company.pem"],
    ),
]
RoleName = Annotated[str, Field(description="The role that the login asks for", examples=["syncd"])]


class VaultLogin(Strict):
    """The settings that every way to log in has."""

    namespace: str | None = Field(
        None,
        pattern=VISIBLE_OR_EMPTY,
        description="Where the login lives, if not in the source's namespace; empty for the root namespace",
        examples=["", "admin"],
    )


class TokenAuth(VaultLogin):
    """A Vault token."""

    method: Literal["token"] = Field(description="The way to log in", examples=["token"])
    token: Credential = Field(description="The token", examples=[{"env": "VAULT_TOKEN"}])


class AppRoleAuth(VaultLogin):
    """AppRole."""

    method: Literal["approle"] = Field(description="The way to log in", examples=["approle"])
    role_id: Credential | str = Field(description="The role's id; it is no secret", examples=[{"env": "VAULT_ROLE_ID"}])
    secret_id: BodyCredential = Field(
        description="The secret id, or the token that it is wrapped in",
        examples=[{"file": "/run/secrets/vault/secret-id"}],
    )
    wrapped: bool = Field(
        False, description="Is the secret id a response-wrapping token, which is used up once?", examples=[True]
    )
    mount: AuthMount = "approle"


class KubernetesAuth(VaultLogin):
    """The pod's service account."""

    method: Literal["kubernetes"] = Field(description="The way to log in", examples=["kubernetes"])
    role: RoleName
    jwt: Credential = Field(
        Credential(env=None, file=SERVICE_ACCOUNT_TOKEN),
        description="The service account's token",
        examples=[{"file": "/run/secrets/tokens/vault"}],
    )
    mount: AuthMount = "kubernetes"


class JwtAuth(VaultLogin):
    """A signed token of an identity provider."""

    method: Literal["jwt"] = Field(description="The way to log in", examples=["jwt"])
    role: RoleName
    jwt: Credential = Field(description="The token", examples=[{"file": "/run/secrets/tokens/vault"}])
    mount: AuthMount = "jwt"


class UserpassAuth(VaultLogin):
    """User name and password."""

    method: Literal["userpass"] = Field(description="The way to log in", examples=["userpass"])
    username: str = Field(description="The user", examples=["syncd"])
    password: BodyCredential = Field(description="The password", examples=[{"env": "VAULT_PASSWORD"}])
    mount: AuthMount = "userpass"


class CertAuth(VaultLogin):
    """A TLS client certificate."""

    method: Literal["cert"] = Field(description="The way to log in", examples=["cert"])
    cert_file: PlacedFile = Field(description="PEM file of the certificate", examples=["/run/secrets/tls/tls.crt"])
    key_file: PlacedFile = Field(description="PEM file of its key", examples=["/run/secrets/tls/tls.key"])
    role: str = Field(
        "", description="The name of the certificate's role; any that fits if left out", examples=["syncd"]
    )
    mount: AuthMount = "cert"


class AwsIamAuth(VaultLogin):
    """A login at Vault by the AWS credentials that the SDK finds by itself (environment, profile, role)."""

    method: Literal["aws_iam"] = Field(description="The way to log in", examples=["aws_iam"])
    role: str = Field("", description="The role; the one of the identity's name if left out", examples=["syncd"])
    region: str = Field(
        "us-east-1", pattern=REGION_PATTERN, description="The region of STS that signs", examples=["eu-west-1"]
    )
    server_id: str = Field(
        "",
        pattern=VISIBLE_OR_EMPTY,
        description="Value of X-Vault-AWS-IAM-Server-ID, where the server asks for it",
        examples=["vault.example.com"],
    )
    mount: AuthMount = "aws"


VaultAuth = Annotated[
    TokenAuth | AppRoleAuth | KubernetesAuth | JwtAuth | UserpassAuth | CertAuth | AwsIamAuth,
    Field(discriminator="method"),
]


class VaultSettings(Strict):
    """HashiCorp Vault or OpenBao."""

    type: Literal["vault"] = Field(description="The kind of source", examples=["vault"])
    address: Address = Field(
        description="The server; plain http for this machine only", examples=["https://vault.example.com:8200"]
    )
    namespace: str = Field(
        "", pattern=VISIBLE_OR_EMPTY, description="The namespace of the secrets", examples=["platform"]
    )
    ca_file: SourceCa = ""
    proxy: Proxy = None
    owner_key: str = Field(
        "owner", min_length=1, description="Which key of a secret's custom metadata names its owner", examples=["team"]
    )
    auth: VaultAuth = Field(description="How to log in", examples=[{"method": "kubernetes", "role": "syncd"}])


class AwsEvents(Strict):
    """Where EventBridge puts Secrets Manager's events."""

    sqs: Address = Field(
        description="URL of an SQS queue", examples=["https://sqs.eu-west-1.amazonaws.com/123456789012/syncd"]
    )

    @property
    def endpoint_url(self) -> str:
        """The scheme and host that the queue is asked at, from its URL.

        Empty for AWS's public addresses, where the SDK finds the endpoint by its own rules and variables.
        """
        parts = urlsplit(self.sqs)
        host = parts.hostname or ""
        # A queue at an emulator or behind an endpoint of the company's own answers at its own host.
        is_public = host.startswith("sqs.") and host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        return "" if is_public else f"{parts.scheme}://{parts.netloc}"


class AwsSettings(Strict):
    """AWS Secrets Manager, with the standard AWS credential chain."""

    type: Literal["aws_secrets_manager"] = Field(description="The kind of source", examples=["aws_secrets_manager"])
    region: str = Field(pattern=REGION_PATTERN, description="The region", examples=["eu-west-1"])
    assume_role: str = Field(
        "",
        pattern=ROLE_PATTERN,
        description="ARN of a role to assume, also of another account",
        examples=["arn:aws:iam::123456789012:role/syncd-reader"],
    )
    owner_key: str = Field(
        "owner", min_length=1, description="Which tag of a secret names its owner", examples=["team"]
    )
    external_id: str = Field(
        "", pattern=EXTERNAL_ID_PATTERN, description="What the role's trust policy asks for", examples=["corp-42"]
    )
    endpoint_url: Address | None = Field(
        None,
        description="Of Secrets Manager alone; without it AWS_ENDPOINT_URL_SECRETS_MANAGER holds",
        examples=["http://127.0.0.1:5000"],
    )
    sts_endpoint_url: Address | None = Field(
        None,
        description="Of STS, for assume_role; without it AWS_ENDPOINT_URL_STS holds",
        examples=["https://sts.eu-west-1.amazonaws.com"],
    )
    ca_file: SourceCa = ""
    proxy: Proxy = None
    events: AwsEvents | None = Field(
        None,
        description="A queue of changes, which wakes the jobs whose secrets changed, in seconds",
        examples=[{"sqs": "https://sqs.eu-west-1.amazonaws.com/123456789012/syncd"}],
    )


SourceSettings = Annotated[VaultSettings | AwsSettings, Field(discriminator="type")]
