"""The rows of the ledger."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from syncd.domain.site import WriteWindow
from syncd.domain.source import SecretRef, Version
from syncd.errors import FAILED


class Pending(StrEnum):
    """Which request of a record is under way, as the journal noted it before sending."""

    CREATE = "create"
    UPDATE = "update"
    DESCRIBE = "describe"
    """A write of the description alone: however it ends, the value is as it was."""
    DELETE = "delete"
    ADOPT = "adopt"
    """A first write over a secret that is not ours yet, and is not before this is answered."""


class LostWrite(NamedTuple):
    """A write whose answer was lost: it may still take effect."""

    at: datetime
    fingerprint: str = ""
    """Fingerprint of the value that the write carried; empty where that is not known. Never shown."""

    def __repr__(self) -> str:
        return f"LostWrite({self.at!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A row of the ledger: one name on one site that is ours, or that a pending create reserves."""

    site: str
    name: str
    # For people: the row belongs to the site, whatever its targets are called.
    target: str
    job: str
    ref: SecretRef
    pin: str = ""
    remote_id: str | None = None
    adopted: bool = False
    description: str = ""
    """As last written, with the mark."""
    version: str = ""
    # Never shown: whoever has the key could try guesses against it.
    fingerprint: str | None = field(default=None, repr=False)
    pending: Pending | None = None
    pending_at: datetime | None = None
    lost_writes: tuple[LostWrite, ...] = ()
    """One entry for each write whose answer was lost: that many may still take effect late."""
    unverified: bool = False
    theirs: bool = False
    """Somebody else's change at Wix was found, and left there: see `drift_policy`."""
    remarked: bool = False
    """A search by its id wrote our mark again. What the secret held before is not known, so it is never deleted."""
    window: WriteWindow | None = None
    pinned_at: datetime | None = None
    """`updatedDate` known to be of our last write."""
    last_synced_at: datetime | None = None
    source_updated_at: datetime | None = None
    verified_at: datetime | None = None
    unlisted_tried_at: datetime | None = None
    doubted_at: datetime | None = None
    """The listed date that did not tell whose change it is; because of it our value was written once more."""
    restores: tuple[datetime, ...] = ()
    absent_at: datetime | None = None
    """When a cycle last observed the absence, by the site's clock; None: not absent, or nobody could look."""
    absent_for: timedelta = timedelta(0)
    frozen_until: datetime | None = None
    status: str = ""
    """As the last cycle found it; see `STATUSES`."""

    def protected(self, *, adopted: bool, frozen_until: datetime | None) -> Record:
        """Return the record with further protection: adopted, or frozen for longer. No protection is taken away."""
        # Two rows may become one: what protects either protects the one that is left.
        frozen = max((at for at in (self.frozen_until, frozen_until) if at), default=None)
        return replace(self, adopted=self.adopted or adopted, frozen_until=frozen)

    @property
    def is_open(self) -> bool:
        """Is a request under way, or is the id at the site not known?"""
        return self.pending is not None or self.remote_id is None

    def is_frozen(self, now: datetime) -> bool:
        """Is the secret frozen (left alone, because a person wants that) at this moment?"""
        return self.frozen_until is not None and self.frozen_until > now

    def reads_frozen(self, now: datetime) -> bool:
        """Is it frozen at this moment, or was it in the last cycle? A cycle goes by the site's clock as well."""
        return self.is_frozen(now) or (self.frozen_until is not None and self.status == "frozen")


GIVEN_UP = {"missing", "orphan"}
"""Statuses of a record whose secret its own job did not find at the source, or found outside of its rules."""
STATUSES = (
    "detached", "pending", "unverified", "frozen", "contested", "conflict", "denied", "held", "quarantined", "failed",
    "rolled_back", "missing", "orphan", "behind", "synced",
)  # fmt: skip
"""All statuses; a record has the first one that fits.

`domain/statuses.py` says which ones fit, and that a left-over row is an orphan.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenProblem:
    """What keeps failing for one subject (a name, or a source path); kept so that it is retried ever more rarely."""

    site: str
    job: str
    subject: str
    kind: str
    message: str
    hint: str = ""
    ref: SecretRef | None = None
    # A new version or a changed rule ends the rest: what was refused was something else.
    version: str = ""
    rule: str = ""
    attempts: int = 1
    first_at: datetime
    retry_at: datetime | None = None
    """When it is tried again; None: in every cycle."""


NEWEST = "(newest)"
"""The `pin` under which the newest version is kept that a path was seen to have before a rollback and since.

No real pin has this text: a pin is a number or the name of a stage.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathState:
    """What the ledger knows of a source path: the version read last, and the fields it had."""

    source: str
    path: str
    pin: str = ""
    version: Version
    fields: tuple[str, ...] | None
    updated_at: datetime | None = None
    """When the version was made, by the source's word."""
    owner: str = ""
    """The owner that the source names; empty where it names none."""
    seen_at: datetime | None = None
    """When the version was first read; None for one from before this was kept."""
    # A server that lags is told from a source that went back by how often the older version is seen.
    older_token: str = ""
    older_count: int = 0
    older_at: datetime | None = None


class Result(StrEnum):
    """How far an action came; what limits count by."""

    SENT = "sent"
    DONE = "done"
    LOST = "lost"
    """Its answer was lost: it may have taken effect."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A person's permission to take over one secret at Wix, as it was seen when the permission was given."""

    remote_id: str
    owner: str = ""
    """Whose mark it carried; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownId:
    """What is known of an id at Wix, whichever site, target or row it was met under."""

    remote_id: str
    adopted: bool = False
    frozen_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """A line of the ledger's history: an action as it ended."""

    at: datetime
    site: str
    target: str
    job: str
    name: str
    action: str
    outcome: str
    result: Result | None = None
    remote_id: str = ""
    version: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
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
    """JSON of what it counted and saw."""

    @property
    def good_since(self) -> datetime:
        """When the job last ended well on the site; if it never did, when it was first tried there."""
        first = json.loads(self.counts or "{}").get("tried_since")
        return self.succeeded_at or (datetime.fromisoformat(first) if first else self.started_at)

    @property
    def looked_at(self) -> datetime | None:
        """When a cycle last saw all of its source and site, even if it did not end well; None: none did."""
        last = json.loads(self.counts or "{}").get("looked_at")
        return datetime.fromisoformat(last) if last else self.succeeded_at

    @property
    def read_all(self) -> bool:
        """Did its last cycle look, and could read all of its source?"""
        return self.looked_at is not None and self.exit_code not in FAILED

    @property
    def first_look(self) -> datetime | None:
        """When the first look began, as long as no look has come to its end; else None."""
        first = json.loads(self.counts or "{}").get("first_look")
        return datetime.fromisoformat(first) if first else None

    @property
    def due_from(self) -> datetime | None:
        """When the last run began that left nothing out on purpose; None where there was none.

        A kept plan and a rollback send only a part, and a pause cuts a run off: the schedule counts none of these.
        """
        part = json.loads(self.counts or "{}").get("part_since", "")
        return self.started_at if part == "" else datetime.fromisoformat(part) if part else None
