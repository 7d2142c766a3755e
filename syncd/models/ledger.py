"""The rows of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from syncd.models.site import Window
from syncd.models.source import SecretRef, Version


class Pending(StrEnum):
    """The journal's open entry of a record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A row of the ledger: one name on one site that is ours, or that a pending create reserves."""

    site: str
    name: str
    target: str
    job: str
    ref: SecretRef
    pin: str = ""
    remote_id: str | None = None
    adopted: bool = False
    description: str = ""
    """As last written, with the mark."""
    version: str = ""
    fingerprint: str | None = field(default=None, repr=False)
    pending: Pending | None = None
    pending_at: datetime | None = None
    lost_at: datetime | None = None
    """When an answer to a write was lost: a late commit may still follow."""
    unverified: bool = False
    window: Window | None = None
    pinned_at: datetime | None = None
    """`updatedDate` known to be of our last write."""
    last_synced_at: datetime | None = None
    source_updated_at: datetime | None = None
    verified_at: datetime | None = None
    unlisted_tried_at: datetime | None = None
    restores: tuple[datetime, ...] = ()
    absent_at: datetime | None = None
    """The last cycle that observed the absence; None while unknown."""
    absent_for: timedelta = timedelta(0)
    frozen_until: datetime | None = None
    status: str = ""
    """As the last cycle found it; see `STATUSES`."""


STATUSES = (
    "synced",
    "pending",
    "unverified",
    "failed",
    "quarantined",
    "conflict",
    "missing",
    "orphan",
    "frozen",
    "contested",
    "detached",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What keeps failing, per subject (a name, or a source path), so that it is retried ever more rarely."""

    site: str
    job: str
    subject: str
    kind: str
    message: str
    hint: str = ""
    ref: str = ""
    version: str = ""
    rule: str = ""
    attempts: int = 1
    first_at: datetime
    retry_at: datetime | None = None
    """None: in every cycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathState:
    """What the ledger knows of a source path: the version read last, and the fields it had."""

    source: str
    path: str
    pin: str = ""
    version: Version
    fields: tuple[str, ...] | None
    updated_at: datetime | None = None
    older_token: str = ""
    older_count: int = 0
    older_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A line of the ledger's history: an action as it ended."""

    at: datetime
    site: str
    target: str
    job: str
    name: str
    action: str
    outcome: str
    remote_id: str = ""
    version: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The last cycle of a job on a site, for `status`."""

    job: str
    site: str
    target: str
    started_at: datetime
    finished_at: datetime
    exit_code: int
    message: str = ""
    succeeded_at: datetime | None = None
    counts: str = ""
