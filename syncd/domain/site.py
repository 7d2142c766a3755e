"""What a site should hold, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from syncd.domain.secret_value import SecretValue
from syncd.domain.source import SecretRef


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredSecret:
    """A secret as the site should hold it. `value` only where it was read in this cycle."""

    name: str
    ref: SecretRef
    version: str
    description: str
    job: str
    pin: str = ""
    rule: str = ""
    """Which rule, as it is written now: a changed rule is another try."""
    value: SecretValue[str] | None = None
    fingerprint: str | None = field(default=None, repr=False)
    updated_at: datetime | None = None
    rolled_back: bool = False
    """Does a person want an older version of its path for a while?"""

    def made_at(self, before: datetime | None) -> datetime | None:
        """When its version was made at the source, if that is known. `before`: when the one was that it follows."""
        return self.updated_at or (None if self.rolled_back else before)

    @property
    def key(self) -> tuple[str, SecretRef, str]:
        """What tells it from every other wanted secret of its job."""
        return self.name, self.ref, self.pin


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSecret:
    """A secret as the site lists it; no value. `updated_at` None: the date cannot be told."""

    id: str
    name: str
    description: str = ""
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteWindow:
    """When, by Wix's clock, a write of ours took effect: between these two, give or take the slack."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """Wix's answer to a write."""

    id: str = ""
    window: WriteWindow | None = None
    request_id: str = ""
    lost_tries: int = 0
    """Earlier tries of the same write that may still commit late."""
