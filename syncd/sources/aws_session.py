"""boto3 and botocore: sessions, credentials, and their errors as ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from syncd.echoes import holds
from syncd.errors import SourceDenied, SourceError, SourceUnavailable
from syncd.models import SecretValue
from syncd.sources.bounded import BOUNDS, bounded
from syncd.sources.retry import retried
from syncd.untrusted import parsed

T = TypeVar("T")
CONNECTIONS = 8
CONFIG = Config(
    # One retry layer, ours; `total_max_attempts` 1 turns boto3's own off.
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=CONNECTIONS,
    connect_timeout=5,
    read_timeout=8,
)
DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
PASSING = {
    "InternalFailure",
    "InternalServiceError",
    "InternalServiceErrorException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
NOT_AWS = "the answer is none of AWS's"
NOT_AWS_MEND = "see endpoint_url, and what stands between here and AWS"
MEND_CREDENTIALS = "see the standard AWS chain: environment, profile, web identity, container, instance role"


KNOWN = (
    DENIED
    | PASSING
    | {
        "DecryptionFailure",
        "EncryptionFailure",
        "InvalidNextTokenException",
        "InvalidParameterException",
        "InvalidRequestException",
        "LimitExceededException",
        "MalformedPolicyDocumentException",
        "PreconditionNotMetException",
        "PublicPolicyException",
        "ResourceExistsException",
        "ResourceNotFoundException",
        "QueueDoesNotExist",
        "KmsAccessDenied",
        "KmsDisabled",
        "KmsNotFound",
        "AWS.SimpleQueueService.NonExistentQueue",
        "OverLimit",
        "InvalidAddress",
        "InvalidSecurity",
        "RequestExpired",
        "RegionDisabled",
        "RegionDisabledException",
        "MalformedPolicyDocument",
        "PackedPolicyTooLarge",
        "IDPCommunicationError",
        "IDPRejectedClaim",
        "InvalidIdentityToken",
        "ExpiredTokenException",
        "InvalidAction",
        "InvalidParameterValue",
        "MissingParameter",
        "OptInRequired",
        "NotAuthorized",
        "ValidationError",
        "ValidationException",
        "InvalidAuthorizationMessageException",
        "UnknownOperationException",
        "KMSAccessDeniedException",
        "KMSInvalidStateException",
        "KMSDisabledException",
        "KMSNotFoundException",
    }
)
"""The codes that are shown as they are (references of Secrets Manager, SQS, STS, and AWS's common errors)."""
UNKNOWN_CODE = "another code"


class Refused(Exception):
    """An answer about one secret; `code` is AWS's. Never leaves the sources."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def client(service: str, *, region: str, endpoint_url: str = "", assume_role: str = "") -> Any:
    """A boto3 client on the standard credential chain, or on a role assumed from it. Raises `SourceError`."""
    try:
        session = boto3.Session(region_name=region or None)
        if assume_role:
            _assume(session, assume_role, endpoint_url)
        made = session.client(service, endpoint_url=endpoint_url or None, config=CONFIG)
    except (BotoCoreError, ValueError, OSError) as error:
        raise SourceDenied(f"AWS is not set up ({type(error).__name__})", hint=MEND_CREDENTIALS) from None
    for name in ("secrets-manager", "sqs"):
        made.meta.events.register(f"before-parse.{name}", partial(_refuse_odd, session))
    return made


class _NoAnswer(BotoCoreError):  # type: ignore[misc]  # botocore ships no types
    """What came is nothing that AWS says."""

    fmt = "no usable answer"


def _refuse_odd(session: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Before botocore parses an answer: may it be parsed, and does it repeat the session token that was sent?"""
    body = response_dict.get("body")
    if not body:
        return
    if parsed(body) is None:
        raise _NoAnswer
    found = session.get_credentials()
    if found is not None and found.token and holds(bytes(body), str(found.token)):
        raise _NoAnswer


def _assume(session: Any, role: str, endpoint_url: str) -> None:
    """Credentials of the role, fetched when first used and again before they expire."""
    base = session._session  # noqa: SLF001  # boto3 offers no public way to put refreshing credentials in

    def sts(name: str, **options: Any) -> Any:
        return base.create_client(name, **{**options, "endpoint_url": endpoint_url or None, "config": CONFIG})

    source = base.get_credentials()
    if source is None:
        raise NoCredentialsError
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=sts, source_credentials=source, role_arn=role, extra_args={"RoleSessionName": "syncd"}
    )
    base._credentials = DeferredRefreshableCredentials(  # noqa: SLF001
        refresh_using=fetcher.fetch_credentials, method="assume-role"
    )


def signing_credentials() -> tuple[str, SecretValue[str], SecretValue[str] | None]:
    """Access key, secret key and session token of the standard chain. Raises `SourceDenied`."""
    try:
        found = boto3.Session().get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except (BotoCoreError, ClientError, OSError) as error:
        raise SourceDenied(
            f"no AWS credentials for the aws_iam login ({type(error).__name__})", hint=MEND_CREDENTIALS
        ) from None
    if frozen is None:
        raise SourceDenied("no AWS credentials for the aws_iam login", hint=MEND_CREDENTIALS)
    token = SecretValue(str(frozen.token)) if frozen.token else None
    return str(frozen.access_key), SecretValue(str(frozen.secret_key)), token


def asked(place: str, call: Callable[[], T]) -> T:
    """The call's answer, a passing fault tried again. Raises `Refused` about a secret, else `SourceError`."""
    return retried(lambda: _translated(place, call))


def _translated(place: str, call: Callable[[], T]) -> T:
    try:
        with bounded():
            return call()
    except ClientError as error:
        # A closed list: what a peer calls its error may hold what it was sent.
        given = str(error.response.get("Error", {}).get("Code", ""))
        code = given if given in KNOWN else UNKNOWN_CODE
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in PASSING or status >= 500:
            raise SourceUnavailable(f"{place}: AWS asks to wait ({code})", hint="stretch the schedule") from None
        raise Refused(code) from None
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound) as error:
        raise SourceDenied(f"{place}: no AWS credentials ({type(error).__name__})", hint=MEND_CREDENTIALS) from None
    except SSLError:
        raise SourceUnavailable(
            f"{place}: AWS's certificate is not trusted",
            hint="see AWS_CA_BUNDLE, and a proxy that breaks TLS up",
            whole=True,
        ) from None
    except BotoCoreError as error:
        what = BOUNDS.broken or f"does not answer ({type(error).__name__.lstrip('_')})"
        raise SourceUnavailable(
            f"{place}: AWS {what}",
            hint="see region, endpoint_url, network",
            whole=True,
            stalled=isinstance(error, (ReadTimeoutError, ConnectTimeoutError)) or bool(BOUNDS.broken),
        ) from None
    except OSError as error:  # a file of the chain; the network's errors are botocore's, some of them OSErrors, too
        raise SourceDenied(
            f"{place}: the AWS chain's token file cannot be read ({type(error).__name__})", hint=MEND_CREDENTIALS
        ) from None
    except (
        AttributeError,
        TypeError,
        ValueError,
        LookupError,
        RuntimeError,
        ResponseParserError,
    ):  # its parser met an odd shape
        raise SourceUnavailable(f"{place}: {NOT_AWS}", hint=NOT_AWS_MEND) from None


def as_source_error(place: str, refused: Refused, needs: str) -> SourceError:
    """What a refusal of the whole call means."""
    if refused.code in DENIED:
        return SourceDenied(f"{place}: AWS refused ({refused.code})", hint=f"the identity needs {needs}")
    return SourceError(f"{place}: AWS refused ({refused.code})", hint="see region and rule")
