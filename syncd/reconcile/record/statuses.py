"""The status of a row after a cycle. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from syncd.domain import STATUSES, Finding, FindingKind, Outcome, Record
from syncd.errors import SecretRefused

STATUS = {
    FindingKind.CONFLICT: "conflict",
    FindingKind.BEHIND: "behind",
    # `synced` would be untrue where nobody knows, or where somebody's change is only reported.
    FindingKind.UNKNOWN: "behind",
    FindingKind.DRIFT: "behind",
    FindingKind.CONTESTED: "contested",
    FindingKind.MISSING: "missing",
    FindingKind.ORPHAN: "orphan",
    FindingKind.FROZEN: "frozen",
    FindingKind.UNVERIFIED: "unverified",
    FindingKind.FAILED: "failed",
    FindingKind.QUARANTINED: "quarantined",
    FindingKind.DENIED: "denied",
    FindingKind.HELD: "held",
    FindingKind.ROLLED_BACK: "rolled_back",
}
UNSURE = STATUSES.index("rolled_back")
"""From this place in `STATUSES` on, findings keep the planner's order: a rollback may not have been sent yet."""


def by_precedence(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order of their statuses: of several of one name the first counts."""

    def rank(finding: Finding) -> int:
        status = STATUS.get(finding.kind)
        return min(STATUSES.index(status), UNSURE) if status else len(STATUSES)

    return sorted(findings, key=rank)


def status_of(record: Record, finding: Finding | None, outcome: Outcome | None) -> str:
    """One of `STATUSES` for a row after a cycle. `outcome`: how its last action of the cycle ended.

    A row of which the cycle says nothing keeps its status: silence is no evidence that the site holds the version.
    """
    error = outcome.error if outcome else None
    # With a lost answer nobody knows that it failed: the row's own state says more.
    if error is not None and not (record.unverified or record.is_open):
        return "quarantined" if isinstance(error, SecretRefused) else "failed"
    if finding is not None and finding.kind in STATUS:
        return STATUS[finding.kind]
    if record.unverified:
        return "unverified"
    if record.pending or record.remote_id is None:
        return "pending"
    return record.status if finding is None and outcome is None else "synced"


def changed_statuses(
    records: Iterable[Record], job: str, findings: Mapping[str, Finding], outcomes: Mapping[str, Outcome]
) -> dict[str, str]:
    """Return the statuses that change, by name. A job judges its own rows and those that it wrote to, no others."""
    rows = list(records)
    names = {record.name for record in rows}
    # A name that changes in case alone may wait. What is said of the new spelling is said of the same secret's row.
    others = {(name.casefold(), finding.ref): finding for name, finding in findings.items() if name not in names}

    def of(record: Record) -> Finding | None:
        own = findings.get(record.name)
        # Another secret that wants the name makes nothing of what was just sent untrue.
        if own is not None and record.name in outcomes and own.ref not in {None, record.ref}:
            return None
        return own if own or record.name in outcomes else others.get((record.name.casefold(), record.ref))

    return {
        record.name: status
        for record in rows
        if (record.job == job or record.name in outcomes)
        and (status := status_of(record, of(record), outcomes.get(record.name))) != record.status
    }
