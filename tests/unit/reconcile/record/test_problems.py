"""How rarely what failed is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain import Finding, FindingKind, OpenProblem, SecretRef, SyncReport
from syncd.reconcile.record.problems import Problems, delay_after


def test_a_failing_secret_is_tried_at_most_once_an_hour_in_a_day() -> None:
    tries, at = 0, timedelta(0)
    while at < timedelta(days=1):
        tries += 1
        at += delay_after(tries)
    assert tries <= 24


NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
REF = SecretRef(source="vault", path="kv/app", field="v")


def problem(kind: str, attempts: int = 6) -> OpenProblem:
    return OpenProblem(
        site="s", job="j", subject="K", kind=kind, message="refused", hint="", ref=REF, attempts=attempts, first_at=NOW,
        retry_at=NOW + timedelta(hours=5) if kind == "quarantined" else None,
    )  # fmt: skip


def after(earlier: OpenProblem | None, *kinds: FindingKind) -> OpenProblem | None:
    """What is known of K after a cycle with these findings of it."""
    findings = tuple(Finding(kind=kind, name="K", ref=REF, message="outside the window") for kind in kinds)
    report = SyncReport(job="j", target="t", started_at=NOW, finished_at=NOW, seconds=0.0, findings=findings)
    before = {"K": earlier} if earlier else {}
    return Problems(site="s", job="j", before=before, statuses={}, now=NOW).after(report).get("K")


@pytest.mark.parametrize("kind", ["failed", "quarantined", "unverified", "pending"])
def test_what_waits_for_its_window_is_no_better_for_it(kind: str) -> None:
    assert after(problem(kind), FindingKind.BEHIND) == problem(kind), "nor does its delay begin anew"


@pytest.mark.parametrize("kind", ["conflict", "drift", "missing", "held"])
def test_what_ends_without_another_try_ends(kind: str) -> None:
    assert after(problem(kind), FindingKind.BEHIND) is None


def test_what_a_rule_denies_is_not_tried_again() -> None:
    denied = Finding(kind=FindingKind.BEHIND, name="K", ref=REF, message="denied", rule="no-prod")
    report = SyncReport(job="j", target="t", started_at=NOW, finished_at=NOW, seconds=0.0, findings=(denied,))
    before = {"K": problem("unverified")}
    (told,) = Problems(site="s", job="j", before=before, statuses={}, now=NOW).after(report).values()
    assert (told.kind, told.message, told.retry_at) == ("behind", "denied", None)


def test_what_is_as_it_should_be_has_no_problem() -> None:
    assert after(problem("failed"), FindingKind.UNCHANGED) is None and after(None, FindingKind.BEHIND) is None
