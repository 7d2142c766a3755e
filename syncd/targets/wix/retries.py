"""Calls to one site: a place in its rate limit, one exchange, and the tries that may follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_any
from tenacity.stop import stop_after_attempt, stop_after_delay, stop_when_event_set
from tenacity.wait import wait_random_exponential

from syncd.domain import SecretValue
from syncd.domain.halting import HALTED
from syncd.domain.ports import Quota, TellWait
from syncd.errors import CALL_PATIENCE, ConfigError, Interrupted, TargetDenied, TargetError, TargetUnavailable
from syncd.targets.wix.auth import Auth
from syncd.targets.wix.errors import Asked, error_of
from syncd.targets.wix.http import Answer, Sendable, exchange

ATTEMPTS = 4
DEADLINE = 180.0
"""Seconds for all tries of one call, the waits for the quota and after a 429 included."""
SLICE = 1.0
"""Seconds between two checks whether a request that waits may still be sent."""
GROWING = wait_random_exponential(multiplier=0.2, max=5)
OnRequest = Callable[[str, str], None]
"""Called with (method, status) for each request, for the metrics; the status is "none" where no answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How one site is reached."""

    name: str
    """The target's name."""
    site: str
    base_url: str
    client: httpx.Client
    auth: Auth
    quota: Quota
    window_seconds: float
    """Window of the rate limit, in seconds."""
    stop: threading.Event
    on_request: OnRequest = lambda _method, _code: None
    waits: TellWait = lambda *_: None
    profile: str = "api"


@dataclass(slots=True)
class _SiteClock:
    """What the site's last answer said: its time, and when it may be asked again."""

    at: datetime | None = None
    read_at: float = 0.0
    not_before: float = 0.0


class WixCalls:
    """Calls to one site. A create is not repeated once it may have arrived; every other call may be."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._clock = _SiteClock()

    def call(
        self, method: str, path: str, payload: Sendable = None, *, single: bool, repeatable: bool = True
    ) -> tuple[Answer, int]:
        """Make one call, with its retries. Returns: the answer, and how many earlier tries may have taken effect, too.

        `single`: the address names one secret. `repeatable` False: not repeated once it may have arrived (a create).
        Raises `TargetError`, `LedgerError`; for a GET also `ConfigError`, if a credential cannot be read.
        """
        lost: list[bool] = []

        def attempt() -> Answer:
            try:
                return self._once(method, path, payload, single=single)
            except TargetUnavailable as error:
                # Kept also where a later try succeeds: an earlier one may take effect behind it.
                lost.append(error.maybe_done)
                raise

        def again(error: BaseException) -> bool:
            # A peer that stalls costs one timeout; one that asks for a long wait is waited for without the site's lock.
            if not isinstance(error, TargetUnavailable) or error.stalled or error.asks_to_wait:
                return False
            # A creation that arrived is answered with 409 when it is sent again, and nobody knows its id.
            return repeatable or not error.maybe_done

        stopped = stop_when_event_set(self._line.stop)
        retrying = Retrying(
            retry=retry_if_exception(again),
            stop=stop_any(stop_after_attempt(ATTEMPTS), stop_after_delay(DEADLINE), stopped),
            wait=_wait,
            sleep=self._pause,
            reraise=True,
        )
        try:
            answer = retrying(attempt)
        except TargetError as error:
            # A read changes nothing, whatever became of its answer.
            error.lost_tries = sum(lost) if method != "GET" else 0
            error.maybe_done = error.lost_tries > 0
            raise
        return answer, sum(lost)

    def _pause(self, seconds: float) -> None:
        self._line.stop.wait(seconds)

    def site_time(self) -> datetime | None:
        """Return the time by Wix's clock: the last answer's `Date`, and what has passed since; None before that."""
        if self._clock.at is None:
            return None
        return self._clock.at + timedelta(seconds=time.monotonic() - self._clock.read_at)

    def delay(self) -> float:
        """Return the seconds until the site may be asked again; 0 if its last answers did not ask to wait.

        Answers that ask to wait are a 429, or a fault with `Retry-After`, such as a 503.
        """
        return max(0.0, self._clock.not_before - time.monotonic())

    def room(self) -> int:
        """How many requests may be sent now without waiting. Raises `LedgerError`."""
        return 0 if self.delay() > 0 else self._line.quota.room()

    def _admitted(self) -> int:
        """Wait for a place in the site's quota. Returns: the ticket of the place.

        Raises `Interrupted` once the process stops or nothing may be sent any more, `TargetUnavailable` if Wix asked
        for a wait of more than `CALL_PATIENCE`, `LedgerError`.
        """
        line = self._line
        while True:
            # In each round: a pause that begins while it waits is heard before the request is sent.
            self._see_that_it_may_go()
            wait = self.delay()
            if wait > CALL_PATIENCE:
                raise TargetUnavailable(f"{line.name}: Wix asked to slow down", retry_after=wait)
            if wait <= 0:
                ticket, left = line.quota.take()
                if ticket:
                    return ticket
                wait = left.total_seconds()
            line.waits(f"the rate limit of target {line.name}", wait)
            self._wait_for_place(wait)

    def _wait_for_place(self, seconds: float) -> None:
        """Wait in small pieces, and give up once the process is stopped or nothing may be sent any more."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._see_that_it_may_go()
            if self._line.stop.wait(min(left, SLICE)):
                raise Interrupted(f"{self._line.name}: stopped before the request was sent")

    def _see_that_it_may_go(self) -> None:
        if HALTED.get()():
            raise Interrupted(f"{self._line.name}: stopped or paused before the request was sent")

    def _once(self, method: str, path: str, payload: Sendable, *, single: bool) -> Answer:
        line = self._line
        answer = self._send(method, path, payload)
        # An app's token lasts hours; one that ended early is renewed once, and a second 401 is a real refusal.
        if answer.status == httpx.codes.UNAUTHORIZED and line.auth.renew():
            answer = self._send(method, path, payload)
        asked = Asked(
            target=line.name, site=line.site, method=method, single=single, window_seconds=line.window_seconds
        )
        error = error_of(answer, asked)
        if error is None:
            return answer
        # All threads of this site wait, not just the one that was told.
        if isinstance(error, TargetUnavailable) and error.retry_after is not None:
            self._clock.not_before = time.monotonic() + error.retry_after
        raise error

    def _send(self, method: str, path: str, payload: Sendable) -> Answer:
        line = self._line
        headers = self._headers(method)
        ticket = self._admitted()
        url = line.base_url.rstrip("/") + path
        try:
            answer = exchange(line.client, method, url, headers=headers, payload=payload)
        except TargetUnavailable:
            line.on_request(method, "none")
            raise
        finally:
            # Without an answer as well: Wix may have counted it, and its window begins now at the latest.
            line.quota.answered(ticket)
        line.on_request(method, str(answer.status))
        if answer.window is not None:
            self._clock.at, self._clock.read_at = answer.window.end, time.monotonic()
        return answer

    def _headers(self, method: str) -> Mapping[str, str | SecretValue[str]]:
        """Return the headers that say who asks. Raises `TargetError`.

        A credential that cannot be read is a `ConfigError` for a GET, because nothing was sent for a plan yet.
        """
        try:
            return self._line.auth.headers()
        except ConfigError as error:
            # Between a plan and its last request a credential's file may be empty for the moment of its rotation.
            if method == "GET":
                raise
            raise TargetDenied(f"{self._line.name}: {error.message}", hint=error.hint) from None


def _wait(state: RetryCallState) -> float:
    """Return the seconds before the next try: as many as Wix asked for, else a random time that grows."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TargetUnavailable) else None
    # A Retry-After of 0 must not become a loop without pauses.
    return asked or GROWING(state)
