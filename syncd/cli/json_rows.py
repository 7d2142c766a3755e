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
        "version": version_label(record.version) or None,
        "status": status,
        "last_synced_at": record.last_synced_at.isoformat() if record.last_synced_at else None,
    }


def problem_row(one: OpenProblem) -> dict[str, Any]:
    """What keeps failing."""
    return {
        "status": one.kind,
        "name": one.subject,
        "job": one.job,
        "ref": str(one.ref or ""),
        "message": one.message,
        "hint": one.hint,
        "attempts": one.attempts,
        "since": one.first_at,
        "retry_at": one.retry_at,
    }


def finding_row(one: Finding) -> dict[str, Any]:
    """What a cycle found."""
    return {
        "kind": one.kind.value,
        "name": one.name,
        "ref": str(one.ref) if one.ref else None,
        "message": one.message,
        "hint": one.hint,
    }


def failure_row(one: ReadFailure) -> dict[str, Any]:
    """A place that could not be read."""
    return {"place": one.place, "message": one.message, "hint": one.hint}


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
    from syncd.reconcile.record.cycle_result import counts

    return {
        "job": report.job,
        "target": report.target,
        "exit_code": report.exit_code,
        "counts": counts(report),
        "unsent": report.unsent,
        "actions": [
            {
                "action": outcome.verb,
                "name": outcome.action.name,
                "remote_id": outcome.remote_id,
                "error": str(outcome.error) if outcome.error else None,
            }
            for outcome in report.outcomes
        ],
        "findings": [finding_row(one) for one in report.findings if one.kind is not FindingKind.UNCHANGED],
        "failures": [failure_row(one) for one in report.failures],
        "error": str(report.error) if report.error else None,
        "hint": report.error.hint if isinstance(report.error, SyncdError) else "",
    }
