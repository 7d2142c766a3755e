"""What keeps failing, and when it is tried again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd.domain import DesiredSecret, Finding, FindingKind, OpenProblem, Outcome, SecretRef, SyncReport
from syncd.domain.plan import LOOKS_AGAIN
from syncd.domain.recency import LONGEST_DELAY
from syncd.errors import SecretRefused
from syncd.reconcile.record.statuses import STATUS, by_precedence

FIRST_DELAY = timedelta(minutes=10)
NO_PROBLEM = {
    FindingKind.ORPHAN,
    FindingKind.FROZEN,
    FindingKind.BEHIND,
    FindingKind.ROLLED_BACK,
}
"""Kinds of findings that have a status, but are no failure."""
UNSETTLED = {"failed", "quarantined", "unverified", "pending"}
"""Problems that only another try ends."""


def delay_after(attempts: int) -> timedelta:
    """Return how long a permanent refusal rests: ten minutes, then doubling with each attempt, a day at most.

    That makes some eight attempts in the first day.
    """
    return min(LONGEST_DELAY, FIRST_DELAY * float(2 ** min(attempts - 1, 10)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """One name that failed in this cycle."""

    name: str
    message: str
    hint: str
    permanent: bool
    """Trying again changes nothing until the source or the rule does."""
    ref: SecretRef | None
    desired: DesiredSecret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problems:
    """What failed before, and how a cycle changes it."""

    site: str
    job: str
    before: Mapping[str, OpenProblem]
    statuses: Mapping[str, str]
    """The status of each row after the cycle, which its problem has, too."""
    now: datetime

    def after(self, report: SyncReport) -> dict[str, OpenProblem]:
        """What keeps failing after a cycle, by name."""
        found: dict[str, OpenProblem] = {}
        # Only the last try counts: an earlier one may have been put right within the cycle.
        for outcome in {last.action.name: last for last in report.outcomes}.values():
            if outcome.error is not None:
                found[outcome.action.name] = self._of_failure(_of_outcome(outcome))
        for finding in by_precedence(report.findings):
            if finding.name and finding.name not in found:
                problem = self._of_finding(finding, report.faulty.get(finding.name))
                found |= {finding.name: problem} if problem else {}
        return found

    def _of_finding(self, finding: Finding, faulty: DesiredSecret | None) -> OpenProblem | None:
        earlier = self.before.get(finding.name)
        # It was not tried, so neither its delay nor its count of attempts moves.
        if finding.kind is FindingKind.QUARANTINED and earlier is not None:
            return earlier
        # What waits for its window failed before that, and is no better for it; what a rule denies is not tried again.
        waits = finding.kind is FindingKind.BEHIND and not finding.rule
        if waits and earlier is not None and earlier.kind in UNSETTLED:
            return earlier
        if finding.kind is FindingKind.FAILED and faulty is not None:
            return self._of_failure(
                _Failure(
                    name=finding.name,
                    message=finding.message,
                    hint=finding.hint,
                    permanent=True,
                    ref=faulty.ref,
                    desired=faulty,
                )
            )
        # What a rule keeps from a site that has an older version waits for somebody, too, and so does what lags.
        is_problem = finding.kind is FindingKind.BEHIND and (bool(finding.rule) or finding.hint == LOOKS_AGAIN)
        if finding.kind not in STATUS or (finding.kind in NO_PROBLEM and not is_problem):
            return None
        kind = STATUS[finding.kind]
        return OpenProblem(
            site=self.site,
            job=self.job,
            subject=finding.name,
            kind=kind,
            message=finding.message,
            hint=finding.hint,
            ref=finding.ref,
            attempts=earlier.attempts if earlier else 1,
            # A clock that was ahead when it began is not believed.
            first_at=min(earlier.first_at, self.now) if earlier and earlier.kind == kind else self.now,
        )

    def _of_failure(self, failure: _Failure) -> OpenProblem:
        earlier, desired = self.before.get(failure.name), failure.desired
        version = desired.version if desired else ""
        # A new version, or a failure of another kind, begins anew with the shortest delay.
        same = earlier is not None and earlier.version == version and bool(earlier.retry_at) == failure.permanent
        attempts = earlier.attempts + 1 if same and earlier else 1
        problem = OpenProblem(
            site=self.site,
            job=self.job,
            subject=failure.name,
            kind="quarantined" if failure.permanent else "failed",
            message=failure.message,
            hint=failure.hint,
            ref=failure.ref,
            version=version,
            rule=desired.rule if desired else "",
            attempts=attempts,
            first_at=min(earlier.first_at, self.now) if same and earlier else self.now,
            retry_at=self.now + delay_after(attempts) if failure.permanent else None,
        )
        status = self.statuses.get(failure.name)
        # With a lost answer nobody knows that it failed.
        if not failure.permanent and status in {"unverified", "pending"}:
            return replace(problem, kind=status)
        return problem


def _of_outcome(outcome: Outcome) -> _Failure:
    action, desired = outcome.action, getattr(outcome.action, "desired", None)
    ref = desired.ref if desired else action.record.ref if action.record else None
    return _Failure(
        name=action.name,
        message=str(outcome.error),
        hint=getattr(outcome.error, "hint", ""),
        permanent=isinstance(outcome.error, SecretRefused),
        ref=ref,
        desired=desired,
    )
