"""Actions, findings, plans, and how they ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from syncd.domain.records import Record
from syncd.domain.site import DesiredSecret
from syncd.domain.source import ReadFailure, SecretRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Send a new secret."""

    desired: DesiredSecret
    record: Record | None = None

    @property
    def name(self) -> str:
        """The Wix name."""
        return self.desired.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Write over a secret by its id. Without a value only the description is sent."""

    desired: DesiredSecret
    record: Record
    reason: str
    rename: bool = False
    describe_only: bool = False
    restore: bool = False
    """Does it write again what the site should have already? How often that may be fought over in a day is limited."""

    @property
    def name(self) -> str:
        """The Wix name."""
        return self.desired.name

    @property
    def undoes_others(self) -> bool:
        """Does it undo what somebody else is known to have changed? A date that tells nothing is no proof of that."""
        return self.restore and self.reason != Reason.DOUBTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove a secret by its id."""

    record: Record
    reason: str
    # A function, because `FindingKind` is defined further down.
    kind: FindingKind = field(default_factory=lambda: FindingKind.MISSING)
    """What the secret counts as while it is still at Wix: missing at its source, or an orphan."""

    @property
    def name(self) -> str:
        """The Wix name."""
        return self.record.name


class Reason(StrEnum):
    """Why an update goes out, as the plan shows it."""

    ROTATED = "new source version"
    OTHER_FORM = "the rule makes another value of it"
    ROLLED_BACK = "rolled back to an older version of the source's"
    UNVERIFIED = "content not verified"
    DRIFT = "changed at Wix by somebody else"
    RENAMED = "renamed at Wix by somebody else"
    UNLISTED = "missing from the listing"
    DESCRIPTION = "description"
    MOVED = "moved to another source path"
    ADOPT = "taken over, whatever it holds"
    ADOPT_SAME = "taken over, its value is the same"
    ADOPT_OTHER = "taken over, another value is overwritten"
    VERIFY = "verification found another value"
    SOUGHT = "looked for by its id"
    CASE = "the name in another case"
    LATE = "a lost write of ours may have come late"
    DOUBTED = "its date at Wix tells nothing"


ADOPTING = frozenset({Reason.ADOPT, Reason.ADOPT_SAME, Reason.ADOPT_OTHER})
"""Reasons of an update that takes a secret over: it is not ours until this write is answered."""


Action = Create | Update | Delete


def brings_another_value(desired: DesiredSecret, record: Record, *, if_unknown: bool = True) -> bool:
    """Is the desired value another one than the record tells of?

    Where both fingerprints are known, they alone decide: a version is of a whole path, and another version that was
    read may hold the same text. Where one is not known, another version, pin or reference counts as another value;
    only another name of the source does not. `if_unknown`: the answer for a record without a version but with the same
    reference (a ledger that was moved, KV v1).
    """
    if None not in {desired.fingerprint, record.fingerprint}:
        return desired.fingerprint != record.fingerprint
    if (replace(record.ref, source=desired.ref.source), record.pin) != (desired.ref, desired.pin):
        return True
    return desired.version != record.version if record.version else if_unknown


def puts_back(action: Action) -> bool:
    """Does the action create again what the site had in this very version, until somebody else removed it?"""
    if not isinstance(action, Create) or action.record is None:
        return False
    # A row keeps no id where a request to it was answered by 404; one that was never created is pending.
    record, desired = action.record, action.desired
    was_there = record.remote_id is None and record.pending is None and bool(record.version)
    return was_there and (record.version, record.ref, record.pin) == (desired.version, desired.ref, desired.pin)


def ref_of(action: Action) -> SecretRef:
    """The secret that an action is about."""
    return action.record.ref if isinstance(action, Delete) else action.desired.ref


def verb_of(action: Action) -> str:
    """create, update or delete; seek for a write that only finds out whether the site still has an id."""
    if isinstance(action, Update) and action.reason == Reason.SOUGHT:
        return "seek"
    return type(action).__name__.lower()


class FindingKind(StrEnum):
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
    JOINED = "joined"
    HANDED_OVER = "handed over"
    BEHIND = "behind"
    DENIED = "denied"
    HELD = "held"
    ROLLED_BACK = "rolled back"
    RULE = "rule"
    """The secret breaks a rule; that says nothing about its status."""


FAILING_KINDS = frozenset(
    {
        FindingKind.CONFLICT, FindingKind.CONTESTED, FindingKind.UNVERIFIED, FindingKind.FAILED,
        FindingKind.QUARANTINED, FindingKind.DENIED,
    }
)  # fmt: skip
"""Kinds of findings with which a cycle exits 1.

For others see `Finding.exit_code`: for example 6 for a withheld class, 4 for an unreadable source.
"""


NOT_SETTLED = "its path's name {} is not settled yet"
"""Message about an old name that stays at the site, because the new name of its path is not known to be there."""
BY_HAND = "look at it, delete it at Wix by hand"
"""How the fix begins for a secret that nobody wants at the site and that syncd does not delete.

It is not deleted because syncd does not know what it holds.
"""
LOOKS_AGAIN = "the next cycle looks again; where it lasts, see the servers behind the source's address"
"""The hint for a secret that its source lists, but does not let be read yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One secret's state in words, with the fix."""

    kind: FindingKind
    name: str
    ref: SecretRef | None = None
    message: str = ""
    hint: str = ""
    exit_code: int = 0
    verb: str = ""
    """What a limit withholds as a class: create, update or delete; else empty."""
    rule: str = ""
    """The id of the rule that the secret breaks, or waits because of; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequests:
    """What a provisional plan wants to know before it is final."""

    values: frozenset[str] = frozenset()
    """Names whose source value has to be read."""
    compares: frozenset[str] = frozenset()
    """Names whose value at the site is worth comparing, if the credential may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An action that waits for a person's release."""

    action: Action
    cause: str
    """`rule ID`, or the limit that withheld it."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, what was found, and the ledger rows that change without a request."""

    actions: tuple[Action, ...] = ()
    findings: tuple[Finding, ...] = ()
    record_updates: tuple[Record, ...] = ()
    read_requests: ReadRequests = ReadRequests()
    held: tuple[Held, ...] = ()
    """What waits for a release."""


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
        """create, update, delete or seek."""
        return verb_of(self.action)


def deletions_sent(outcomes: Iterable[Outcome]) -> int:
    """How many of these were deletions that were done, or may have been."""
    deletions = [outcome for outcome in outcomes if isinstance(outcome.action, Delete)]
    # One whose answer was lost may have happened: not counted, a run could delete more than was allowed.
    return sum(outcome.error is None or getattr(outcome.error, "maybe_done", False) for outcome in deletions)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """One cycle of one job on one target."""

    job: str
    target: str
    started_at: datetime
    finished_at: datetime
    seconds: float = 0.0
    """How many seconds it took, by the monotonic clock."""
    outcomes: tuple[Outcome, ...] = ()
    findings: tuple[Finding, ...] = ()
    failures: tuple[ReadFailure, ...] = ()
    error: Exception | None = None
    exit_code: int = 0
    rests: str = ""
    """The pause that holds as the cycle ends, in words: it did nothing, or was cut off. Empty: there is none."""
    unsent: int = 0
    """How many actions were left for the next cycle because the process was stopped."""
    looked_at: datetime | None = None
    """When its last pass looked at source and site, even if that failed; None if no pass began."""
    listing_calls: int = 0
    """How many calls one look at the source costs, however many jobs share it."""
    listing_methods: Mapping[str, str] = field(default_factory=dict)
    """How each rule's path was listed, in words."""
    lagging: frozenset[str] = frozenset()
    """Source paths that are listed in a version which could not be read yet."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """For each path that an event named, the number of the version that was read.

    0: none was read, a rollback has an older one read, or the source has no numbers. For a path that only a pinning
    rule takes it is a number above all others (`source_observer.CHOSEN`).
    """
    audit_heads: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """The last lines of the audit trail when it ended: seq and hash by stream."""
    faulty: Mapping[str, DesiredSecret] = field(default_factory=dict)
    """Wanted secrets whose value cannot go to Wix, by name."""

    @property
    def deletions(self) -> tuple[Outcome, ...]:
        """The outcomes that are deletions."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome.action, Delete))

    @property
    def deletions_sent(self) -> int:
        """How many deletions were done, or may have been."""
        return deletions_sent(self.outcomes)

    def count(self, verb: str) -> int:
        """How many actions of this verb were done."""
        return sum(1 for outcome in self.outcomes if outcome.verb == verb and outcome.error is None)

    def found(self, kind: FindingKind) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind is kind)
