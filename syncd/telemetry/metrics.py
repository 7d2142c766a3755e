"""Prometheus metrics of a daemon. Labels are configured names and small fixed sets, never paths."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from syncd import __version__
from syncd.domain import STATUSES, Delete, Finding, FindingKind, Outcome, SyncReport, Update


class Metrics:
    """One registry; nothing global, so that tests and reloads start clean."""

    def __init__(self) -> None:
        self.registry = here = CollectorRegistry()
        self._duration = Histogram(
            "syncd_cycle_duration_seconds",
            "One cycle of a job on a target",
            ["job", "target"],
            buckets=(0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800),
            registry=here,
        )
        self._success = Gauge(
            "syncd_cycle_last_success_timestamp_seconds",
            "End of the last cycle that was done",
            ["job", "target"],
            registry=here,
        )
        self._secrets = Gauge("syncd_secrets", "Secrets in the ledger", ["job", "target", "status"], registry=here)
        self._actions = Counter("syncd_actions", "Actions at Wix", ["action", "outcome"], registry=here)
        self._source_calls = Counter("syncd_source_calls", "Calls to a source", ["source", "call"], registry=here)
        self._requests = Counter(
            "syncd_target_requests", "Requests to Wix", ["target", "method", "code"], registry=here
        )
        self._staleness = Histogram(
            "syncd_secret_staleness_seconds",
            "From a source version to its arrival at Wix",
            ["job"],
            buckets=(1, 5, 15, 60, 300, 900, 3600, 14400, 86400),
            registry=here,
        )
        self._drift = Counter("syncd_drift", "Changes by somebody else at Wix", ["job", "target"], registry=here)
        self._refusals = Counter(
            "syncd_guard_refusals", "Classes of actions withheld", ["job", "target"], registry=here
        )
        self._interval = Gauge(
            "syncd_job_interval_seconds", "Time from one run of a job to the next", ["job"], registry=here
        )
        self._rate = Gauge(
            "syncd_target_rate_limit_per_second", "Requests that a target's quota allows", ["target"], registry=here
        )
        self._expires = Gauge(
            "syncd_source_credential_expires_timestamp_seconds",
            "End of a Vault token that cannot be renewed any further",
            ["source"],
            registry=here,
        )
        self._reload = Gauge(
            "syncd_config_last_reload_successful", "1: the configuration in the file is the one in use", registry=here
        )
        self._reload.set(1)
        self._unshipped = Gauge(
            "syncd_audit_unshipped", "Lines of the audit trail that its sink has not got", registry=here
        )
        self._pairs: set[tuple[str, str]] = set()
        self._expiring: set[str] = set()
        Gauge("syncd_build_info", "Always 1", ["version"], registry=here).labels(__version__).set(1)

    def audit_unshipped(self, lines: int) -> None:
        """How many lines wait for their sink."""
        self._unshipped.set(lines)

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)

    def source_call(self, source: str, call: str) -> None:
        """A call to a source."""
        self._source_calls.labels(source, call).inc()

    def request(self, target: str, method: str, code: str) -> None:
        """A request to Wix."""
        self._requests.labels(target, method, code).inc()

    def configured(
        self,
        intervals: Mapping[str, float],
        rates: Mapping[str, float],
        pairs: AbstractSet[tuple[str, str]],
        sources: AbstractSet[str],
    ) -> None:
        """Seconds from run to run by job, requests a second by target; gauges of other (job, target) pairs go."""
        for job, target in self._pairs - pairs:
            with suppress(KeyError):
                self._success.remove(job, target)
            for status in STATUSES:
                with suppress(KeyError):
                    self._secrets.remove(job, target, status)
        self._pairs &= pairs
        for source in self._expiring - sources:
            self.expires(source, None)
        for gauge, numbers in ((self._interval, intervals), (self._rate, rates)):
            gauge.clear()
            for label, number in numbers.items():
                gauge.labels(label).set(number)

    def reloaded(self, *, well: bool) -> None:
        """The configuration's file was read again."""
        self._reload.set(int(well))

    def expires(self, source: str, at: datetime | None) -> None:
        """A source's token ends then, for good; None: it does not."""
        if at is not None:
            self._expiring.add(source)
            self._expires.labels(source).set(at.timestamp())
        else:
            with suppress(KeyError):
                self._expires.remove(source)

    def on_finding(self, finding: Finding, job: str, target: str) -> None:
        """Count what a cycle found."""
        if finding.kind is FindingKind.WITHHELD:
            self._refusals.labels(job, target).inc()
        elif finding.kind is FindingKind.DRIFT:
            self._drift.labels(job, target).inc()

    def on_outcome(self, outcome: Outcome, job: str, target: str) -> None:
        """Count an action that ended, and measure how long the secret waited for it."""
        action = outcome.action
        self._actions.labels(outcome.verb, "failed" if outcome.error else "done").inc()
        if outcome.restored:
            self._drift.labels(job, target).inc()
        if isinstance(action, Delete) or (isinstance(action, Update) and action.describe_only):
            return
        if outcome.error is None and outcome.at and action.desired.updated_at:
            age = (outcome.at - action.desired.updated_at).total_seconds()
            self._staleness.labels(job).observe(max(0.0, age))

    def counted(self, job: str, target: str, statuses: Mapping[str, int]) -> None:
        """How many secrets of a job are in each status on a target."""
        self._pairs.add((job, target))
        for status in STATUSES:
            self._secrets.labels(job, target, status).set(statuses.get(status, 0))

    def finished(self, report: SyncReport) -> None:
        """A cycle ended."""
        job, target = report.job, report.target
        self._pairs.add((job, target))
        self._duration.labels(job, target).observe(max(0.0, report.seconds))
        if report.exit_code in {0, 1, 6}:
            self._success.labels(job, target).set(report.finished_at.timestamp())
