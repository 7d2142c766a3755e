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
    """Digest of its rule as it is written now: after a change of the rule a refused secret is tried again."""
    value: SecretValue[str] | None = None
    fingerprint: str | None = field(default=None, repr=False)
    updated_at: datetime | None = None
    rolled_back: bool = False
    """Does a person want an older version of its path for a while?"""

    def made_at(self, before: datetime | None) -> datetime | None:
        """Return when its version was made at the source, if that is known.

        `before`: when the version that it follows was made; returned where the source gives no date, but not for a
        rollback.
        """
        return self.updated_at or (None if self.rolled_back else before)

    @property
    def key(self) -> tuple[str, SecretRef, str]:
        """Name, reference and pin, which together identify it among the desired secrets of its job."""
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
    """The span, by Wix's clock, in which a write of ours took effect; `write_window.SLACK` is added on either side."""

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
