"""What `--json` prints, row by row: the names that scripts rely on."""

from __future__ import annotations

from typing import Any

from syncd.domain import Finding, FindingKind, HistoryEntry, OpenProblem, ReadFailure, Record, SyncReport, version_label
from syncd.errors import SyncdError


def record_row(record: Record, status: str) -> dict[str, Any]:
    """A record, as `state list` shows it."""
    return {
        "target": record.target,
        "name": record.name,
        "remote_id": record.remote_id,
        "job": record.job,
        "source": record.ref.source,
        "path": record.ref.path,
        "field": record.ref.field,
        # Of KV v1 the version is a fingerprint, which is never shown: its label is empty.
        "version": version_label(record.version) or None,
        "status": status,
        "last_synced_at": record.last_synced_at.isoformat() if record.last_synced_at else None,
    }


def problem_row(problem: OpenProblem) -> dict[str, Any]:
    """A problem: what keeps failing, since when, and when it is tried again."""
    return {
        "status": problem.kind,
        "name": problem.subject,
        "job": problem.job,
        "ref": str(problem.ref or ""),
        "message": problem.message,
        "hint": problem.hint,
        "attempts": problem.attempts,
        "since": problem.first_at,
        "retry_at": problem.retry_at,
    }


def finding_row(finding: Finding) -> dict[str, Any]:
    """What a cycle found."""
    return {
        "kind": finding.kind.value,
        "name": finding.name,
        "ref": str(finding.ref) if finding.ref else None,
        "message": finding.message,
        "hint": finding.hint,
    }


def failure_row(failure: ReadFailure) -> dict[str, Any]:
    """A place that could not be read."""
    return {"place": failure.location, "message": failure.message, "hint": failure.hint}


def history_row(line: HistoryEntry) -> dict[str, Any]:
    """An action as it ended."""
    return {
        "at": line.at,
        "target": line.target,
        "name": line.name,
        "action": line.action,
        "outcome": line.outcome,
        "remote_id": line.remote_id,
        "request_id": line.request_id,
    }


def report_row(report: SyncReport) -> dict[str, Any]:
    """A finished cycle."""
    from syncd.reconcile.record.report import counts

    return {
        "job": report.job,
        "target": report.target,
        "exit_code": report.exit_code,
        "counts": counts(report),
        "unsent": report.unsent,
        "rests": report.rests or None,
        "actions": [
            {
                "action": outcome.verb,
                "name": outcome.action.name,
                "remote_id": outcome.remote_id,
                "error": str(outcome.error) if outcome.error else None,
            }
            for outcome in report.outcomes
        ],
        # An idle cycle has an UNCHANGED for every secret.
        "findings": [finding_row(finding) for finding in report.findings if finding.kind is not FindingKind.UNCHANGED],
        "failures": [failure_row(failure) for failure in report.failures],
        "error": str(report.error) if report.error else None,
        "hint": report.error.hint if isinstance(report.error, SyncdError) else "",
    }
