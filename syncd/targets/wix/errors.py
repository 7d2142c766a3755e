"""What Wix's answers mean, as errors with their fix (Wix REST reference: "About Errors", and each call's own). Pure."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from syncd.errors import (
    NameTaken,
    SecretGone,
    SecretRefused,
    SiteFull,
    TargetDenied,
    TargetError,
    TargetUnavailable,
)
from syncd.targets.wix.http import Answer

SLOWEST_WAIT = 120.0
"""Longest wait in seconds that is taken over from an answer, or from the window of the rate limit."""
HINT_UNKNOWN_KEY = "the credential is wrong, expired or revoked: put a valid one where the target's auth says"
HINT_NOT_ALLOWED = (
    "give the key or app the Manage Secrets permission for this site; see that the site's id is right, and that its "
    "Members Area is on"
)
FULL = "RESOURCE_EXHAUSTED"
"""Code of a creation that would fail for any other secret as well: the site is full (About Errors).

With status 429 the same code is the rate limit.
"""
PASSING = {"ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNKNOWN"}
"""Codes that say nothing of the secret, nor whether it took effect, whatever status they come with (About Errors)."""
PASSING_STATUSES = {408, 425, 499}
"""Statuses that mean the same: a timeout, too early, or given up on the way (RFC 9110, RFC 8470; 499 is nginx's)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked of which target and site."""

    target: str
    site: str
    method: str
    single: bool
    """Does the address name one secret?"""
    window_seconds: float
    """Window of the rate limit in seconds: how long to wait after a 429 that does not say it."""

    @property
    def is_listing(self) -> bool:
        """Was the whole site asked for?"""
        return self.method == "GET" and not self.single


def error_of(answer: Answer, asked: Asked) -> TargetError | None:
    """Return the error that an answer means; None for a success."""
    status, shown, request_id = answer.status, answer.shown, answer.request_id
    # A proxy's page may come with 200, too: without Wix's JSON nothing says that it was done.
    if 200 <= status < 300 and answer.body is not None:
        return None
    if status == httpx.codes.TOO_MANY_REQUESTS:
        # Wix documents no Retry-After: after a whole window of the rate limit there is room for sure.
        wait = min(asked.window_seconds if answer.retry_after is None else answer.retry_after, SLOWEST_WAIT)
        message = f"{asked.target}: Wix asks to slow down ({shown})"
        return TargetUnavailable(message, retry_after=wait, request_id=request_id)
    if 300 <= status < 400:
        # Not followed: the credential would go along to wherever it leads.
        where = answer.leads_to or "another address"
        hint = "see base_url; write that address if it is the right one"
        message = f"{asked.target}: redirected to {where} ({shown}), which is refused"
        return TargetDenied(message, hint=hint, request_id=request_id)
    # Whoever refuses with these two, Wix or a firewall without its JSON, has not carried it out: not `maybe_done`.
    if status == httpx.codes.UNAUTHORIZED:
        message = f"{asked.target}: Wix refused the credential ({shown})"
        return TargetDenied(message, hint=HINT_UNKNOWN_KEY, request_id=request_id)
    if status == httpx.codes.FORBIDDEN:
        message = f"{asked.target}: Wix refused the {asked.method}: no permission for it on site {asked.site} ({shown})"
        return TargetDenied(message, hint=HINT_NOT_ALLOWED, request_id=request_id)
    # Without a body that is Wix's, or with a fault of the server's, nothing says whether it took effect.
    is_passing = answer.code in PASSING or status in PASSING_STATUSES
    if answer.body is None or is_passing or status < 400 or status >= 500:
        return TargetUnavailable(
            f"{asked.target}: no usable answer from Wix ({shown})",
            hint="tried again in the next cycle",
            maybe_done=True,
            # As after a 429; a 503 that says so is obeyed, too (RFC 9110, section 10.2.3).
            retry_after=None if answer.retry_after is None else min(answer.retry_after, SLOWEST_WAIT),
            request_id=request_id,
        )
    return _refusal(answer, asked)


def _refusal(answer: Answer, asked: Asked) -> TargetError:
    """A 4xx of Wix's own."""
    shown, request_id = answer.shown, answer.request_id
    if asked.method == "POST" and answer.code == FULL:
        return SiteFull(
            f"{asked.target}: the site takes no more secrets ({shown})",
            hint="remove some at Wix, or send fewer: exclude them from the job's rules",
            request_id=request_id,
        )
    if answer.status == httpx.codes.NOT_FOUND:
        return _not_found(answer, asked)
    if answer.status == httpx.codes.CONFLICT:
        return NameTaken(f"{asked.target}: the name is taken ({shown})", request_id=request_id)
    if answer.status == httpx.codes.PRECONDITION_REQUIRED:
        message = f"{asked.target}: the site is not ready for secrets ({shown})"
        return TargetDenied(message, hint="install the Members Area app on the site", request_id=request_id)
    # It was about no secret in particular, so none is refused or rests for it.
    if asked.is_listing:
        message = f"{asked.target}: Wix refuses the listing ({shown})"
        return TargetDenied(message, hint=HINT_NOT_ALLOWED, request_id=request_id)
    return SecretRefused(
        f"{asked.target}: Wix refuses this secret ({shown})",
        hint="see name, value and description against Wix's limits",
        request_id=request_id,
    )


def _not_found(answer: Answer, asked: Asked) -> TargetError:
    """Return the error for a 404: a secret that is gone, or an address without a secrets vault.

    A proxy's 404 does not count as gone: only Wix names the code, or at least the request.
    """
    if asked.single and (answer.code == "NOT_FOUND" or (not answer.code and answer.named)):
        return SecretGone(f"{asked.target}: no such secret ({answer.shown})", request_id=answer.request_id)
    return TargetDenied(
        f"{asked.target}: no secrets vault at this address ({answer.shown})",
        hint="see base_url, and that the site exists",
        request_id=answer.request_id,
    )
