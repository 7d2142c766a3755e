"""The Wix Secrets Vault REST API: five calls, one rate limit a site, retries in one layer.

Endpoints and bodies as the public reference and the official client give them (`/api/v1/secrets` under
the base URL). A create is never sent again once it may have arrived; reads, updates and deletions by id are.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_any
from tenacity.stop import stop_after_attempt, stop_after_delay, stop_when_event_set
from tenacity.wait import wait_random_exponential

from syncd.domain import RemoteSecret, SecretValue, WriteResult
from syncd.domain.ports import Quota, TellWait
from syncd.domain.untrusted import mapping, storable, text
from syncd.errors import (
    CALL_PATIENCE,
    Interrupted,
    NameTaken,
    SecretGone,
    SecretRefused,
    SiteFull,
    TargetDenied,
    TargetError,
    TargetUnavailable,
)
from syncd.targets.wix.auth import Auth
from syncd.targets.wix.http import Answer, Sendable, exchange

SECRETS = "/api/v1/secrets"
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A GUID, as far as the reference says; anything that goes into an address as it is will do."""
ATTEMPTS = 4
DEADLINE = 180.0
"""Seconds for all tries of one call, the waits for the quota and after a 429 included."""
SLOWEST_WAIT = 120.0
GROWING = wait_random_exponential(multiplier=0.2, max=5)
HINT_UNKNOWN_KEY = "the credential is wrong, expired or revoked: put a valid one where the target's auth says"
HINT_NOT_ALLOWED = "give the key or app the Manage Secrets permission for this site; see that its Members Area is on"
FULL = {"RESOURCE_EXHAUSTED", "OUT_OF_RANGE"}
"""Codes of a creation that no other secret would have met differently (About Errors); a 429 is the rate limit."""

Observer = Callable[[str, str], None]
"""Told (method, status) of every request, for the metrics."""


class WixTarget:
    """One site's secrets vault over HTTP."""

    def __init__(
        self,
        *,
        name: str,
        site: str,
        base_url: str,
        client: httpx.Client,
        auth: Auth,
        quota: Quota,
        window_seconds: float,
        stop: threading.Event,
        profile: str = "api",
        observe: Observer = lambda _method, _code: None,
        waits: TellWait = lambda *_: None,
    ) -> None:
        self.name = name
        self.site = site
        self.profile = profile
        self._base = base_url.rstrip("/")
        self._client = client
        self._auth = auth
        self._quota = quota
        self._window_seconds = window_seconds
        self._stop = stop
        self._observe = observe
        self._waits = waits
        self._not_before = 0.0
        self._told_time: tuple[datetime, float] | None = None

    def close(self) -> None:
        """Give connections back."""
        self._client.close()

    def list(self) -> tuple[RemoteSecret, ...]:
        """ListSecretInfo: the whole site in one request."""
        answer, _ = self._call("GET", SECRETS)
        listed = (answer.body or {}).get("secrets", [])
        if answer.repeats_credential or not isinstance(listed, list):
            raise TargetUnavailable(
                f"{self.name}: the listing is no list",
                hint="see base_url, and what stands between here and Wix",
                request_id=answer.request_id,
            )
        return tuple(self._listed(item, answer) for item in listed)

    def _listed(self, item: object, answer: Answer) -> RemoteSecret:
        secret = mapping(item)
        secret_id, name = text(secret.get("id")), text(secret.get("name"))
        if not (ID.fullmatch(secret_id) and name):
            raise TargetUnavailable(
                f"{self.name}: the listing holds an entry without id or name",
                hint="see base_url, and what stands between here and Wix",
                request_id=answer.request_id,
            )
        return RemoteSecret(
            id=secret_id,
            name=storable(name),
            description=storable(text(secret.get("description"))),
            updated_at=_parsed(secret.get("updatedDate")),
        )

    def create(self, name: str, value: SecretValue[str], description: str) -> WriteResult:
        """CreateSecret."""
        secret: Sendable = {"name": name, "value": value, "description": description}
        answer, _ = self._call("POST", SECRETS, {"secret": secret}, repeatable=False)
        secret_id = text((answer.body or {}).get("id"))
        if not ID.fullmatch(secret_id) or answer.echoes(secret_id):
            raise TargetUnavailable(
                f"{self.name}: the answer to a creation names no id",
                request_id=answer.request_id,
                maybe_done=True,
            )
        return WriteResult(id=secret_id, window=answer.window, request_id=answer.request_id)

    def update(
        self, secret_id: str, *, name: str | None, value: SecretValue[str] | None, description: str
    ) -> WriteResult:
        """PartiallyUpdateSecret: only what is given."""
        secret: dict[str, Sendable] = {"description": description}
        if name is not None:
            secret["name"] = name
        if value is not None:
            secret["value"] = value
        answer, lost = self._call("PATCH", f"{SECRETS}/{quote(secret_id, safe='')}", {"secret": secret})
        return WriteResult(id=secret_id, window=answer.window, request_id=answer.request_id, lost_tries=lost)

    def delete(self, secret_id: str) -> WriteResult:
        """DeleteSecret; one that is not there is removed."""
        try:
            answer, lost = self._call("DELETE", f"{SECRETS}/{quote(secret_id, safe='')}")
        except SecretGone as gone:
            return WriteResult(id=secret_id, request_id=gone.request_id)
        return WriteResult(id=secret_id, window=answer.window, request_id=answer.request_id, lost_tries=lost)

    def value(self, name: str) -> SecretValue[str] | None:
        """GetSecretValue; None if there is no such name."""
        try:
            answer, _ = self._call("GET", f"{SECRETS}/name/{quote(name, safe='')}")
        except SecretGone:
            return None
        value = (answer.body or {}).get("value", "")
        return SecretValue(value) if isinstance(value, str) else None

    def _call(self, method: str, path: str, payload: Sendable = None, *, repeatable: bool = True) -> tuple[Answer, int]:
        """The answer, and how many earlier tries of it may have taken effect, too."""
        lost: list[bool] = []

        def attempt() -> Answer:
            try:
                return self._once(method, path, payload)
            except TargetUnavailable as error:
                lost.append(error.maybe_done)
                raise

        def again(error: BaseException) -> bool:
            if not isinstance(error, TargetUnavailable) or error.stalled or error.asks_to_wait:
                return False
            return repeatable or not error.maybe_done

        retrying = Retrying(
            retry=retry_if_exception(again),
            stop=stop_any(stop_after_attempt(ATTEMPTS), stop_after_delay(DEADLINE), stop_when_event_set(self._stop)),
            wait=_wait,
            sleep=self._pause,
            reraise=True,
        )
        try:
            answer = retrying(attempt)
        except TargetError as error:
            error.lost_tries = sum(lost) if method != "GET" else 0
            error.maybe_done = error.lost_tries > 0
            raise
        return answer, sum(lost)

    def site_time(self) -> datetime | None:
        """The time by Wix's clock: the last answer's `Date`, and what has passed since."""
        if self._told_time is None:
            return None
        at, when = self._told_time
        return at + timedelta(seconds=time.monotonic() - when)

    def delay(self) -> float:
        """Seconds until the site may be asked again, as its last 429 said; 0 if it said nothing."""
        return max(0.0, self._not_before - time.monotonic())

    def room(self) -> int:
        """How many requests may be sent now without waiting."""
        return 0 if self.delay() > 0 else self._quota.room()

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _admitted(self) -> int:
        """Wait for a place in the site's quota. Raises `TargetUnavailable` when asked to stop."""
        while True:
            wait = self.delay()
            if wait > CALL_PATIENCE:
                raise TargetUnavailable(f"{self.name}: Wix asked to slow down", retry_after=wait)
            if wait <= 0:
                ticket, left = self._quota.take()
                if ticket:
                    return ticket
                wait = left.total_seconds()
            self._waits(f"the rate limit of target {self.name}", wait)
            if self._stop.wait(wait):
                raise Interrupted(f"{self.name}: stopped before the request was sent")

    def _once(self, method: str, path: str, payload: Sendable) -> Answer:
        answer = self._send(method, path, payload)
        if answer.status == httpx.codes.UNAUTHORIZED and self._auth.renew():
            answer = self._send(method, path, payload)
        self._raise_for(answer, method, single=path != SECRETS)
        return answer

    def _send(self, method: str, path: str, payload: Sendable) -> Answer:
        headers = self._auth.headers()
        ticket = self._admitted()
        try:
            answer = exchange(
                self._client,
                method,
                self._base + path,
                headers=headers,
                payload=payload,
            )
        except TargetUnavailable:
            self._observe(method, "none")
            raise
        finally:
            self._quota.answered(ticket)
        self._observe(method, str(answer.status))
        if answer.window is not None:
            self._told_time = (answer.window.end, time.monotonic())
        return answer

    def _raise_for(self, answer: Answer, method: str, *, single: bool) -> None:
        """Turn what is no success into the error that says what it means. `one`: it named a secret."""
        status, shown = answer.status, answer.shown
        about: dict[str, Any] = {"request_id": answer.request_id}
        if 200 <= status < 300 and answer.body is not None:
            return
        if status == httpx.codes.TOO_MANY_REQUESTS:
            asked = self._window_seconds if answer.retry_after is None else answer.retry_after
            wait = min(asked, SLOWEST_WAIT)
            self._not_before = time.monotonic() + wait
            raise TargetUnavailable(f"{self.name}: Wix asks to slow down ({shown})", retry_after=wait, **about)
        if 300 <= status < 400:
            where = answer.leads_to or "another address"
            hint = "see base_url; write that address if it is the right one"
            raise TargetDenied(f"{self.name}: redirected to {where} ({shown}), which is refused", hint=hint, **about)
        if status == httpx.codes.UNAUTHORIZED:
            raise TargetDenied(f"{self.name}: Wix refused the credential ({shown})", hint=HINT_UNKNOWN_KEY, **about)
        if status == httpx.codes.FORBIDDEN:
            message = f"{self.name}: Wix refused the {method}: no permission for it on site {self.site} ({shown})"
            raise TargetDenied(message, hint=HINT_NOT_ALLOWED, **about)
        if answer.body is None or status < 400 or status >= 500:
            raise TargetUnavailable(
                f"{self.name}: no usable answer from Wix ({shown})",
                hint="tried again in the next cycle",
                maybe_done=True,
                **about,
            )
        if method == "POST" and answer.code in FULL:
            raise SiteFull(
                f"{self.name}: the site takes no more secrets ({shown})",
                hint="remove some at Wix, or send fewer: exclude them from the job's rules",
                **about,
            )
        raise self._refusal(answer, shown, single=single, listing=method == "GET" and not single)

    def _refusal(self, answer: Answer, shown: str, *, single: bool, listing: bool) -> TargetError:
        if answer.status == httpx.codes.NOT_FOUND:
            # A proxy's 404 is not Wix's: only Wix names the code, or at least the request.
            if single and (answer.code == "NOT_FOUND" or (not answer.code and answer.named)):
                return SecretGone(f"{self.name}: no such secret ({shown})", request_id=answer.request_id)
            return TargetDenied(
                f"{self.name}: no secrets vault at this address ({shown})",
                hint="see base_url, and that the site exists",
                request_id=answer.request_id,
            )
        if answer.status == httpx.codes.CONFLICT:
            return NameTaken(f"{self.name}: the name is taken ({shown})", request_id=answer.request_id)
        if answer.status == httpx.codes.PRECONDITION_REQUIRED:
            return TargetDenied(
                f"{self.name}: the site is not ready for secrets ({shown})",
                hint="install the Members Area app on the site",
                request_id=answer.request_id,
            )
        if listing:
            return TargetDenied(
                f"{self.name}: Wix refuses the listing ({shown})", hint=HINT_NOT_ALLOWED, request_id=answer.request_id
            )
        return SecretRefused(
            f"{self.name}: Wix refuses this secret ({shown})",
            hint="see name, value and description against Wix's limits",
            request_id=answer.request_id,
        )


def _wait(state: RetryCallState) -> float:
    """Seconds before the next try: as asked by a 429, else growing with jitter."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TargetUnavailable) else None
    return asked or GROWING(state)


def _parsed(moment: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(text(moment))
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None
