"""What a finished cycle leaves in the ledger: statuses, troubles and their delays, the run itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from syncd.domain import (
    FAILING_KINDS,
    DesiredSecret,
    Finding,
    FindingKind,
    LastRun,
    OpenProblem,
    Outcome,
    Record,
    SecretRef,
    SyncReport,
)
from syncd.domain.ports import Journal, StateStore
from syncd.errors import INTERRUPTED, SecretRefused
from syncd.reconcile.plan.planner import LONGEST_DELAY

FIRST_DELAY = timedelta(minutes=10)
STATUS = {
    FindingKind.CONFLICT: "conflict",
    FindingKind.BEHIND: "behind",
    FindingKind.UNKNOWN: "behind",
    FindingKind.DRIFT: "behind",
    FindingKind.CONTESTED: "contested",
    FindingKind.MISSING: "missing",
    FindingKind.ORPHAN: "orphan",
    FindingKind.FROZEN: "frozen",
    FindingKind.UNVERIFIED: "unverified",
    FindingKind.FAILED: "failed",
    FindingKind.QUARANTINED: "quarantined",
}


def delay_after(attempts: int) -> timedelta:
    """How long a permanent refusal rests after so many attempts: doubling, some eight in the first day."""
    return min(LONGEST_DELAY, FIRST_DELAY * float(2 ** min(attempts - 1, 10)))


def status_of(record: Record, finding: Finding | None, outcome: Outcome | None) -> str:
    """One of `STATUSES` for a row after a cycle. `outcome`: how its last action of the cycle ended.

    A row of which the cycle says nothing keeps its status: silence is no evidence that the site holds the version.
    """
    error = outcome.error if outcome else None
    if error is not None and not (record.unverified or record.is_open):
        return "quarantined" if isinstance(error, SecretRefused) else "failed"
    if finding is not None and finding.kind in STATUS:
        return STATUS[finding.kind]
    if record.unverified:
        return "unverified"
    if record.pending or record.remote_id is None:
        return "pending"
    return record.status if finding is None and outcome is None else "synced"


def remember(journal: Journal, store: StateStore, report: SyncReport, site: str, seen: Sequence[Record] | None) -> None:
    """Write down how the cycle ended. Raises `LedgerError`."""
    if seen is not None:
        # Only a cycle that saw everything says anew what state each secret is in.
        named = (
            finding
            for finding in reversed(report.findings)
            if finding.name and finding.kind is not FindingKind.TAKEN_BACK
        )
        findings = {finding.name: finding for finding in named}
        touched = {outcome.action.name: outcome for outcome in report.outcomes}
        rows = [
            replace(record, status=status)
            for record in seen
            if (record.name in findings or record.name in touched or record.job == report.job)
            and (status := status_of(record, findings.get(record.name), touched.get(record.name))) != record.status
        ]
        if rows:
            journal.write(put=rows)
        before = store.known_troubles(site, report.job)
        states = {record.name: record.status for record in (*seen, *rows)}
        troubles = {trouble.subject: trouble for trouble in _troubles(report, site, before, states)}
        if report.error is not None:
            troubles = {**before, **troubles}  # it ended before it came to all of them
        if troubles != before:
            journal.troubles(site, report.job, troubles.values())
        sent = {outcome.action.name for outcome in report.outcomes if outcome.error is None}
        used = store.grants(site, report.finished_at).keys() & sent
        if used:
            journal.revoke(site, used)
    journal.ran(_run(report, site, store))


def _run(report: SyncReport, site: str, store: StateStore) -> LastRun:
    before = next((run for run in store.runs() if (run.job, run.site) == (report.job, site)), None)
    good = report.exit_code in {0, 1, 6} and not report.unsent
    return LastRun(
        job=report.job,
        site=site,
        target=report.target,
        started_at=report.started_at,
        finished_at=report.finished_at,
        exit_code=report.exit_code or (INTERRUPTED if report.unsent else 0),
        message=f"interrupted: {report.unsent} not sent" if report.unsent else _reason(report),
        succeeded_at=report.finished_at if good else before.succeeded_at if before else None,
        counts=json.dumps({**counts(report), "listing_calls": report.listing_calls, "means": dict(report.means)}),
    )


def _reason(report: SyncReport) -> str:
    """Why a cycle did not end with 0, in one line."""
    if report.exit_code == 0:
        return ""
    if report.error is not None:
        return str(report.error)
    for failure in report.failures:
        return f"{failure.place}: {failure.message}"
    notable = [finding for finding in report.findings if finding.exit_code or finding.kind in FAILING_KINDS]
    notable += [finding for finding in report.findings if finding.kind is FindingKind.WITHHELD]
    failed = [f"{outcome.action.name}: {outcome.error}" for outcome in report.outcomes if outcome.error is not None]
    lines = [f"{finding.name}: {finding.message}".removeprefix(": ") for finding in notable] + failed
    return (lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")) if lines else ""


def counts(report: SyncReport) -> dict[str, int]:
    """Done and found, by word."""
    numbers = {f"{verb}d": report.count(verb) for verb in ("create", "update", "delete")}
    numbers["sought"] = report.count("seek")
    numbers["failed"] = sum(1 for outcome in report.outcomes if outcome.error is not None)
    for kind in FindingKind:
        numbers[kind.value] = len(report.found(kind))
    return {word: number for word, number in numbers.items() if number or word in {"created", "updated", "deleted"}}


def _troubles(
    report: SyncReport, site: str, before: dict[str, OpenProblem], states: Mapping[str, str]
) -> Iterable[OpenProblem]:
    """What keeps failing. `states`: the status of each row after the cycle, which its trouble has, too."""
    now = report.finished_at
    problems: dict[str, OpenProblem] = {}
    for outcome in {last.action.name: last for last in report.outcomes}.values():
        name, error = outcome.action.name, outcome.error
        if error is None:
            continue
        permanent = isinstance(error, SecretRefused)
        wanted = getattr(outcome.action, "desired", None)
        problems[name] = _one(
            site,
            report.job,
            name,
            str(error),
            getattr(error, "hint", ""),
            wanted,
            before.get(name),
            now,
            permanent=permanent,
            ref=outcome.action.record.ref if outcome.action.record else None,
        )
        if not permanent and states.get(name) in {"unverified", "pending"}:
            problems[name] = replace(problems[name], kind=states[name])
    for finding in report.findings:
        if finding.name in problems or not finding.name:
            continue
        if finding.kind is FindingKind.QUARANTINED and finding.name in before:
            problems[finding.name] = before[finding.name]
        elif finding.kind is FindingKind.FAILED and finding.name in report.faulty:
            wanted = report.faulty[finding.name]
            problems[finding.name] = _one(
                site,
                report.job,
                finding.name,
                finding.message,
                finding.hint,
                wanted,
                before.get(finding.name),
                now,
                permanent=True,
            )
        elif finding.kind in STATUS and finding.kind not in {
            FindingKind.ORPHAN,
            FindingKind.FROZEN,
            FindingKind.BEHIND,
            FindingKind.DRIFT,
        }:
            problems[finding.name] = _found(site, report.job, finding, before.get(finding.name), now)
    return problems.values()


def _found(site: str, job: str, finding: Finding, before: OpenProblem | None, now: datetime) -> OpenProblem:
    return OpenProblem(
        site=site,
        job=job,
        subject=finding.name,
        kind=STATUS[finding.kind],
        message=finding.message,
        hint=finding.hint,
        ref=finding.ref,
        attempts=before.attempts if before else 1,
        first_at=min(before.first_at, now) if before and before.kind == STATUS[finding.kind] else now,
    )


def _one(
    site: str,
    job: str,
    name: str,
    message: str,
    hint: str,
    wanted: DesiredSecret | None,
    before: OpenProblem | None,
    now: datetime,
    *,
    permanent: bool,
    ref: SecretRef | None = None,
) -> OpenProblem:
    version = wanted.version if wanted else ""
    ref = wanted.ref if wanted else ref
    same = before is not None and before.version == version and bool(before.retry_at) == permanent
    attempts = before.attempts + 1 if same and before else 1
    return OpenProblem(
        site=site,
        job=job,
        subject=name,
        kind="quarantined" if permanent else "failed",
        message=message,
        hint=hint,
        ref=ref,
        version=version,
        rule=wanted.rule if wanted else "",
        attempts=attempts,
        first_at=min(before.first_at, now) if same and before else now,
        retry_at=now + delay_after(attempts) if permanent else None,
    )
