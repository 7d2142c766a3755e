"""Outcomes and findings as events: one name per thing that happens, with the ids that find it at Wix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncd.domain import (
    FAILING_KINDS,
    Delete,
    Finding,
    FindingKind,
    Outcome,
    ReadFailure,
    SyncReport,
    version_label,
)
from syncd.errors import INTERRUPTED, SecretGone, SyncdError
from syncd.telemetry.logs import logger

if TYPE_CHECKING:
    from syncd.telemetry.metrics import Metrics

LOUD = FAILING_KINDS | {FindingKind.DRIFT}


class Events:
    """Where a cycle's outcomes and findings go: the log and the metrics."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self._log = logger()

    def on_planned(self, count: int) -> None:
        """Do nothing when a round of actions begins: each action is an event of its own."""

    def on_failure(self, failure: ReadFailure, job: str, target: str) -> None:
        """A place of the source could not be read."""
        self._log.warning(
            "source.unreadable", job=job, target=target,
            place=failure.location, message=failure.message, hint=failure.hint,
        )  # fmt: skip

    def on_finding(self, finding: Finding, job: str, target: str, *, known: bool) -> None:
        """Log and count what a cycle found; at debug level if the cycle before found it already.

        A withheld class of actions is always a warning. Lasting drift is counted once. Unchanged secrets are not
        logged.
        """
        # What lasts is one change at Wix, in however many cycles it is found.
        if self._metrics and not (known and finding.kind is FindingKind.DRIFT):
            self._metrics.on_finding(finding, job, target)
        log = self._log.bind(job=job, target=target)
        if finding.kind is FindingKind.WITHHELD:
            log.warning("plan.refused", message=finding.message, hint=finding.hint)
        elif finding.kind is not FindingKind.UNCHANGED:
            write = log.debug if known else log.warning if finding.kind in LOUD else log.info
            write(
                f"secret.{finding.kind.value.replace(' ', '_')}",
                name=finding.name,
                ref=str(finding.ref) if finding.ref else None,
                message=finding.message,
                hint=finding.hint,
            )

    def on_outcome(self, outcome: Outcome, job: str, target: str) -> None:
        """Log and count an action that ended."""
        if self._metrics:
            self._metrics.on_outcome(outcome, job, target)
        action = outcome.action
        ref = action.record.ref if isinstance(action, Delete) else action.desired.ref
        version = action.record.version if isinstance(action, Delete) else action.desired.version
        log = self._log.bind(
            job=job,
            target=target,
            name=action.name,
            ref=str(ref),
            # Its label: the version of a KV v1 secret is a fingerprint, which is never shown.
            version=version_label(version),
            remote_id=outcome.remote_id,
            request_id=outcome.request_id,
            reason=str(getattr(action, "reason", "new")),
        )
        if outcome.error is not None:
            hint = outcome.error.hint if isinstance(outcome.error, SyncdError) else ""
            gone = isinstance(outcome.error, SecretGone)  # the cycle creates it anew
            tell = log.info if gone else log.warning
            tell("secret.gone" if gone else "secret.failed", action=outcome.verb, error=str(outcome.error), hint=hint)
        else:
            log.info("secret.sought" if outcome.verb == "seek" else f"secret.{outcome.verb}d")

    def finished(self, report: SyncReport, counts: dict[str, int]) -> None:
        """Log that a cycle ended, with its exit code, its seconds and its counts."""
        log = self._log.bind(job=report.job, target=report.target)
        seconds = round(report.seconds, 3)
        fields: dict[str, Any] = {"exit_code": report.exit_code, "seconds": seconds}
        fields |= {word.replace(" ", "_"): number for word, number in counts.items()}
        # Kept elsewhere with the log, they show a tail of the trail that was cut off.
        if report.audit_heads:
            fields["audit_heads"] = report.audit_heads
        # What was interrupted is no success, though nothing of it failed.
        if report.unsent:
            fields |= {"exit_code": report.exit_code or INTERRUPTED, "unsent": report.unsent}
        if isinstance(report.error, SyncdError):
            log.error("cycle.finished", error=report.error.message, hint=report.error.hint, **fields)
        else:
            log.info("cycle.finished", **fields)
