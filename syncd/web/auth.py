"""Who sends a request: a bearer token, a session's cookie, or the authenticating proxy; and what forms need."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import deque
from contextlib import suppress
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from syncd.errors import SyncdError
from syncd.web.principal import Principal
from syncd.web.service import Accounts

COOKIE = "syncd_session"
MAX_FORM = 16 * 1024
"""Bytes of a form."""
MOST_FAILURES, WITHIN = 10, 60.0
"""Most failed logins, from all addresses together, in so many seconds; this limits the guessing of tokens."""


def who_asks(accounts: Accounts, request: Request) -> Principal | None:
    """Return who sends this request; None for a stranger, and if a credential or the ledger cannot be read.

    A valid bearer token counts first, then the proxy's user. The session's cookie counts only in a request without an
    `Authorization` header.
    """
    with suppress(SyncdError):
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and (known := accounts.by_token(given)):
            return known
        # Before the cookie: behind a proxy the proxy's user counts, whoever logged in here once.
        address = request.client.host if request.client else ""
        # A header that came twice is one of two words (RFC 9110, 5.2), and so nobody's name: a client may add its own.
        headers = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
        if proxied := accounts.by_proxy(headers, address):
            return proxied
        # A bearer token that is wrong is not helped out by a cookie: scripts should see that it is wrong.
        if kind:
            return None
        session = request.cookies.get(COOKIE, "")
        return accounts.by_session(session) if session else None
    return None


def csrf_of(session: str) -> str:
    """Return what the forms of a session have to hold: made from the session's id, which no other site can read."""
    return hashlib.sha256(f"form {session}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def comes_from_elsewhere(request: Request) -> bool:
    """Does the browser say that another site sends this form?"""
    return request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}


def form_is_genuine(request: Request, who: Principal, form: dict[str, str]) -> bool:
    """Does the form come from a page that this very session was given?"""
    if comes_from_elsewhere(request):
        return False
    # Whoever has no such field (a bearer token) would match a form that leaves it empty.
    return bool(who.csrf) and hmac.compare_digest(form.get("csrf", "").encode(), who.csrf.encode())


async def form_of(request: Request) -> dict[str, str] | None:
    """Return the fields of a form; None if the body is too large or is no form."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        # Counted as it comes: the length in a header is the client's word.
        if len(body) > MAX_FORM:
            return None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        return None


def set_cookie(response: Response, request: Request, session: str) -> None:
    """Set the session's cookie: for this host alone, not for scripts, and for https alone if https is used."""
    # A proxy that speaks TLS reaches this server by http, so its word counts; a false one harms its sender alone.
    secure = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto", "")}
    response.set_cookie(COOKIE, session, max_age=8 * 3600, httponly=True, samesite="lax", secure=secure, path="/")


class LoginLimit:
    """Limits failed logins; while there are too many, the right token is refused as well."""

    def __init__(self) -> None:
        # Without a lock, because it is used on the event loop alone.
        self._failures: deque[float] = deque()

    def is_reached(self) -> bool:
        """Have there been too many failed logins within the last minute?"""
        now = time.monotonic()
        while self._failures and now - self._failures[0] > WITHIN:
            self._failures.popleft()
        return len(self._failures) >= MOST_FAILURES

    def failed(self) -> None:
        """Count a failed login."""
        self._failures.append(time.monotonic())
