"""All sites of the emulated Wix: keys, apps, tokens, and the faults that were asked for."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from syncd.sandbox.wix_site import Refusal, Site

CALLS = "/api/v1/secrets"
KINDS = (
    "reset_before", "reset_after", "500", "503", "504_after", "html", "invalid_json", "truncated",
    "429", "429_retry_after", "401", "403", "slow", "late",
)  # fmt: skip
TOKEN_SECONDS = 14400


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with the next matching requests."""

    kind: str
    method: str = ""
    """Empty: any."""
    times: int = 1
    seconds: float = 0.0
    """For `slow` the delay, for `429_retry_after` the header."""
    on: Callable[[], None] | None = None
    """Called while a request with this fault is handled (the tests kill their client here)."""


@dataclass(kw_only=True)
class Seen:
    """A request as it ended."""

    method: str
    path: str
    status: int
    site: str
    fault: str = ""
    at: float = field(default_factory=time.time)
    """Seconds since 1970."""


@dataclass
class Wix:
    """All sites of the emulated Wix, and who may ask for which."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sites: dict[str, Site] = field(default_factory=dict)
    keys: dict[str, set[str]] = field(default_factory=dict, repr=False)
    """API key to the sites it is for."""
    apps: dict[str, str] = field(default_factory=dict, repr=False)
    """App id to app secret."""
    tokens: dict[str, tuple[str, datetime]] = field(default_factory=dict, repr=False)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    late: list[Callable[[], object]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def site(self, site_id: str) -> Site:
        """The site, made if need be."""
        with self.lock:
            return self.sites.setdefault(site_id, Site(self.clock))

    def issue_key(self, *site_ids: str) -> str:
        """A new API key for these sites."""
        key = "IST." + secrets.token_urlsafe(48)
        for site_id in site_ids:
            self.site(site_id)
        self.keys[key] = set(site_ids)
        return key

    def issue_app(self, instance_id: str) -> tuple[str, str]:
        """A new app, installed on the site: its id and secret."""
        app_id, secret = str(uuid.uuid4()), str(uuid.uuid4())
        self.apps[app_id] = secret
        self.site(instance_id)
        return app_id, secret

    def fault(self, kind: str, method: str = "", **more: Any) -> Fault:
        """Let the next matching requests go wrong. Raises ValueError for an unknown kind.

        `more`: other fields of `Fault`.
        """
        if kind not in KINDS:
            raise ValueError(kind)
        fault = Fault(kind=kind, method=method, **more)
        with self.lock:
            self.faults.append(fault)
        return fault

    def commit_late(self) -> int:
        """Let the requests that were lost on their way (`late`) take effect now. Returns: how many there were."""
        with self.lock:
            waiting, self.late = self.late, []
        for commit in waiting:
            # Whoever sent it is gone: a refusal reaches nobody.
            with suppress(Refusal):
                commit()
        return len(waiting)

    def count(self, *methods: str) -> int:
        """Requests seen for secrets, by method."""
        return sum(1 for request in self.seen if request.method in methods and CALLS in request.path)

    def take_fault(self, method: str) -> Fault | None:
        """Return the fault for a request of this method, and use it up by one; None if there is none."""
        with self.lock:
            fault = next((f for f in self.faults if f.method in {"", method} and f.times > 0), None)
            if fault is not None:
                fault.times -= 1
            return fault

    def token(self, form: dict[str, Any]) -> dict[str, object]:
        """Create Access Token."""
        app_id, instance = str(form.get("client_id")), str(form.get("instance_id"))
        known = self.apps.get(app_id)
        if form.get("grant_type") != "client_credentials" or not known or known != form.get("client_secret"):
            raise Refusal(400, "INVALID_ARGUMENT", "invalid client")
        if instance not in self.sites:
            raise Refusal(400, "INVALID_ARGUMENT", "unknown instance")
        token = "OauthNG.JWS." + secrets.token_urlsafe(64)
        self.tokens[token] = (instance, self.clock() + timedelta(seconds=TOKEN_SECONDS))
        return {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}

    def authenticated(self, headers: Any) -> str:
        """Return the id of the site that a request is for, by its headers. Raises `Refusal`."""
        given, site_id = headers.get("Authorization") or "", headers.get("wix-site-id")
        if headers.get("wix-account-id"):
            raise Refusal(400, "INVALID_ARGUMENT", "a site id and an account id exclude each other")
        if given in self.keys:
            if site_id not in self.keys[given]:
                raise Refusal(403, "PERMISSION_DENIED")
            return str(site_id)
        instance, until = self.tokens.get(given, ("", self.clock()))
        if not instance or until <= self.clock():
            raise Refusal(401, "UNAUTHENTICATED")
        return instance
