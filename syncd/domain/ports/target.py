"""What a target is asked for, and who counts its requests."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from syncd.domain import (
    RemoteSecret,
    SecretValue,
    WriteResult,
)


class Target(Protocol):
    """A site's secrets vault. All raise `TargetError` and its kinds."""

    name: str
    site: str
    """The site's own identity, under which the ledger keeps its records."""
    profile: str

    # Limits and absence go by it, because this machine's clock may jump.
    def site_time(self) -> datetime | None:
        """The time by the site's own clock, as its answers told it; None where they do not."""

    # A deletion that would wait for the rate limit would go out on an old listing.
    def room(self) -> int:
        """How many requests may be sent now without waiting for the rate limit. Raises `LedgerError`."""

    def delay(self) -> float:
        """Seconds until the site may be asked again, where it asked to slow down."""

    # Wix lists a whole site in one request, so each pass can afford a listing of its own.
    def list(self) -> tuple[RemoteSecret, ...]:
        """Every secret on the site, without values."""

    # Wix has no idempotency key: sent again it meets its own name, and its id is known to nobody.
    def create(self, name: str, value: SecretValue[str], description: str) -> WriteResult:
        """A new secret; never sent twice. `TargetUnavailable.maybe_done` where its answer was lost."""

    def update(
        self, secret_id: str, *, name: str | None, value: SecretValue[str] | None, description: str
    ) -> WriteResult:
        """Write over the given parts of one secret."""

    # A 404 is believed here, because gone is what was asked for; to an update it is a `SecretGone`.
    def delete(self, secret_id: str) -> WriteResult:
        """Remove one secret; one that is not there is removed."""

    def value(self, name: str) -> SecretValue[str] | None:
        """The value at the site; None if there is no such name. `TargetDenied` where not permitted."""


class Quota(Protocol):
    """The request times of a site, shared by every process that uses the ledger."""

    def take(self) -> tuple[int, timedelta]:
        """A place in the window as (ticket, 0), or (0, how long to wait before asking again)."""

    def room(self) -> int:
        """How many requests may be sent at this moment."""

    # Wix counts a request when it arrives, which is between its sending and its answer.
    def answered(self, ticket: int) -> None:
        """The request's answer came."""
