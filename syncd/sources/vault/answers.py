"""What a Vault server answers, through hvac: statuses are kept, redirects and answers with a token refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from hvac.adapters import JSONAdapter, RawAdapter

from syncd.domain import SecretValue
from syncd.domain.recency import clock_skew
from syncd.domain.untrusted import origin_of, parsed
from syncd.errors import SourceUnavailable
from syncd.transport.echoes import holds
from syncd.transport.idle import IdleWatch
from syncd.transport.urllib3_limits import bounded

NO_ANSWER = 502
"""Our status for what is no answer of Vault's, whatever status it came with."""
TOO_MANY = 429
"""The status of a rate limit quota that is used up, often without a body (Vault's and OpenBao's documentation)."""
TOKEN_HEADER = "X-Vault-Token"  # noqa: S105  # a header's name
REPEATS = 499
"""Our status for an answer that holds a credential: the token that it was asked with, or one that the login used."""
UNKNOWN_METHOD = 405
"""Our status for the answer of a proxy that does not pass the methods LIST and SCAN on."""
METHOD_REFUSED = {400, 403, 404, 405, 501}
"""What such proxies answer, with a page of their own."""
NOT_VAULT = "the answer is none of Vault's"
NOT_VAULT_HINT = "see what answers at the source's address: a proxy, another server?"
SHORTEST_TOKEN = 16
"""Shortest credential, in characters, that is looked for in answers; Vault's own tokens have 24 and more."""


class StatusError(Exception):
    """An answer that is no success: the status and what hvac would have dropped. Never leaves this package."""

    def __init__(
        self,
        status: int,
        errors: tuple[str, ...],
        body: dict[str, Any],
        *,
        leads_to: str = "",
        skew: timedelta = timedelta(0),
        retry_after: float = 0.0,
    ) -> None:
        """`leads_to`: the scheme and host that a redirect names. `skew`: how far our clock is ahead of the server's.

        `retry_after`: seconds that the answer asks to wait.
        """
        super().__init__(status)
        self.leads_to = leads_to
        self.skew = skew
        self.retry_after = retry_after
        self.status = status
        self.errors = errors
        self.body = body


class VaultAdapter(JSONAdapter):  # type: ignore[misc]  # hvac ships no types
    """Sends every call of hvac. An answer is its JSON object, or None for a 204.

    Raises `StatusError` for any other answer; the network's own errors pass through.
    """

    credentials: tuple[SecretValue[str], ...] = ()
    """Secrets that the login used: an answer about a secret that holds one of them is refused."""

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        # hvac's own errors drop status and headers, and their text may hold the whole body.
        kwargs.pop("raise_exception", None)
        used = (kwargs.get("headers") or {}).get(TOKEN_HEADER, "")
        with bounded():
            answer = RawAdapter.request(self, method, url, *args, raise_exception=False, stream=True, **kwargs)
            with answer:
                # Compressed though not asked for: a small body could unpack into any size.
                content = b"" if "content-encoding" in answer.headers else answer.content
        sent = (self.token or "", used, *(credential.reveal() for credential in self.credentials))
        # Only a login's or a renewal's answer holds a token by right; a folder of secrets may be called auth, too.
        if not url.startswith("/v1/auth/") and any(
            len(text) >= SHORTEST_TOKEN and holds(content, text) for text in sent
        ):
            raise StatusError(REPEATS, (), {})  # what a peer echoes would be kept, and sent on
        body = parsed(content)
        # A proxy's page for signing in comes with 200 as well; nothing but JSON is taken for Vault's.
        if answer.status_code < 300 and (isinstance(body, dict) or answer.status_code == 204):
            return body
        if 300 <= answer.status_code < 400:
            leads_to = origin_of(answer.headers.get("Location", ""))
            leads_to = "" if any(text and holds(leads_to.encode(), text) for text in sent) else leads_to
            raise StatusError(answer.status_code, (), {}, leads_to=leads_to)
        content_fields = body if isinstance(body, dict) else {}
        errors = content_fields.get("errors")
        lines = tuple(str(line) for line in errors) if isinstance(errors, list) else ()
        # Without Vault's JSON it is a proxy that does not know the method: no fault yet, a plainer call is tried next.
        if not content_fields and method.lower() in {"list", "scan"} and answer.status_code in METHOD_REFUSED:
            raise StatusError(UNKNOWN_METHOD, (), {})
        skew = clock_skew(answer.headers.get("Date", ""), datetime.now(UTC))
        # A proxy's 404 without Vault's JSON must not read as a path that is not there.
        status = answer.status_code if content_fields or answer.status_code == TOO_MANY else NO_ANSWER
        wait = answer.headers.get("Retry-After", "")
        after = float(wait) if wait.isascii() and wait.isdecimal() and len(wait) < 6 else 0.0
        raise StatusError(status, lines, content_fields, skew=skew, retry_after=after)


class NoRedirects(requests.Session):
    """Redirects are refused; left to itself, requests would read and unpack such an answer all the same.

    Connections that were idle for a while are not used again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._idle = IdleWatch()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send one request."""
        with self._idle.use(self.close):
            return super().send(request, **options)

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """Return None: no answer leads anywhere else."""
        return None


def server_fault(error: StatusError, place: str) -> SourceUnavailable:
    """Return the error for an answer that tells of the server: sealed, rate limited, a redirect, or not Vault's."""
    sealed = error.status == 503 and any("sealed" in line.lower() for line in error.errors)
    if sealed:
        return SourceUnavailable(f"{place} is sealed", hint="unseal it; nothing changes until then", whole=True)
    if error.status == TOO_MANY:
        return SourceUnavailable(
            f"{place} asks to slow down",
            hint="raise its rate limit quota for this path or login; what was not read is read in the next cycle",
            asks_to_wait=True,
            retry_after=error.retry_after,
        )
    if error.status == NO_ANSWER:
        return SourceUnavailable(f"{place}: {NOT_VAULT}", hint=NOT_VAULT_HINT)
    if 300 <= error.status < 400:
        where = error.leads_to or "another address"
        hint = "write that address, if it is the right one; syncd follows no redirect with a token"
        return SourceUnavailable(f"{place}: {NOT_VAULT}: it redirects to {where} (HTTP {error.status})", hint=hint)
    return SourceUnavailable(f"{place} gave no usable answer (HTTP {error.status})", hint="see its log")
