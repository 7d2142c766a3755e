"""What sources show: references, versions, listings, documents."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from syncd.domain.matching import Glob
from syncd.domain.secret_value import SecretValue


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
    """KV v2: when the metadata that holds this very version was created; empty where that is not known."""

    def older_than(self, known: Version) -> bool:
        """Is this version older than `known`, as a standby that lags may answer? False where the order is not known."""
        # Ids of AWS and fingerprints of KV v1 have no order, so none of them is older.
        if self.number is None or known.number is None:
            return False
        # Numbers begin again with new metadata: only when that was made tells which is older.
        if self.lineage and known.lineage and self.lineage != known.lineage:
            return self.is_of_earlier_metadata(known)
        return self.number < known.number

    def is_of_earlier_metadata(self, known: Version) -> bool:
        """Is this of metadata that was created earlier than that of `known`, and so of another secret?"""
        return bool(self.lineage) and self.lineage < known.lineage

    def is_before(self, listed: Version) -> bool:
        """Is this version, which was read, from before `listed`, which the same look showed?

        Yes also where only `listed` has a lineage: then nobody knows that another version is newer.
        """
        return self.older_than(listed) or bool(listed.lineage and not self.lineage)


def is_of_an_earlier_secret(token: str, now: Version) -> bool:
    """Is this token of an earlier secret, which was deleted with its metadata before the path was made anew?

    `now`: the version that the path holds now. Its numbers begin again at 1, so equal numbers say nothing. False where
    the dates do not tell.
    """
    kind, _, rest = token.partition("~")[0].partition(":")
    created = rest.partition("@")[2]
    # Where the path's own version is dated before its metadata, a clock was ahead, and the dates tell nothing.
    return kind == "kv2" and bool(created) and created < now.lineage <= now.token.partition("@")[2]


def latest(known: int | None, version: int) -> int:
    """Return the later of two version numbers of a path; 0 (no number is told) if one of them is 0.

    `known`: the later one so far; None: `version` is the first one.
    """
    # A deletion tells none, and what is made anew behind it is counted from one again.
    return version if known is None else max(known, version) if known and version else 0


BY_VALUE = "kv1:"
"""Prefix of a token that is the value's fingerprint, because the source counts no versions (KV v1)."""


def version_by_value(fingerprint: str) -> Version:
    """Return the version of a value at a source without versions (KV v1). Its token is a fingerprint: never shown."""
    return Version(token=BY_VALUE + fingerprint)


def is_fingerprint(token: str) -> bool:
    """Is a version's token a fingerprint of the value? Then it is never shown, kept in a plan file or exported."""
    return token.startswith(BY_VALUE)


def version_label(token: str | None) -> str:
    """Return a version as people and scripts see it: KV v2's number or AWS's id; empty for a KV v1 fingerprint."""
    kind, _, rest = (token or "").partition("~")[0].partition(":")  # behind it, which template made the value
    return {"kv2": rest.partition("@")[0], "aws": rest}.get(kind, "")


SECONDS = len("2026-01-01T00:00:00")


def is_at_least(token: str, other: str) -> bool:
    """Is the version `token` the same as `other`, or known to be later, whatever template or encoding made each?

    Vault counts versions, and counts anew where a secret was deleted with its metadata, so the dates count as well, to
    the second. AWS's ids have no order: only the same one is enough.
    """
    one, then = (text.partition("~")[0] for text in (token, other))
    if one == then:
        return True
    numbers, dates = zip(*(text.removeprefix("kv2:").partition("@")[::2] for text in (one, then)), strict=True)
    is_counted = one.startswith("kv2:") and then.startswith("kv2:") and all(map(str.isdecimal, numbers))
    return is_counted and int(numbers[0]) > int(numbers[1]) and dates[0][:SECONDS] >= dates[1][:SECONDS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of a job's `secrets`, normalised: `field` is "*" (each), None (the whole) or a name."""

    index: int
    source: str
    path: Glob
    field: str | None
    name: str
    mount: str | None = None
    exclude: tuple[Glob, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    pin: str = ""
    """A Vault version number or an AWS stage; empty for the current one."""
    binary: bool = False
    description: str = ""
    value: str = ""
    """A template over the fields of one secret; empty: each value goes as it is."""


@lru_cache(maxsize=4096)
def rule_digest(rule: Rule) -> str:
    """A rule as it is written, in 8 hex digits."""
    # Its place among the rules is no change of it.
    return hashlib.sha256(repr(replace(rule, index=0)).encode("utf-8", "surrogatepass")).hexdigest()[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """A path that a listing shows. `version` None: only the value can tell (KV v1)."""

    ref: SecretRef
    version: Version | None
    updated_at: datetime | None = None
    pin: str = ""
    owner: str = ""
    """Whom the source names as its owner."""
    tags: frozenset[tuple[str, str]] = frozenset()
    """AWS: the tags that it carries."""
    read_as: str = ""
    """The version to read instead of the current one, because a person rolled the path back; else empty."""

    @property
    def asked_version(self) -> str:
        """The version that a read asks the source for: what a rollback wants, else what the rule pins.

        Returns: a number (Vault), an id or a stage (AWS); empty for the current version.
        """
        return self.read_as or self.pin


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFailure:
    """A place that could not be read, and the fix."""

    location: str
    message: str
    hint: str = ""
    of_secret: bool = False
    """The source answered, and only this one secret has nothing to send: nothing else is stopped by it."""
    pin: str = ""
    """With `of_secret`: the version or stage that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one rule's listing showed. Absence means something only where `complete`."""

    entries: tuple[SourceEntry, ...] = ()
    failures: tuple[ReadFailure, ...] = ()
    complete: bool = True
    mount: str = ""
    mount_id: str = ""
    calls: int = 0
    """How many calls it cost at the source."""
    listing_method: str = ""
    """How it was listed, in words."""
    absence: str = ""
    """Why an exact path has nothing to send, where the source says more than that it is not there; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult:
    """The answer to reading one path: a document (dict, str or bytes, masked), or why there is none."""

    entry: SourceEntry
    version: Version | None = None
    document: SecretValue[object] | None = None
    updated_at: datetime | None = None
    failure: ReadFailure | None = None
    gone: bool = False
    """The source was read, and the secret is not there, or its version is deleted."""
    is_accepted: bool = True
    """False: a rotation that its owner has not finished (AWSPENDING)."""

    @classmethod
    def failed(cls, entry: SourceEntry, message: str, hint: str) -> ReadResult:
        """The secret could not be read, and why."""
        return cls(entry=entry, failure=ReadFailure(location=entry.ref.path, message=message, hint=hint))


class Presence(StrEnum):
    """What is known of a record's source reference."""

    ABSENT = "absent"
    ORPHAN = "orphan"
    UNKNOWN = "unknown"


class Existence(StrEnum):
    """What a direct look at one path says. An answer that does not tell is a `SourceError`, never one of these."""

    THERE = "there"
    GONE = "gone"
    """Not found, or its current version deleted or destroyed: the server's own word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathCheck:
    """A direct look at one path, by its name alone, just before a deletion."""

    existence: Existence
    mount: str = ""
    mount_id: str = ""
    tags: frozenset[tuple[str, str]] = frozenset()
    """AWS: the tags that it carries, for whoever asks which rule would take it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCheck:
    """What a rule selects, seen by `syncd check --connect`."""

    rule: str
    found: int
    """How many source paths the rule's listing showed."""
    listing_method: str
    """How they were listed."""
    mount: str = ""
    mount_id: str = ""
    """Which mount or account answered, as a `Snapshot` has it."""

    @classmethod
    def of(cls, rule: Rule, snapshot: Snapshot) -> RuleCheck:
        """What a listing of the rule shows."""
        return cls(
            rule=rule.path.text,
            found=len(snapshot.entries),
            listing_method=snapshot.listing_method,
            mount=snapshot.mount,
            mount_id=snapshot.mount_id,
        )
