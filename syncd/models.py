"""The frozen types that flow through a cycle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, NoReturn, TypeVar

MASK = "***"
T = TypeVar("T")


class SecretValue(Generic[T]):
    """Something secret that shows itself nowhere by accident; `reveal()` is the only door."""

    __slots__ = ("_hidden",)

    def __init__(self, hidden: T) -> None:
        self._hidden: T = hidden

    def reveal(self) -> T:
        """The value itself. Its callers are few on purpose."""
        return self._hidden

    def __repr__(self) -> str:
        return f"SecretValue({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __reduce__(self) -> tuple[type[MaskedValue], tuple[()]]:
        return (MaskedValue, ())  # pickling keeps the mask and loses the value

    def __copy__(self) -> SecretValue[T]:
        return self

    def __deepcopy__(self, memo: object) -> SecretValue[T]:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretValue) and bool(self._hidden == other._hidden)

    __hash__ = None  # type: ignore[assignment]  # a secret is no key


class MaskedValue(SecretValue[str]):
    """What is left of a `SecretValue` that went through pickle: never to be sent anywhere."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("")

    def reveal(self) -> NoReturn:
        """Always refused."""
        raise TypeError("a pickled secret holds no value")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SecretRef:
    """Where a secret lives: a configured source, a path in it, a field (None: the whole of it)."""

    source: str
    path: str
    field: str | None = None

    def __str__(self) -> str:
        return f"{self.source}:{self.path}" + (f"#{self.field}" if self.field is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Identity of what a path holds. Only `token` counts for sameness; the rest tells old from new."""

    token: str
    number: int | None = None
    """KV v2's counter; it starts again at 1 when the metadata is deleted."""
    lineage: str = ""
    """KV v2: when the metadata was created, where the answer told."""

    def older_than(self, known: Version) -> bool:
        """Is this an answer from before `known`, as a lagging standby gives it?"""
        if self.number is None or known.number is None:
            return False
        if self.lineage and known.lineage and self.lineage != known.lineage:
            return self.lineage < known.lineage
        return self.number < known.number


def version_label(token: str | None) -> str:
    """A version as people and scripts see it; a KV v1 fingerprint is never shown."""
    kind, _, rest = (token or "").partition(":")
    return {"kv2": rest.partition("@")[0], "aws": rest}.get(kind, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of a job's `secrets`, normalised: `field` is "*" (each), None (the whole) or a name."""

    index: int
    source: str
    path: str
    field: str | None
    name: str
    mount: str | None = None
    exclude: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    pin: str = ""
    """A Vault version number or an AWS stage; empty for the current one."""
    as_json: bool = False
    binary: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """A path that a listing shows. `version` None: only the value can tell (KV v1)."""

    ref: SecretRef
    version: Version | None
    updated_at: datetime | None = None
    pin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A place that could not be read, and the mend."""

    place: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one rule's listing showed. Absence means something only where `complete`."""

    entries: tuple[SourceEntry, ...] = ()
    failures: tuple[Failure, ...] = ()
    complete: bool = True
    mount: str = ""
    mount_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The answer to reading one path: a document (dict, str or bytes, masked), or why there is none."""

    entry: SourceEntry
    version: Version | None = None
    document: SecretValue[object] | None = None
    updated_at: datetime | None = None
    failure: Failure | None = None
    gone: bool = False
    """Read, and not there or its version deleted."""


class Presence(StrEnum):
    """What is known of a record's source reference."""

    PRESENT = "present"
    ABSENT = "absent"
    ORPHAN = "orphan"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A direct look at one path, just before a deletion."""

    presence: Presence
    mount: str = ""
    mount_id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
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


class Pending(StrEnum):
    """The journal's open entry of a record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When, by Wix's clock, a write of ours took effect: between these two, give or take the slack."""

    start: datetime
    end: datetime


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
class Create:
    """Send a new secret."""

    desired: Desired
    record: Record | None = None

    @property
    def name(self) -> str:
        """The Wix name."""
        return self.desired.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Write over a secret by its id. Without a value only the description is sent."""

    desired: Desired
    record: Record
    reason: str
    rename: bool = False
    describe_only: bool = False
    restore: bool = False

    @property
    def name(self) -> str:
        """The Wix name."""
        return self.desired.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove a secret by its id."""

    record: Record
    reason: str

    @property
    def name(self) -> str:
        """The Wix name."""
        return self.record.name


Action = Create | Update | Delete


class Kind(StrEnum):
    """What a cycle found, without an action of its own."""

    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    DRIFT = "drift"
    CONTESTED = "contested"
    ORPHAN = "orphan"
    MISSING = "missing"
    UNKNOWN = "unknown"
    FROZEN = "frozen"
    UNVERIFIED = "unverified"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    WITHHELD = "withheld"
    TAKEN_BACK = "taken back"


SERIOUS = frozenset({Kind.CONFLICT, Kind.CONTESTED, Kind.UNVERIFIED, Kind.FAILED, Kind.QUARANTINED})
"""Findings that make a cycle exit 1. A withheld class is 6, an unreadable source 4, as the finding says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One secret's state in words, with the mend."""

    kind: Kind
    name: str
    ref: SecretRef | None = None
    message: str = ""
    hint: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a provisional plan wants to know before it is final."""

    values: frozenset[str] = frozenset()
    """Names whose source value has to be read."""
    compares: frozenset[str] = frozenset()
    """Names whose value at the site is worth comparing, if the credential may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, what was found, and the ledger rows that change without a request."""

    actions: tuple[Action, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[Record, ...] = ()
    needs: Needs = Needs()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Wix's answer to a write."""

    id: str = ""
    window: Window | None = None
    request_id: str = ""
    lost_before: bool = False
    """An earlier try of the same write may still commit late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one action ended."""

    action: Action
    error: Exception | None = None
    remote_id: str = ""
    request_id: str = ""
    restored: bool = False
    at: datetime | None = None

    @property
    def verb(self) -> str:
        """create, update or delete."""
        return type(self.action).__name__.lower()


def deletions_sent(outcomes: Iterable[Outcome]) -> int:
    """How many of these were deletions that were done, or may have been."""
    deletions = [one for one in outcomes if isinstance(one.action, Delete)]
    return sum(one.error is None or getattr(one.error, "maybe_done", False) for one in deletions)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """One cycle of one job on one target."""

    job: str
    target: str
    started_at: datetime
    finished_at: datetime
    outcomes: tuple[Outcome, ...] = ()
    findings: tuple[Finding, ...] = ()
    failures: tuple[Failure, ...] = ()
    error: Exception | None = None
    exit_code: int = 0
    faulty: Mapping[str, Desired] = field(default_factory=dict)
    """Wanted secrets whose value cannot go to Wix, by name."""

    @property
    def deletions_sent(self) -> int:
        """How many deletions were done, or may have been."""
        return deletions_sent(self.outcomes)

    def count(self, verb: str) -> int:
        """How many actions of this verb were done."""
        return sum(1 for outcome in self.outcomes if outcome.verb == verb and outcome.error is None)

    def found(self, kind: Kind) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind is kind)


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, the strictest reading of Wix's limits."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
