"""What AWS's SDK raises, as our errors: one classification, each kind with its own fix."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    InvalidConfigError,
    InvalidRegionError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    RefreshWithMFAUnsupportedError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from syncd.domain.recency import clock_skew, skew_in_words
from syncd.domain.untrusted import origin_of
from syncd.errors import SourceDenied, SourceError, SourceUnavailable
from syncd.sources.retry import retried
from syncd.transport.fault_words import in_words, proxy_status, why_not_trusted
from syncd.transport.urllib3_limits import BOUNDS, bounded

T = TypeVar("T")
NOT_PERMITTED = {"AccessDenied", "AccessDeniedException"}
"""The identity is known, and may not do this."""
EXPIRED = {"ExpiredToken", "ExpiredTokenException"}
UNKNOWN_KEY = {"InvalidClientTokenId", "UnrecognizedClientException", "MissingAuthenticationToken"}
BAD_SIGNATURE = {"IncompleteSignature", "InvalidSignatureException", "SignatureDoesNotMatch"}
STALE = EXPIRED | UNKNOWN_KEY | BAD_SIGNATURE
"""The credentials themselves are refused: others may have taken their place meanwhile."""
DENIED = NOT_PERMITTED | STALE
KMS_CODES = {
    "DecryptionFailure",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsNotFound",
}
NOT_SET_UP = (
    ConfigNotFound,
    ConfigParseError,
    InvalidConfigError,
    InvalidRegionError,
    MetadataRetrievalError,
    NoRegionError,
    ParamValidationError,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
)
"""What the SDK raises before it asks AWS anything: about its files, the login that it was given, a role's name."""
THROTTLED = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException"}
PASSING = THROTTLED | {
    "InternalFailure",
    "InternalServiceError",
    "InternalServiceErrorException",
    "ServiceUnavailable",
}
NOT_FOUND = "ResourceNotFoundException"
NOT_AWS = "the answer is none of AWS's"
NOT_AWS_HINT = "see endpoint_url, and what stands between here and AWS"
HINT_CREDENTIALS = "see the standard AWS chain: environment, profile, web identity, container, instance role"


KNOWN = (
    DENIED
    | PASSING
    | {
        "EncryptionFailure",
        "InvalidNextTokenException",
        "InvalidParameterException",
        "InvalidRequestException",
        "LimitExceededException",
        "MalformedPolicyDocumentException",
        "PreconditionNotMetException",
        "PublicPolicyException",
        "ResourceExistsException",
        NOT_FOUND,
        "QueueDoesNotExist",
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
    }
    | KMS_CODES
)
"""The codes that are shown as they are (references of Secrets Manager, SQS, STS, and AWS's common errors)."""
UNKNOWN_CODE = "another code"


class Refused(Exception):
    """AWS refused a call because of a secret or of who asks. Never leaves the sources.

    `code`: AWS's, or `UNKNOWN_CODE`. `is_about_kms`: the refusal is about a KMS key.
    """

    def __init__(self, code: str, *, is_about_kms: bool = False, skew: timedelta = timedelta(0)) -> None:
        super().__init__(code)
        self.code = code
        self.is_about_kms = is_about_kms
        self.skew = skew
        """How far this machine's clock is ahead of AWS's (negative: behind)."""


def asked_with_renewal(place: str, call: Callable[[], T], renew: Callable[[], bool], stop: threading.Event) -> T:
    """Return the answer of `call`. Passing faults are retried; where the credentials are refused, `renew` gets others.

    `place`: how messages name the service. `renew`: returns whether there are other credentials now; then the call is
    made once more. `stop`: set when the process ends.
    Raises `Refused` for what AWS says of a secret or of who asks, else `SourceError`.
    """
    try:
        return retried(lambda: translated(place, call), stop)
    except Refused as refused:
        if refused.code not in STALE or not renew():
            raise
    return retried(lambda: translated(place, call), stop)


def translated(place: str, call: Callable[[], T]) -> T:
    """Make one call, bounded in time and size, with the SDK's exceptions as ours.

    Raises `Refused` for what AWS says of a secret or of who asks, else `SourceError`.
    """
    try:
        with bounded():
            return call()
    except ClientError as error:
        raise _of_answer(place, error) from None
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound) as error:
        raise SourceDenied(f"{place}: no AWS credentials ({in_words(error)})", hint=HINT_CREDENTIALS) from None
    except SSLError as error:
        raise SourceUnavailable(
            f"{place}: AWS's certificate is not trusted{why_not_trusted(error)}",
            hint="give the company's CA as ca_file of the source (or AWS_CA_BUNDLE): a proxy may break TLS up",
            whole=True,
        ) from None
    except ProxyConnectionError as error:
        raise SourceUnavailable(
            f"{place}: the proxy on the way to AWS refuses or does not answer{proxy_status(error)}",
            hint="see proxy of the source, or HTTPS_PROXY, and its user and password; NO_PROXY goes around it",
            whole=True,
        ) from None
    except NOT_SET_UP as error:
        raise SourceDenied(
            f"{place}: AWS is not set up ({in_words(error)})",
            hint=HINT_CREDENTIALS + "; an SSO session is renewed by aws sso login; see assume_role",
        ) from None
    except BotoCoreError as error:
        # A bound of ours that broke comes back as one of the SDK's errors: only BOUNDS knows which it was.
        what = BOUNDS.broken or f"does not answer ({in_words(error)})"
        raise SourceUnavailable(
            f"{place}: AWS {what}",
            hint="see region, endpoint_url, network",
            whole=True,
            stalled=isinstance(error, (ReadTimeoutError, ConnectTimeoutError)) or bool(BOUNDS.broken),
        ) from None
    except OSError as error:  # a file of the chain; the network's errors are botocore's, some of them OSErrors, too
        raise SourceDenied(
            f"{place}: the AWS chain's token file cannot be read ({in_words(error)})", hint=HINT_CREDENTIALS
        ) from None
    except (
        AttributeError,
        TypeError,
        ValueError,
        LookupError,
        RuntimeError,
        ResponseParserError,
    ):  # its parser met an odd shape
        raise SourceUnavailable(f"{place}: {NOT_AWS}", hint=NOT_AWS_HINT) from None


def _of_answer(place: str, error: ClientError) -> SourceError | Refused:
    """Return our error for an error answer, whether AWS gave it or something that answers in its place."""
    # A closed list: what a peer calls its error may hold what it was sent.
    given = str(error.response.get("Error", {}).get("Code", ""))
    code = given if given in KNOWN else UNKNOWN_CODE
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if 300 <= status < 400:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        where = origin_of(str(headers.get("location", ""))) or "another address"
        return SourceUnavailable(f"{place}: {NOT_AWS}: it redirects to {where} (HTTP {status})", hint=NOT_AWS_HINT)
    if code in PASSING or status >= 500:
        said = f"{place}: AWS asks to wait ({code})"
        return SourceUnavailable(said, hint="stretch the schedule", asks_to_wait=code in THROTTLED)
    # The login for the call, not the call: of that call's own permission it says nothing.
    if code in NOT_PERMITTED and error.operation_name.startswith("AssumeRole"):
        hint = "the role's trust policy has to name this identity (and external_id): see assume_role"
        return SourceDenied(f"{place}: AWS refused the role ({error.operation_name}: {code})", hint=hint)
    return Refused(code, is_about_kms=_is_about_kms(error, code), skew=_skew(error))


def _is_about_kms(error: ClientError, code: str) -> bool:
    """Is the refusal about a KMS key? Its code says so, or the text of a missing permission, which is not shown."""
    said = str(error.response.get("Error", {}).get("Message", ""))
    return code in KMS_CODES or (code in NOT_PERMITTED and "KMS" in said)


def _skew(error: ClientError) -> timedelta:
    """How far the clock here is ahead of the `Date` of AWS's answer; zero where it has none."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return clock_skew(str(headers.get("date", "")), datetime.now(UTC))


def as_source_error(place: str, refused: Refused, needs: str) -> SourceError:
    """Turn a refusal into a `SourceError` with its fix.

    `place`: how the message names the service. `needs`: the permissions that the call takes, for the fix.
    """
    code = refused.code
    # First: a clock that is off makes good credentials look expired or badly signed.
    if code in STALE and (words := skew_in_words(refused.skew)):
        return SourceDenied(f"{place}: AWS refused ({code}); {words}", hint="set the clock (NTP)")
    if code in EXPIRED:
        return SourceDenied(
            f"{place}: the AWS session has expired ({code})", hint="renew the session; " + HINT_CREDENTIALS
        )
    if code in UNKNOWN_KEY:
        return SourceDenied(f"{place}: AWS does not know the access key ({code})", hint=HINT_CREDENTIALS)
    if code in BAD_SIGNATURE:
        hint = "the secret key does not belong to the access key; " + HINT_CREDENTIALS
        return SourceDenied(f"{place}: AWS refused the signature ({code})", hint=hint)
    if code in NOT_PERMITTED:
        return SourceDenied(f"{place}: AWS refused ({code})", hint=f"the identity needs {needs}")
    return SourceError(f"{place}: AWS refused ({code})", hint="see region and rule")
