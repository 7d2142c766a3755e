"""A session at one Vault server: connections, one login for each token, and a token that is renewed in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import requests

from syncd.domain import SecretValue
from syncd.domain.ports import Clock
from syncd.domain.recency import skew_in_words
from syncd.errors import SourceDenied, SourceError, SourceUnavailable
from syncd.sources.vault.answers import TOKEN_HEADER, TOO_MANY, StatusError, server_fault
from syncd.sources.vault.auth import WHOLE_LEASE, Login
from syncd.sources.vault.server import Server, client, connections
from syncd.transport.fault_words import in_words, proxy_status, why_not_trusted
from syncd.transport.urllib3_limits import BOUNDS

HINT_LARGE = "see what answers there; a rule with a narrower path lists less"
LOGIN_HINT = "see auth: role, credential, mount"
LOGIN_HINTS = {
    400: "the credential is wrong, used up or expired, or the role is not there: see auth.role and the credential",
    403: "the role does not allow this identity, or the token is expired or revoked: see the role and the token",
    404: "no such login method is mounted there: see auth.method, auth.mount and auth.namespace",
}
"""What the server's statuses mean at a login (Vault's HTTP API, auth methods)."""
TOKEN_HINTS = {
    403: "the token is wrong, expired or revoked, or of another namespace: see auth.token",
    404: "there is no such namespace: see namespace of the source, and auth.namespace",
}
"""The same, where the token itself is given."""
LOGIN_BACKOFF = timedelta(minutes=1)
LOGIN_BACKOFF_MAX = timedelta(hours=1)
STALL_SECONDS = 2.0
"""Seconds after a login that timed out in which the threads that waited behind it get its error, too."""
SETTLING, SETTLING_TRIES = 10.0, 2
"""Seconds after a login in which a standby may not know its token yet, and how often the same token is tried then."""
NOT_KNOWN = "invalid token"
READ_ONLY = "cannot write to readonly storage"
"""What a Vault standby says of a request that it cannot serve alone (its ErrReadOnly), with the status 400."""
LONGEST_LEASE = 10 * 365 * 86400.0
"""Longest lease that is believed, in seconds (ten years): what claims to be longer is looked at again then."""
NO_LOGIN = (StatusError, KeyError, TypeError, ValueError, OverflowError)
"""What is raised where the server refuses a login, or its answer is no login's."""


@dataclass(slots=True)
class _Lease:
    """How long the token lives."""

    renew_at: float | None = None
    renewable: bool = False
    since: float = float("-inf")
    """When the token was given."""
    unknown: int = 0
    """How often the server did not know the token that it had just given."""
    longest: float = 0.0
    """Seconds of the longest lease seen: a renewal that gives much less means that the token nears its end."""


@dataclass(slots=True)
class _Refusals:
    """Logins that were refused or waited for in vain."""

    error: SourceError | None = None
    of: tuple[SecretValue[str], ...] = ()
    """What the refused logins used."""
    count: int = 0
    not_before: float = 0.0
    stalled: tuple[float, SourceError] | None = None
    """When a login timed out, and its error: threads that queue behind it get this error and try no login."""


@dataclass(slots=True)
class _State:
    lease: _Lease = field(default_factory=_Lease)
    refusals: _Refusals = field(default_factory=_Refusals)


class VaultSession:
    """One server, one namespace, one token at a time."""

    def __init__(self, server: Server, login: Login, clock: Clock) -> None:
        self.server = server
        self._login, self._clock = login, clock
        way = server.proxy_url()
        # For messages: a proxy's address may have a user and a password.
        self._proxy = "" if way is None else f"{urlsplit(way).scheme}://{urlsplit(way).netloc.rpartition('@')[2]}"
        session = connections(server, way)
        own = server.namespace if server.login_namespace is None else server.login_namespace
        # A token is looked up and renewed in the namespace of its login, which may be another than the secrets'.
        self._hvac, self._auth = client(server, session, server.namespace), client(server, session, own)
        self._lock = threading.RLock()
        self._state = _State()

    def close(self) -> None:
        """Close the connections."""
        self._hvac.adapter.close()

    def request(self, method: str, url: str, params: dict[str, str], token: str) -> Any:
        """Send one request with this token, or with the session's newer one. Raises `StatusError`, `SourceError`."""
        # Of its own: while another thread logs in anew, the client has none.
        headers = {TOKEN_HEADER: token}
        return self.translated(lambda: self._hvac.adapter.request(method, url, params=params, headers=headers))

    def translated(self, send: Callable[[], Any]) -> Any:
        """Return what `send` returns, with the SDK's errors as ours.

        Raises `StatusError` for a 4xx that is not about the server itself, `SourceError` for everything else.
        """
        place = self.server.place
        try:
            return send()
        except StatusError as error:
            # These 4xx are about the server: 412 it lags behind, 429 a quota, 472 and 473 a standby (Vault's HTTP API).
            is_of_server = error.status in {412, TOO_MANY, 472, 473} or any(READ_ONLY in text for text in error.errors)
            if 400 <= error.status < 500 and not is_of_server:
                raise
            raise server_fault(error, place) from None
        except requests.exceptions.SSLError as error:
            if "WRONG_VERSION_NUMBER" in str(error) or "record layer failure" in str(error).lower():
                raise SourceUnavailable(
                    f"{place}: answers without TLS", hint="is its address http:// instead of https://?", whole=True
                ) from None
            raise SourceUnavailable(
                f"{place}: its certificate is not trusted{why_not_trusted(error)}",
                hint="give the company's CA as ca_file, and see the host name in address",
                # It is the server's, whatever path is asked for: the rest is not tried.
                whole=True,
            ) from None
        except requests.exceptions.ProxyError as error:
            raise SourceUnavailable(
                f"{place}: the proxy {self._proxy} on the way refuses or does not answer{proxy_status(error)}",
                hint="see proxy of the source, or HTTPS_PROXY, and its user and password; NO_PROXY goes around it",
                whole=True,
            ) from None
        # hvac lets through what lies beneath it, such as an OSError for a CA file that cannot be read.
        except (requests.exceptions.RequestException, OSError) as error:
            what = BOUNDS.broken or f"does not answer ({in_words(error)})"
            raise SourceUnavailable(
                f"{place} {what}",
                hint=HINT_LARGE if BOUNDS.large else "see address, network and ca_file",
                whole=True,
                stalled=isinstance(error, (requests.exceptions.Timeout, TimeoutError)) or bool(BOUNDS.broken),
                too_large=BOUNDS.large,
            ) from None

    def expired(self, token: str, denied: StatusError) -> bool:
        """After a 403: is the request to be sent again? True if the token is no more, False if a policy refuses.

        A token that the server does not know any more is forgotten. True also where another thread has a newer token,
        and for a good token in the first 10 seconds after its login: a standby may have lagged.
        Raises `SourceError`, and `SourceUnavailable` while the server does not know a token that it has just given.
        """
        # A policy's refusal ("1 error occurred: …") has more words than that of a token that is no more, which newer
        # Vaults call invalid (Vault's documentation, "Tokens: Error Responses"); a policy costs no call.
        is_invalid = any(NOT_KNOWN in text for text in denied.errors)
        if denied.errors and denied.errors != ("permission denied",) and not is_invalid:
            return False
        with self._lock:
            if self._hvac.token != token:
                return True  # another thread renewed it meanwhile
            try:
                self.translated(self._auth.auth.token.lookup_self)
            except StatusError:
                lease = self._state.lease
                # A standby may lag behind the login: the token is tried again before there is another one.
                if lease.unknown < SETTLING_TRIES and self.server.steady() - lease.since < SETTLING:
                    lease.unknown += 1
                    raise SourceUnavailable(
                        f"{self.server.place} does not know the token that it gave a moment ago",
                        hint="a standby behind a load balancer may lag: tried again in the next cycle",
                        whole=True,
                    ) from None
                self._hold("")
                return True
            # It is good: right after its login a standby may have caught up since, and is asked once more.
            return self.server.steady() - self._state.lease.since < SETTLING

    def token(self) -> str:
        """A token that is good now, after a login where needed. Raises `SourceError`."""
        # One thread logs in for all: many at once with a wrong credential would lock the role out.
        with self._lock:
            now = self.server.steady()
            if self._hvac.token and self._state.lease.renew_at is not None and now >= self._state.lease.renew_at:
                self._renew(now)
            if not self._hvac.token:
                self._log_in(now)
            return str(self._hvac.token)

    def _renew(self, now: float) -> None:
        try:
            if self._state.lease.renewable:
                self._adopt(self.translated(self._auth.auth.token.renew_self)["auth"], now)
                return
        # A renewal that is refused is no fault yet: a login follows.
        except NO_LOGIN:
            pass
        self._hold("")

    def _hold(self, token: str) -> None:
        """Send this token from now on; an empty one stands for no token."""
        self._hvac.token = self._auth.token = token

    def _log_in(self, now: float) -> None:
        """Log in, once. A refusal is remembered, and raised again for a while, because a login loop locks a role out.

        Raises `SourceError`.
        """
        used, refusals = self._login.used(), self._state.refusals
        # Another credential is tried at once: somebody has put the right one there.
        if refusals.error and refusals.of == used and now < refusals.not_before:
            raise refusals.error
        if refusals.stalled and now - refusals.stalled[0] < STALL_SECONDS:
            raise refusals.stalled[1]
        self.server.on_call("login")
        self._hvac.adapter.credentials = self._auth.adapter.credentials = self._login.secrets()
        try:
            self._adopt(self.translated(lambda: self._login(self._auth)), now)
        except NO_LOGIN as error:
            self._hold("")
            refusals.error, refusals.of = self._refused(error, now), used
            raise refusals.error from None
        except SourceError as error:
            self._hold("")
            if isinstance(error, SourceUnavailable) and error.stalled:
                refusals.stalled = (self.server.steady(), error)
            raise
        self._state.refusals = _Refusals()

    def _refused(self, error: Exception, now: float) -> SourceDenied:
        """Return the error for a refused login, and note until when the same credential is not tried again.

        From one minute on, this time doubles with each refusal, up to an hour.
        """
        refusals = self._state.refusals
        refusals.count += 1
        wait = min(LOGIN_BACKOFF_MAX, LOGIN_BACKOFF * 2 ** min(refusals.count - 1, 8))
        refusals.not_before = now + wait.total_seconds()
        status = error.status if isinstance(error, StatusError) else 0
        hint = (TOKEN_HINTS if self._login.method == "token" else LOGIN_HINTS).get(status, LOGIN_HINT)
        minutes = int(wait.total_seconds() // 60)
        namespace = self.server.namespace if self.server.login_namespace is None else self.server.login_namespace
        within = f" in namespace {namespace}" if namespace else ""
        answered = f" (HTTP {status})" if status else ""
        return SourceDenied(
            f"{self.server.place} refused the login{within}{answered}{_skew_note(error)}",
            hint=f"{hint}; this process does not try the same credential again for {minutes} min",
        )

    def _adopt(self, auth: dict[str, Any], now: float) -> None:
        """Use this token from now on; it is renewed at two thirds of its lease.

        A lease of a minute or less is not renewed, so one that shrinks with each renewal ends in a new login.
        Raises KeyError, TypeError or ValueError for what is no login's answer.
        """
        token, seconds = auth["client_token"], float(auth["lease_duration"] or 0)
        # http.client names a header that it cannot send, and the token in it.
        if not isinstance(token, str) or not token or not all("!" <= char <= "~" for char in token):
            raise ValueError
        self._hold(token)
        lease = self._state.lease
        lease.since, lease.unknown = now, 0
        # A token near its longest life is renewed for less each time; its last minute is not: a login follows.
        lease.renewable = bool(auth.get("renewable")) and seconds > 60
        # Vault's 0 is a token without an end, such as a root token.
        whole = max(seconds, float(auth.get(WHOLE_LEASE) or 0))
        # At two thirds of the whole lease, of which a given token may have used up a part; one that nothing renews is
        # looked at again at two thirds of what is left.
        left = min(seconds, LONGEST_LEASE)
        renew_in = left - min(whole, LONGEST_LEASE, 3 * left) / 3 if lease.renewable else left * 2 / 3
        lease.renew_at = now + renew_in if seconds > 0 else None
        lease.longest = max(lease.longest, seconds)
        ends = seconds > 0 and (not lease.renewable or seconds < lease.longest * 0.9)
        self.server.on_expiry(self._clock() + timedelta(seconds=min(seconds, LONGEST_LEASE)) if ends else None)


def _skew_note(error: Exception) -> str:
    """Return what to add to a refused login where the clocks differ, because signed tokens then fail; else empty."""
    words = skew_in_words(error.skew) if isinstance(error, StatusError) else ""
    return f"; {words}" if words else ""
