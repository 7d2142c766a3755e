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
    """A site's secrets vault.

    Its requests raise `TargetError` and its kinds, `LedgerError` if the rate limit cannot be asked for; `list` and
    `value` also `ConfigError` if the credential cannot be read.
    """

    name: str
    site: str
    """The site's own identity, under which the ledger keeps its records."""
    profile: str

    # Limits and absence go by it, because this machine's clock may jump.
    def site_time(self) -> datetime | None:
        """The time now by the site's own clock, as its last answer told it; None if no answer did."""

    # A deletion that would wait for the rate limit would go out on an old listing.
    def room(self) -> int:
        """How many requests may be sent now without waiting for the rate limit. Raises `LedgerError`."""

    def delay(self) -> float:
        """Seconds until the site may be asked again, if it asked to slow down; else 0."""

    # Wix lists a whole site in one request, so each pass can afford a listing of its own.
    def list(self) -> tuple[RemoteSecret, ...]:
        """Every secret on the site, without values."""

    # Wix has no idempotency key: sent again it meets its own name, and its id is known to nobody.
    def create(self, name: str, value: SecretValue[str], description: str) -> WriteResult:
        """Create a secret; sent again only where an earlier try cannot have taken effect.

        Raises `TargetUnavailable` with `maybe_done` if the answer was lost.
        """

    def update(
        self, secret_id: str, *, name: str | None, value: SecretValue[str] | None, description: str
    ) -> WriteResult:
        """Overwrite the given parts of one secret (None: kept as it is). Raises `SecretGone` for an unknown id."""

    # A 404 is believed here, because gone is what was asked for; to an update it is a `SecretGone`.
    def delete(self, secret_id: str) -> WriteResult:
        """Remove one secret; one that is not there counts as removed."""

    def value(self, name: str) -> SecretValue[str] | None:
        """Return the value at the site; None if there is no such name. Raises `TargetDenied` if it may not be read."""


class Quota(Protocol):
    """The request times of a site, shared by every process that uses the ledger. All methods raise `LedgerError`."""

    def take(self) -> tuple[int, timedelta]:
        """Take a place in the rate limit's window, without waiting.

        Returns: (ticket, 0), or (0, how long to wait before asking again) if there is none.
        """

    def room(self) -> int:
        """How many requests may be sent at this moment."""

    # Wix counts a request when it arrives, which is between its sending and its answer.
    def answered(self, ticket: int) -> None:
        """Note that the request of this ticket got its answer or failed: its window begins now."""
