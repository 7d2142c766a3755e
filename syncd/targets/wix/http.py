"""One HTTP exchange with Wix: bounded, never redirected, never logged, its outcome classified.

An error tells whether the request may have taken effect although no usable answer came (`maybe_done`): the caller
decides whether repeating is harmless.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from syncd.domain import SecretValue, WriteWindow
from syncd.domain.untrusted import origin_of, parsed
from syncd.errors import TargetError, TargetUnavailable
from syncd.targets.wix.sent_secrets import SentSecrets, sent_by
from syncd.transport.echoes import holds
from syncd.transport.fault_words import in_words
from syncd.transport.httpx_limits import CertificateNotTrusted, ProxyNotReached, bounded_body, deadline

MOST_BYTES = 8 * 1024 * 1024
"""Most bytes of one answer: some 20,000 listed secrets."""
OLDEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""A `Date` that is not between these two is taken for none."""
KNOWN_CODES = {
    "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "ALREADY_EXISTS", "ABORTED", "RESOURCE_EXHAUSTED", "CANCELLED",
    "INVALID_ARGUMENT", "FAILED_PRECONDITION", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED",
    "OUT_OF_RANGE", "UNKNOWN", "DATA_LOSS",
}  # fmt: skip
"""Wix's application error codes (About Errors)."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,80}")
Sendable = str | SecretValue[str] | Mapping[str, "Sendable"] | None
"""What a request's body may hold. Secrets in it stay masked until the request is sent."""
CALL_SECONDS = 8.0
"""Seconds from sending to the last byte of the answer; a stop of the process waits for at most this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, the JSON object (None where the body is none), request id and time window."""

    status: int
    body: dict[str, Any] | None
    request_id: str
    retry_after: float | None
    window: WriteWindow | None
    named: bool = False
    """It came with a request id, as Wix's answers do."""
    sent: SentSecrets = field(default_factory=SentSecrets)
    """Secrets that the client sent of late: none of them may come back in a text that is shown or kept."""
    brought: tuple[SecretValue[str], ...] = ()
    """Secrets that were sent with this very request."""
    repeats_credential: bool = False
    """Does the body hold a credential that was sent with the request? Then it is not Wix's, whatever it says."""

    leads_to: str = ""
    """The scheme and host that a redirect names."""

    @property
    def code(self) -> str:
        """Wix's application error code, if the body names one."""
        details = (self.body or {}).get("details")
        error = details.get("applicationError") if isinstance(details, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        return code if isinstance(code, str) and re.fullmatch(r"[A-Z_]{1,40}", code) else ""

    @property
    def shown(self) -> str:
        """The status, and the code if it is a known one, for messages: any other text of a peer is not shown."""
        return f"HTTP {self.status}" + (f" {self.code}" if self.code in KNOWN_CODES else "")

    def without_echoes(self) -> Answer:
        """Return the answer with an empty `request_id` or `leads_to`, if that holds a part of a secret that was sent.

        Looked for is what its client sent of late. The body stays as it is.
        """
        request_id = "" if self.sent.are_in(self.request_id) else self.request_id
        # Without its scheme, which many a value begins with.
        leads_to = "" if self.sent.are_in(self.leads_to.partition("://")[2]) else self.leads_to
        return replace(self, request_id=request_id, leads_to=leads_to)

    def echoes(self, text: str) -> bool:
        """Does a text, such as an id, hold a part of a secret that was sent with this request, or of late?"""
        return self.sent.are_in_id(text, self.brought)


def exchange(
    client: httpx.Client,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str | SecretValue[str]],
    payload: Sendable,
    is_login: bool = False,
) -> Answer:
    """Send one request. Its secrets are known by their type (`SecretValue`), and are revealed here and nowhere before.

    So no secret can be sent without being looked for in what comes back, in this answer and in later ones.
    `is_login`: the payload holds credentials.
    Raises `TargetUnavailable` where no complete answer came, `TargetError` for a URL that is no address.
    """
    started = time.monotonic()
    sent: list[SecretValue[str]] = []
    plain = {"Accept": "application/json"} | {name: str(_revealed(value, sent)) for name, value in headers.items()}
    # Of the headers alone: one that comes back discredits the whole answer, a value only the text that holds it.
    credentials = tuple(sent)
    body = _revealed(payload, sent)
    secrets, known = sent[len(credentials) :], sent_by(client)
    known.add(sent if is_login else credentials, () if is_login else secrets)
    with _told(url), deadline(CALL_SECONDS), client.stream(method, url, headers=plain, json=body) as response:
        content = bounded_body(response, MOST_BYTES)
        answer = _answer(response, content, timedelta(seconds=time.monotonic() - started))
        repeats = any(holds(content, credential.reveal()) for credential in credentials)
        answer = replace(answer, sent=known, brought=tuple(sent), repeats_credential=repeats)
        return answer.without_echoes()


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn the errors of httpx into ours, which say why no complete answer came.

    Raises `TargetUnavailable`; `TargetError` for a URL that is no address.
    """
    try:
        yield
    except CertificateNotTrusted as error:
        raise TargetUnavailable(
            f"{_origin(url)} cannot be reached: its certificate is not trusted ({error})",
            hint="give the company's CA certificates: ca_file of the target, or SSL_CERT_FILE",
        ) from None
    except ProxyNotReached as error:
        raise TargetUnavailable(
            f"the proxy {error} on the way to {_origin(url)} cannot be reached",
            hint="see proxy of the target, or HTTPS_PROXY; NO_PROXY goes around it",
            stalled=error.stalled,
        ) from None
    except httpx.ProxyError as error:
        # httpcore's text begins with the proxy's status; what follows is the proxy's own words, and is not shown.
        code = str(error)[:3]
        said = f" (HTTP {code})" if code.isdigit() else ""
        raise TargetUnavailable(
            f"the proxy on the way to {_origin(url)} refuses{said}",
            hint="see proxy of the target, or HTTPS_PROXY, and its user and password; NO_PROXY goes around it",
        ) from None
    # Without a connection nothing was sent: even a creation may be sent again.
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise TargetUnavailable(
            f"{_origin(url)} cannot be reached ({in_words(error)})",
            hint="see network, proxy and certificates between here and Wix",
            stalled=isinstance(error, httpx.TimeoutException),
        ) from None
    except UnicodeError:  # an answer that leads to a host that cannot be
        raise TargetUnavailable(f"{_origin(url)} gave no usable answer", hint="see base_url", maybe_done=True) from None
    except httpx.InvalidURL:
        raise TargetError(f"{_origin(url)} is no address", hint="see base_url") from None
    # The request may have arrived: a creation is not repeated, the next listing tells by its mark.
    except httpx.HTTPError as error:
        raise TargetUnavailable(
            f"{_origin(url)} gave no complete answer ({in_words(error)})",
            hint="tried again in the next cycle",
            maybe_done=True,
            stalled=isinstance(error, httpx.TimeoutException),
        ) from None


def _revealed(thing: Sendable, sent: list[SecretValue[str]]) -> Any:
    """Return the thing in plain text, as it is sent; its secrets are added to `sent`."""
    if isinstance(thing, SecretValue):
        sent.append(thing)
        return thing.reveal()
    if isinstance(thing, Mapping):
        return {key: _revealed(value, sent) for key, value in thing.items()}
    return thing


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _answer(response: httpx.Response, body: bytes, took: timedelta) -> Answer:
    # Changes by id have nothing to say: no body is an empty object, not an unusable answer.
    content = parsed(body) if body else {}
    return Answer(
        status=response.status_code,
        body=content if isinstance(content, dict) else None,
        request_id=_request_id(response.headers.get("x-wix-request-id", "")),
        named="x-wix-request-id" in response.headers,
        retry_after=_seconds(response.headers.get("retry-after", ""), response.headers.get("date", "")),
        window=_window(response.headers.get("date", ""), took),
        leads_to=origin_of(response.headers.get("location", "")),
    )


def _request_id(text: str) -> str:
    """Return the text if it looks like a request id of Wix's; empty for anything else."""
    return text if REQUEST_ID.fullmatch(text) else ""


def _seconds(text: str, date: str) -> float | None:
    """Return the seconds that `Retry-After` asks to wait; None if it is neither a number nor a date.

    A date is compared with the answer's own `Date` (RFC 9110, section 10.2.3).
    """
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        at = _date(text)
        return max(0.0, (at - (_date(date) or datetime.now(UTC))).total_seconds()) if at else None


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None
    return at if OLDEST < at < LATEST else None


def _window(date: str, took: timedelta) -> WriteWindow | None:
    """Return the time, by Wix's own clock, in which the request took effect; None without a usable `Date`.

    It ends at the `Date` of the answer and is as long as the request took.
    """
    at = _date(date)
    return WriteWindow(start=at - took, end=at) if at else None
