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
    """Where a cycle's news go: the log, which is the audit trail too, and the metrics."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self._log = logger()

    def told(self, kind: str, thing: Outcome | Finding | ReadFailure, job: Any, target: str) -> None:
        """One outcome, finding or failure of a job on a target. `known`: the cycle before said the same."""
        if self._metrics:
            self._metrics.told(thing, job.name, target)
        log = self._log.bind(job=job.name, target=target)
        if isinstance(thing, Outcome):
            self._outcome(log, thing)
        elif isinstance(thing, ReadFailure):
            log.warning("source.unreadable", place=thing.place, message=thing.message, hint=thing.hint)
        elif thing.kind is FindingKind.WITHHELD:
            log.warning("plan.refused", message=thing.message, hint=thing.hint)
        elif thing.kind is not FindingKind.UNCHANGED:
            tell = log.debug if kind == "known" else log.warning if thing.kind in LOUD else log.info
            ref = str(thing.ref) if thing.ref else None
            tell(
                f"secret.{thing.kind.value.replace(' ', '_')}",
                name=thing.name,
                ref=ref,
                message=thing.message,
                hint=thing.hint,
            )

    def _outcome(self, log: Any, outcome: Outcome) -> None:
        action = outcome.action
        ref = action.record.ref if isinstance(action, Delete) else action.desired.ref
        version = action.record.version if isinstance(action, Delete) else action.desired.version
        log = log.bind(
            name=action.name,
            ref=str(ref),
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
        """A cycle ended."""
        log = self._log.bind(job=report.job, target=report.target)
        seconds = round(report.seconds, 3)
        fields: dict[str, Any] = {"exit_code": report.exit_code, "seconds": seconds}
        fields |= {word.replace(" ", "_"): number for word, number in counts.items()}
        if report.unsent:
            fields |= {"exit_code": report.exit_code or INTERRUPTED, "unsent": report.unsent}
        if isinstance(report.error, SyncdError):
            log.error("cycle.finished", error=report.error.message, hint=report.error.hint, **fields)
        else:
            log.info("cycle.finished", **fields)
