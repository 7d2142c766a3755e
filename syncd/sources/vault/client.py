"""hvac with its traps closed: statuses kept, redirects and stray tokens refused, one login per lifetime."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

import hvac
import requests
from hvac.adapters import JSONAdapter, RawAdapter

from syncd.domain import SecretValue
from syncd.domain.ports import Clock
from syncd.domain.recency import clock_skew, skew_in_words
from syncd.domain.untrusted import origin_of, parsed
from syncd.errors import SourceDenied, SourceError, SourceUnavailable
from syncd.sources.retry import retried
from syncd.sources.vault.adapter import BoundedAdapter
from syncd.transport.addresses import proxy_for
from syncd.transport.echoes import holds
from syncd.transport.urllib3_limits import BOUNDS, bounded

THREADS = 32
TIMEOUT = (5.0, 8.0)
"""Seconds to connect, and until the first byte of an answer."""
HINT_LARGE = "see what answers there; a rule with a narrower path lists less"
NO_ANSWER = 502
"""The status of what is no answer of Vault's, whatever its own says."""
UNKNOWN_METHOD = 405
"""The status of what a proxy answers that does not pass a method on."""
METHOD_REFUSED = {400, 403, 404, 405, 501}
"""What such proxies answer, with a page of their own."""
NOT_VAULT = "the answer is none of Vault's"
NOT_VAULT_HINT = "see what answers at the source's address: a proxy, another server?"
SHORTEST_TOKEN = 16
"""Characters of a token that is looked for in answers; Vault's own have 24 and more."""
LOGIN_HINT = "see auth: role, credential, mount"
LOGIN_HINTS = {
    400: "the credential is wrong, used up or expired, or the role is not there: see auth.role and the credential",
    403: "the role does not allow this identity, or the token is expired or revoked: see the role and the token",
    404: "no such login method is mounted there: see auth.method, auth.mount and auth.namespace",
}
"""What the server's statuses mean at a login (Vault's HTTP API, auth methods)."""
TOKEN_HINTS = {403: "the token is wrong, expired or revoked, or of another namespace: see auth.token"}
"""The same, where the token itself is given."""
LOGIN_BACKOFF = timedelta(minutes=1)
LOGIN_BACKOFF_MAX = timedelta(hours=1)
STALL_SECONDS = 2.0
"""That a failed login speaks for those who waited behind it."""
LONGEST_LEASE = 10 * 365 * 86400.0
"""Seconds; what claims to be longer is looked at again then."""


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
    ) -> None:
        """`leads_to`: the scheme and host that a redirect names. `skew`: how far our clock is ahead of the server's."""
        super().__init__(status)
        self.leads_to = leads_to
        self.skew = skew
        self.status = status
        self.errors = errors
        self.body = body


class _Adapter(JSONAdapter):  # type: ignore[misc]  # hvac ships no types
    """Every hvac call passes here: a JSON object, None for 204, or `StatusError`."""

    credentials: tuple[SecretValue[str], ...] = ()
    """What the login was done with: no answer about a secret holds it."""

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("raise_exception", None)
        with bounded():
            answer = RawAdapter.request(self, method, url, *args, raise_exception=False, stream=True, **kwargs)
            with answer:
                # Compressed though not asked for: a small body could unpack into any size.
                content = b"" if "content-encoding" in answer.headers else answer.content
        sent = (self.token or "", *(credential.reveal() for credential in self.credentials))
        if not url.startswith("/v1/auth/") and any(
            len(text) >= SHORTEST_TOKEN and holds(content, text) for text in sent
        ):
            content = b""  # a peer that echoes the token would have it kept
        body = parsed(content)
        if answer.status_code < 300 and (isinstance(body, dict) or answer.status_code == 204):
            return body
        if 300 <= answer.status_code < 400:
            leads_to = origin_of(answer.headers.get("Location", ""))
            leads_to = "" if any(text and holds(leads_to.encode(), text) for text in sent) else leads_to
            raise StatusError(answer.status_code, (), {}, leads_to=leads_to)
        content_fields = body if isinstance(body, dict) else {}
        errors = content_fields.get("errors")
        lines = tuple(str(line) for line in errors) if isinstance(errors, list) else ()
        if not content_fields and method.lower() in {"list", "scan"} and answer.status_code in METHOD_REFUSED:
            raise StatusError(UNKNOWN_METHOD, (), {})
        skew = clock_skew(answer.headers.get("Date", ""), datetime.now(UTC))
        raise StatusError(answer.status_code if content_fields else NO_ANSWER, lines, content_fields, skew=skew)


class _Session(requests.Session):
    """Redirects are refused; left to itself, requests would read and unpack such an answer all the same."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """Nowhere."""
        return None


class VaultClient:
    """One server, one namespace, one token at a time."""

    def __init__(
        self,
        *,
        name: str,
        address: str,
        namespace: str,
        login_namespace: str | None = None,
        ca_file: str,
        client_cert: tuple[str, str] | None,
        proxy: SecretValue[str] | None = None,
        login: Callable[[hvac.Client], dict[str, Any]],
        secrets: Callable[[], tuple[SecretValue[str], ...]],
        clock: Clock,
        observe: Callable[[str], None],
        expires: Callable[[datetime | None], None] = lambda _at: None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`login` answers with Vault's `auth` object; `secrets` are the credentials it would use now.

        `login_namespace`: where the login and its token live, if not where the secrets are. `expires` is told when
        the token ends, where it cannot be renewed any further. `steady` gives seconds that no jump of the clock
        moves: leases and pauses are measured by it.
        """
        session = _Session()
        session.trust_env = False
        session.headers["Accept-Encoding"] = "identity"
        session.verify = ca_file or os.environ.get("REQUESTS_CA_BUNDLE") or True
        session.cert = client_cert
        way = proxy.reveal() if proxy else None if _is_loopback(address) else proxy_for(address)
        session.proxies.update({"http": way, "https": way} if way else {})
        for scheme in ("https://", "http://"):
            session.mount(scheme, BoundedAdapter(pool_maxsize=THREADS))
        self.name = name
        self._address = address
        parts = urlsplit(way or "")
        self._proxy = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

        def client(of: str) -> hvac.Client:
            return hvac.Client(
                url=address,
                token="",  # not the one of VAULT_TOKEN or ~/.vault-token
                namespace=of or None,
                session=session,
                timeout=TIMEOUT,
                allow_redirects=False,
                adapter=_Adapter,
            )

        self._hvac = client(namespace)
        self._auth = client(namespace if login_namespace is None else login_namespace)
        self._login = login
        self._secrets = secrets
        self._clock = clock
        self._steady = steady
        self._observe = observe
        self._expires = expires
        self._longest = 0.0
        """Seconds of the longest lease seen: a renewal that gives much less is among the last."""
        self._lock = threading.RLock()
        self._renew_at: float | None = None
        self._renewable = False
        self._lists_by_get = False
        self._failed: tuple[SourceError, tuple[SecretValue[str], ...]] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._stalled: tuple[float, SourceError] | None = None
        """When a login was waited for in vain: who queues behind it does not wait for one of its own."""

    def close(self) -> None:
        """Close the connections."""
        self._hvac.adapter.close()

    def get(self, method: str, path: str, call: str, **params: str) -> dict[str, Any]:
        """One read, logged in, retried while it is a passing fault.

        Raises `StatusError` for an answer about the path (400, 403, 404, 405), `SourceError` for the rest.
        """
        return retried(lambda: self._get(method, path, call, params))

    def _get(self, method: str, path: str, call: str, params: dict[str, str]) -> dict[str, Any]:
        token = self._logged_in()
        try:
            return self._send(method, path, call, params)
        except StatusError as error:
            if error.status != 403 or not self._expired(token, error):
                raise
        self._logged_in()
        return self._send(method, path, call, params)

    def _send(self, method: str, path: str, call: str, params: dict[str, str]) -> dict[str, Any]:
        self._observe(call)
        url = "/v1/" + quote(path, safe="/")
        if method == "list" and self._lists_by_get:
            method, params = "get", {**params, "list": "true"}
        try:
            answer = self._translated(lambda: self._hvac.adapter.request(method, url, params=params))
        except StatusError as error:
            if method != "list" or error.status != UNKNOWN_METHOD or error.body:
                raise
            # Vault takes a LIST as a GET with a parameter, too (its HTTP API's reference): for such proxies.
            answer = self._translated(lambda: self._hvac.adapter.request("get", url, params={**params, "list": "true"}))
            self._lists_by_get = True
        return answer if isinstance(answer, dict) else {}

    def _translated(self, send: Callable[[], Any]) -> Any:
        place = f"source {self.name} ({self._address})"
        try:
            return send()
        except StatusError as error:
            if 400 <= error.status < 500 and error.status not in {412, 429, 472, 473}:
                raise
            raise _server_fault(error, place) from None
        except requests.exceptions.SSLError:
            raise SourceUnavailable(
                f"{place}: its certificate is not trusted",
                hint="give the company's CA as ca_file, and see the host name in address",
            ) from None
        except requests.exceptions.ProxyError:
            raise SourceUnavailable(
                f"{place}: the proxy {self._proxy} on the way refuses or does not answer",
                hint="see proxy of the source, or HTTPS_PROXY, and its user and password; NO_PROXY goes around it",
                whole=True,
            ) from None
        except (requests.exceptions.RequestException, OSError) as error:
            what = BOUNDS.broken or f"does not answer ({type(error).__name__})"
            raise SourceUnavailable(
                f"{place} {what}",
                hint=HINT_LARGE if BOUNDS.large else "see address, network and ca_file",
                whole=True,
                stalled=isinstance(error, (requests.exceptions.Timeout, TimeoutError)) or bool(BOUNDS.broken),
            ) from None

    def _expired(self, token: str, denied: StatusError) -> bool:
        """Tell a token that is no more from a policy that says no; forget the former."""
        if denied.errors and denied.errors != ("permission denied",):
            return False
        with self._lock:
            if self._hvac.token != token:
                return True  # another thread renewed it meanwhile
            try:
                self._translated(self._auth.auth.token.lookup_self)
            except StatusError:
                self._hold("")
                return True
            return False

    def _logged_in(self) -> str:
        with self._lock:
            now = self._steady()
            if self._hvac.token and self._renew_at is not None and now >= self._renew_at:
                self._renew(now)
            if not self._hvac.token:
                self._log_in(now)
            return str(self._hvac.token)

    def _renew(self, now: float) -> None:
        try:
            if self._renewable:
                self._adopt(self._translated(self._auth.auth.token.renew_self)["auth"], now)
                return
        except (StatusError, KeyError, TypeError, ValueError, OverflowError):
            pass
        self._hold("")

    def _hold(self, token: str) -> None:
        """Send this token from now on; an empty one is none."""
        self._hvac.token = self._auth.token = token

    def _log_in(self, now: float) -> None:
        """Once; a refusal is remembered, because a login loop locks a role out."""
        secrets = self._secrets()
        if self._failed and self._failed[1] == secrets and now < self._not_before:
            raise self._failed[0]
        if self._stalled and now - self._stalled[0] < STALL_SECONDS:
            raise self._stalled[1]
        self._observe("login")
        self._hvac.adapter.credentials = self._auth.adapter.credentials = secrets
        place = f"source {self.name} ({self._address})"
        try:
            auth = self._translated(lambda: self._login(self._auth))
            self._adopt(auth, now)
        except (StatusError, KeyError, TypeError, ValueError, OverflowError) as error:
            self._hold("")
            self._failures += 1
            wait = min(LOGIN_BACKOFF_MAX, LOGIN_BACKOFF * 2 ** min(self._failures - 1, 8))
            self._not_before = now + wait.total_seconds()
            status = error.status if isinstance(error, StatusError) else 0
            hints = TOKEN_HINTS if getattr(self._login, "method", "") == "token" else LOGIN_HINTS
            hint = hints.get(status, LOGIN_HINT)
            denied = SourceDenied(
                f"{place} refused the login" + (f" (HTTP {status})" if status else "") + _skew_note(error),
                hint=f"{hint}; it is not tried again with the same credential "
                f"for {int(wait.total_seconds() // 60)} min",
            )
            self._failed = (denied, secrets)
            raise denied from None
        except SourceError as error:
            self._hold("")
            if isinstance(error, SourceUnavailable) and error.stalled:
                self._stalled = (self._steady(), error)
            raise
        self._failed, self._failures, self._stalled = None, 0, None

    def _adopt(self, auth: dict[str, Any], now: float) -> None:
        """Take the token, to be renewed at two thirds of its lease; one that shrinks ends in a new login.

        Raises KeyError, TypeError or ValueError for what is no login's answer.
        """
        token, lease = auth["client_token"], float(auth["lease_duration"] or 0)
        if not isinstance(token, str) or not token or not all("!" <= char <= "~" for char in token):
            raise ValueError
        self._hold(token)
        self._renewable = bool(auth.get("renewable")) and lease > 60  # seconds
        self._renew_at = now + min(lease, LONGEST_LEASE) * 2 / 3 if lease > 0 else None
        self._longest = max(self._longest, lease)
        ends = lease > 0 and (not self._renewable or lease < self._longest * 0.9)
        self._expires(self._clock() + timedelta(seconds=min(lease, LONGEST_LEASE)) if ends else None)


def _skew_note(error: Exception) -> str:
    """A difference of clocks, of which a login with a signed token or request dies."""
    words = skew_in_words(error.skew) if isinstance(error, StatusError) else ""
    return f"; {words}" if words else ""


def _server_fault(error: StatusError, place: str) -> SourceUnavailable:
    sealed = error.status == 503 and any("sealed" in line.lower() for line in error.errors)
    if sealed:
        return SourceUnavailable(f"{place} is sealed", hint="unseal it; nothing changes until then", whole=True)
    if error.status == 429:
        return SourceUnavailable(f"{place} asks to slow down", hint="raise its quota, or stretch the schedule")
    if error.status == NO_ANSWER:
        return SourceUnavailable(f"{place}: {NOT_VAULT}", hint=NOT_VAULT_HINT)
    if 300 <= error.status < 400:
        where = error.leads_to or "another address"
        hint = "write that address, if it is the right one; syncd follows no redirect with a token"
        return SourceUnavailable(f"{place}: {NOT_VAULT}: it redirects to {where} (HTTP {error.status})", hint=hint)
    return SourceUnavailable(f"{place} gave no usable answer (HTTP {error.status})", hint="see its log")


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
