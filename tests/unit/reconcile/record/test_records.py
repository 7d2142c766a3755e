"""What a cycle leaves behind: statuses, problems and their delays, its report."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import (
    Create,
    Delete,
    DesiredSecret,
    Finding,
    FindingKind,
    OpenProblem,
    Outcome,
    Pending,
    Plan,
    ReadFailure,
    Reason,
    Record,
    SecretRef,
    SyncReport,
    Update,
)  # fmt: skip
from syncd.errors import SecretRefused, SourceDenied, TargetDenied, TargetUnavailable
from syncd.reconcile.apply.result import ApplyResult
from syncd.reconcile.record.problems import FIRST_DELAY, Problems, delay_after
from syncd.reconcile.record.report import (
    LeftOut,
    counts,
    exit_code_of,
    findings_of,
    not_carried_out,
    reason_of,
)  # fmt: skip
from syncd.reconcile.record.statuses import changed_statuses, status_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
REF = SecretRef(source="vault", path="secret/a", field="k")
DESIRED = DesiredSecret(name="KEY", ref=REF, version="2", description="", job="job", rule="r1")
RECORD = Record(site="s", name="KEY", target="shop", job="job", ref=REF, remote_id="id", status="synced")
UPDATE = Update(desired=DESIRED, record=RECORD, reason=Reason.ROTATED)
DELETE = Delete(record=RECORD, reason="gone", kind=FindingKind.MISSING)
LOST, REFUSED = TargetUnavailable("lost", maybe_done=True), SecretRefused("too long")


def finding(kind: FindingKind, **more: Any) -> Finding:
    return Finding(kind=kind, name=more.pop("name", "KEY"), ref=REF, **more)


def outcome(error: Exception | None = None, action: Any = UPDATE) -> Outcome:
    return Outcome(action=action, error=error, remote_id="id", at=NOW)


@pytest.mark.parametrize(
    ("record", "found", "done", "status"),
    [
        (RECORD, None, outcome(), "synced"),
        (RECORD, FindingKind.UNCHANGED, None, "synced"),
        (replace(RECORD, status="behind"), None, None, "behind"),
        (RECORD, FindingKind.CONFLICT, None, "conflict"),
        (RECORD, FindingKind.DRIFT, None, "behind"),
        (RECORD, FindingKind.UNKNOWN, None, "behind"),
        (RECORD, FindingKind.MISSING, None, "missing"),
        (RECORD, None, outcome(REFUSED), "quarantined"),
        (RECORD, None, outcome(TargetDenied("no")), "failed"),
        (replace(RECORD, unverified=True), None, outcome(LOST), "unverified"),
        (replace(RECORD, pending=Pending.CREATE, remote_id=None), None, outcome(LOST), "pending"),
    ],
)
def test_a_status(record: Record, found: FindingKind | None, done: Outcome | None, status: str) -> None:
    assert status_of(record, finding(found) if found else None, done) == status


def test_a_job_judges_its_own_rows() -> None:
    other = replace(RECORD, job="other")
    failed = {"KEY": finding(FindingKind.FAILED)}
    assert changed_statuses([other], "job", failed, {}) == {}
    assert changed_statuses([RECORD], "job", failed, {}) == {"KEY": "failed"}
    assert changed_statuses([other], "job", {}, {"KEY": outcome(REFUSED)}) == {"KEY": "quarantined"}


def report(**more: Any) -> SyncReport:
    given = {"job": "job", "target": "shop", "started_at": NOW, "finished_at": NOW, "seconds": 1.0, "exit_code": 0}
    return SyncReport(**{**given, **more})


def problems(before: dict[str, OpenProblem] | None = None, statuses: dict[str, str] | None = None) -> Problems:
    return Problems(site="s", job="job", before=before or {}, statuses=statuses or {}, now=NOW)


@pytest.mark.parametrize(
    ("one", "statuses", "kind", "rests"),
    [
        (report(outcomes=(outcome(REFUSED),)), {}, "quarantined", True),
        (report(outcomes=(outcome(TargetDenied("no")),)), {}, "failed", False),
        (report(outcomes=(outcome(LOST),)), {"KEY": "unverified"}, "unverified", False),
        (report(outcomes=(outcome(LOST, Create(desired=DESIRED, record=None)),)), {"KEY": "pending"}, "pending", False),
        (report(findings=(finding(FindingKind.CONFLICT),)), {}, "conflict", False),
        (report(findings=(finding(FindingKind.DRIFT),)), {}, "behind", False),
        (report(findings=(finding(FindingKind.FAILED),), faulty={"KEY": DESIRED}), {}, "quarantined", True),
    ],
)
def test_a_problem(one: SyncReport, statuses: dict[str, str], kind: str, rests: bool) -> None:
    (found,) = problems(statuses=statuses).after(one).values()
    assert (found.kind, found.retry_at is not None, found.ref, found.attempts) == (kind, rests, REF, 1)


@pytest.mark.parametrize("kind", [FindingKind.ORPHAN, FindingKind.FROZEN, FindingKind.BEHIND])
def test_what_is_no_problem(kind: FindingKind) -> None:
    assert problems().after(report(findings=(finding(kind),))) == {}


def test_the_same_refusal_waits_longer_and_a_new_version_is_tried_anew() -> None:
    first = problems().after(report(outcomes=(outcome(REFUSED),)))
    second = problems(first).after(report(outcomes=(outcome(REFUSED),)))["KEY"]
    assert second.attempts == 2 and second.retry_at == NOW + 2 * FIRST_DELAY and second.first_at == NOW
    newer = replace(UPDATE, desired=replace(DESIRED, version="3"))
    assert problems(first).after(report(outcomes=(outcome(REFUSED, newer),)))["KEY"].attempts == 1
    assert delay_after(1) == FIRST_DELAY and delay_after(50) == timedelta(days=1)


def test_a_quarantine_that_still_holds_is_the_one_before() -> None:
    first = problems().after(report(outcomes=(outcome(REFUSED),)))
    assert problems(first).after(report(findings=(finding(FindingKind.QUARANTINED),))) == first


@pytest.mark.parametrize(
    ("applied", "interrupted", "why"),
    [
        (ApplyResult(broken=TargetDenied("no")), False, "refused the ones before"),
        (ApplyResult(slow_down=LOST), False, "asks to slow down"),
        (ApplyResult(), True, "interrupted"),
        (ApplyResult(), False, "not sent yet"),
    ],
)
def test_what_was_planned_and_not_sent(applied: ApplyResult, interrupted: bool, why: str) -> None:
    plan = Plan(actions=(UPDATE, replace(DELETE, record=replace(RECORD, name="OTHER"))))
    left = not_carried_out(plan, plan, applied, "interrupted" if interrupted else "")
    assert [found.kind for found in left.findings] == [FindingKind.BEHIND, DELETE.kind]
    assert all(why in found.message for found in left.findings), "what is due and still there is not synced either"
    other = replace(RECORD, name="OTHER")
    assert [row.status for row in left.rows_behind({"KEY": RECORD, "OTHER": other})] == ["behind", DELETE.kind.value]
    assert [row.status for row in left.rows_behind({"OTHER": replace(other, status="frozen")})] == []


def test_what_is_not_part_of_a_kept_plan_is_told_apart() -> None:
    left = not_carried_out(Plan(actions=(UPDATE,)), Plan(), ApplyResult(), "")
    assert "not part of what this command sends" in left.findings[0].message
    done = ApplyResult(outcomes=[outcome()])
    assert not_carried_out(Plan(actions=(UPDATE,)), Plan(actions=(UPDATE,)), done, "").findings == ()


def test_findings_of_a_whole_cycle() -> None:
    planned = (finding(FindingKind.UNCHANGED), finding(FindingKind.CONFLICT, name="OTHER"))
    found = findings_of(planned, (), (outcome(LOST),), LeftOut())
    assert [(one.kind, one.name) for one in found] == [
        (FindingKind.CONFLICT, "OTHER"), (FindingKind.UNVERIFIED, "KEY"),
    ]  # fmt: skip
    assert found[1].ref == REF and "lost" in found[1].message


@pytest.mark.parametrize(
    ("findings", "outcomes", "failures", "error", "code"),
    [
        ((), (), (), None, 0),
        ((finding(FindingKind.CONFLICT),), (), (), None, 1),
        ((finding(FindingKind.WITHHELD, exit_code=6),), (), (), None, 6),
        ((finding(FindingKind.CONFLICT),), (), (ReadFailure(location="x", message="no"),), None, 4),
        ((), (outcome(REFUSED),), (), None, 1),
        ((), (outcome(TargetDenied("no")),), (), None, 5),
        ((), (), (), SourceDenied("no"), 4),
        ((), (outcome(TargetDenied("no")), outcome()), (), None, 0),
    ],
)
def test_the_exit_code(findings: Any, outcomes: Any, failures: Any, error: Any, code: int) -> None:
    assert exit_code_of(findings, outcomes, failures, error) == code


def test_a_report_in_words() -> None:
    other = replace(UPDATE, desired=replace(DESIRED, name="OTHER"))
    taken = finding(FindingKind.CONFLICT, message="taken")
    one = report(outcomes=(outcome(), outcome(REFUSED, other)), findings=(taken,), exit_code=1)
    assert counts(one) == {"created": 0, "updated": 1, "deleted": 0, "failed": 1, "conflict": 1}
    assert reason_of(one) == "KEY: taken (and 1 more)" and reason_of(report()) == ""
    assert reason_of(report(error=SourceDenied("sealed"), exit_code=4)) == "sealed"


def test_what_is_said_of_another_spelling_is_said_of_the_same_secret() -> None:
    other = SecretRef(source="vault", path="secret/other", field="key")
    held = Finding(kind=FindingKind.HELD, name="key", ref=RECORD.ref)
    assert changed_statuses([RECORD], "job", {"key": held}, {}) == {"KEY": "held"}
    squatter = replace(held, kind=FindingKind.CONFLICT, ref=other)
    assert changed_statuses([RECORD], "job", {"key": squatter}, {}) == {}
