"""Write down what a finished cycle leaves in the ledger: statuses, problems and their delays, the run itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from syncd.domain import Finding, FindingKind, LastRun, Record, RemoteSecret, SyncReport
from syncd.domain.audit import Entry
from syncd.domain.decisions import HeldAction
from syncd.domain.ports import Journal, StateStore
from syncd.domain.recency import Since
from syncd.domain.write_window import LISTING_LAG
from syncd.errors import INTERRUPTED, WORKED, SyncdError
from syncd.reconcile.record.problems import Problems
from syncd.reconcile.record.report import LeftOut, counts, reason_of
from syncd.reconcile.record.statuses import by_precedence, changed_statuses
from syncd.reconcile.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Seen:
    """What a cycle that saw everything leaves."""

    rows: Sequence[Record]
    waiting: tuple[HeldAction, ...]
    """Held actions that wait for a release."""
    remote: tuple[RemoteSecret, ...]
    """The secrets of the site, as the last pass listed them."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """What was planned and not sent: findings and problems of these names have not ended."""
    still: tuple[HeldAction, ...] = ()
    """Held actions among `left_out` that wait for a release as before."""


def store_cycle_result(
    journal: Journal, runtime: Runtime, report: SyncReport, seen: Seen | None, *, is_part: bool = False
) -> None:
    """Write down how the cycle ended. Raises `LedgerError`.

    `seen`: the site's rows, what waits and what the site lists, as the last pass left them; None for a cycle that
    ended before it saw everything: then statuses, held actions and the listing stay as an earlier cycle left them, and
    only the run itself is kept. `is_part`: did the cycle leave out what it might have sent?
    """
    site = runtime.site_of(report.target)
    if seen is not None:
        _store_what_is_known(journal, runtime, report, site, seen)
        # Only a cycle that saw everything knows what still waits; another one leaves the batches as they are.
        journal.waits(report.job, (*seen.waiting, *seen.still), runtime.jobs_on(site))
        # No listing follows the deletions of this cycle, and one of another job's may lag behind them.
        at = report.finished_at
        deleted = runtime.store.deleted(site, Since(LISTING_LAG, at, at))
        journal.listed(secret for secret in seen.remote if secret.id not in deleted)
    journal.ran(_run(report, site, runtime.store, saw_all=seen is not None, is_part=is_part))


def _store_what_is_known(journal: Journal, runtime: Runtime, report: SyncReport, site: str, seen: Seen) -> None:
    silent = {FindingKind.TAKEN_BACK, FindingKind.HANDED_OVER, FindingKind.RULE}  # these say nothing of a status
    findings, own = dict[str, Finding](), {record.name: record.ref for record in seen.rows}
    # What is said of another secret that wants the name counts where nothing is said of the one that has it.
    told = sorted(by_precedence(report.findings), key=lambda item: item.ref not in {None, own.get(item.name)})
    for finding in told:
        if finding.name and finding.kind not in silent:
            findings.setdefault(finding.name, finding)
    # It waits for its release as before, whatever this cycle was asked to send.
    still = {item.name for item in seen.still} & findings.keys()
    findings |= {name: replace(findings[name], kind=FindingKind.HELD) for name in still}
    outcomes = {outcome.action.name: outcome for outcome in report.outcomes}
    changed = changed_statuses(seen.rows, report.job, findings, outcomes)
    rows = [replace(record, status=changed[record.name]) for record in seen.rows if record.name in changed]
    if rows:
        journal.write(put=rows)
    before = runtime.store.known_problems(site, report.job)
    statuses = {record.name: record.status for record in (*seen.rows, *rows)}
    problems = Problems(site=site, job=report.job, before=before, statuses=statuses, now=report.finished_at)
    # What was not tried is no better for it; nor is anything that a cycle did not come to.
    lasting = before.keys() if report.error is not None else seen.left_out.actions
    after = {name: before[name] for name in lasting if name in before} | problems.after(report)
    if after != before:
        journal.problems(site, report.job, after.values())
    # A cycle that ended early cannot say that a finding has ended.
    if report.error is None:
        journal.findings(report.job, open_findings(report, site), runtime.jobs_on(site), seen.left_out.told_under)


AUDITED = {
    FindingKind.DRIFT: "drift.found",
    FindingKind.ORPHAN: "orphan.found",
    FindingKind.WITHHELD: "limit.withheld",
    FindingKind.DENIED: "secret.denied",
    FindingKind.HELD: "secret.held",
}
"""Findings that have a line in the audit trail when they begin, and one when they end."""


def open_findings(report: SyncReport, site: str) -> dict[tuple[str, str], Entry]:
    """Return the audit lines of a report's findings, by event and name (for a whole class of actions: its verb)."""
    return {
        # A class that a limit withholds has no name: its verb tells one limit from another.
        (event, finding.name or finding.verb): Entry(
            event=event,
            name=finding.name or finding.verb or None,
            ref=str(finding.ref) if finding.ref else None,
            job=report.job,
            target=report.target,
            site=site,
            rule=finding.rule or None,
            detail={"message": finding.message},
        )
        for finding in report.findings
        if (event := _event_of(finding))
    }


def _event_of(finding: Finding) -> str | None:
    # A new version that a rule keeps from a site leaves the secret behind there: refused all the same.
    if finding.kind is FindingKind.BEHIND and finding.rule:
        return AUDITED[FindingKind.DENIED]
    return AUDITED.get(finding.kind)


def _run(report: SyncReport, site: str, store: StateStore, *, saw_all: bool, is_part: bool) -> LastRun:
    before = store.last_run(site, report.job)
    # When the last run began that left nothing out: the schedule counts from there.
    due_from = before.due_from if before else None
    part = {"part_since": due_from.isoformat() if due_from else None} if is_part else {}
    # The job worked, though some secrets failed or a limit withheld some.
    good = report.exit_code in WORKED and not report.unsent
    succeeded_at = report.finished_at if good else before.succeeded_at if before else None
    looked_at = report.looked_at if saw_all else before.looked_at if before else None
    never = {} if succeeded_at else {"tried_since": (before.good_since if before else report.started_at).isoformat()}
    if looked_at is None and (first := before.first_look if before else report.looked_at):
        never["first_look"] = first.isoformat()
    return LastRun(
        job=report.job,
        site=site,
        target=report.target,
        started_at=report.started_at,
        finished_at=report.finished_at,
        exit_code=report.exit_code or (INTERRUPTED if report.unsent else 0),
        message=f"interrupted: {report.unsent} not sent" if report.unsent else reason_of(report),
        succeeded_at=succeeded_at,
        counts=json.dumps(
            {
                **counts(report),
                "listing_calls": report.listing_calls,
                "means": dict(report.listing_methods),
                "saw_all": saw_all,
                **({"looked_at": looked_at.isoformat()} if looked_at else {}),
                **part,
                **never,
                # Who looks at a page has no log at hand that would tell what to do.
                **({"fix": report.error.hint} if isinstance(report.error, SyncdError) and report.error.hint else {}),
            }
        ),
    )
