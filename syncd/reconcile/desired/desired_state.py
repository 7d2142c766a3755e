"""Mapped names and what could not be mapped; which mounts and texts are to be believed. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from syncd.domain import DesiredSecret, Finding, FindingKind, ReadFailure, Rule, SecretRef, Snapshot
from syncd.domain.untrusted import PATH_MAX, TOO_LONG, TOO_LONG_MEND, is_storable
from syncd.errors import SecretError


def strange_mount(known: Mapping[str, str], mount: str, mount_id: str) -> str:
    """The known mount that this one contradicts, or "": another identity, or one inside the other.

    A server has no mount inside another, so such a pair means that one of them was replaced.
    """
    if mount in known:
        return mount if known[mount] != mount_id else ""
    nested = (name for name in known if mount and (name.startswith(mount) or mount.startswith(name)))
    return next(nested, "")


def without_odd_paths(snapshot: Snapshot) -> Snapshot:
    """The listing without the paths that no database keeps; each is a failure."""
    kept, failures = [], []
    for entry in snapshot.entries:
        path = entry.ref.path
        if not is_storable(path):
            message = "a path with a NUL or a lone surrogate is not read"
            failures.append(ReadFailure(place=ascii(path), message=message, hint="rename it at the source"))
        elif len(path.encode()) > PATH_MAX:
            failures.append(ReadFailure(place=f"{path[:60]}…", message=TOO_LONG, hint=TOO_LONG_MEND))
        else:
            kept.append(entry)
    if not failures:
        return snapshot
    return replace(snapshot, entries=tuple(kept), failures=(*snapshot.failures, *failures), complete=False)


def rule_digest(rule: Rule) -> str:
    """A rule as it is written, in 8 hex digits."""
    return hashlib.sha256(repr(replace(rule, index=0)).encode("utf-8", "surrogatepass")).hexdigest()[:8]


@dataclass(slots=True)
class DesiredState:
    """The mapped names of a job, and what could not be mapped."""

    secrets: dict[tuple[str, SecretRef, str], DesiredSecret] = field(default_factory=dict)
    faults: dict[tuple[str, SecretRef, str], SecretError] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def put(self, desired: DesiredSecret) -> None:
        """A mapped name."""
        self.secrets[desired.key] = desired

    def failed(self, name: str, ref: SecretRef, message: str, hint: str) -> None:
        """A reference that fails alone."""
        self.findings.append(Finding(kind=FindingKind.FAILED, name=name, ref=ref, message=message, hint=hint))

    def missing(self, ref: SecretRef, message: str, hint: str) -> None:
        """A rule that names exactly what is not there."""
        self.findings.append(
            Finding(kind=FindingKind.MISSING, name=str(ref), ref=ref, message=message, hint=hint, exit_code=1)
        )

    @property
    def all(self) -> tuple[DesiredSecret, ...]:
        """Every mapped name, collisions included."""
        return tuple(self.secrets.values())

    def faulty(self) -> Mapping[str, DesiredSecret]:
        """The mapped names whose value cannot go to Wix."""
        return {secret.name: secret for key, secret in self.secrets.items() if key in self.faults}
