"""Prometheus metrics of a daemon. Labels are configured names and small fixed sets, never paths."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from syncd import __version__
from syncd.domain import STATUSES, Delete, Finding, FindingKind, Outcome, SyncReport, Update
from syncd.errors import WORKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Families:
    """What is measured; the names and labels that dashboards and alerts rely on."""

    duration: Histogram
    success: Gauge
    secrets: Gauge
    actions: Counter
    source_calls: Counter
    requests: Counter
    staleness: Histogram
    drift: Counter
    refusals: Counter
    interval: Gauge
    rate: Gauge
    expires: Gauge
    reload: Gauge
    unshipped: Gauge
    notify_failures: Counter
    objective: Gauge


def _families(here: CollectorRegistry) -> Families:
    duration = Histogram(
        "syncd_cycle_duration_seconds",
        "One cycle of a job on a target",
        ["job", "target"],
        buckets=(0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800),
        registry=here,
    )
    success = Gauge(
        "syncd_cycle_last_success_timestamp_seconds",
        "End of the last cycle that was done",
        ["job", "target"],
        registry=here,
    )
    secrets = Gauge("syncd_secrets", "Secrets in the ledger", ["job", "target", "status"], registry=here)
    actions = Counter("syncd_actions", "Actions at Wix", ["action", "outcome"], registry=here)
    source_calls = Counter("syncd_source_calls", "Calls to a source", ["source", "call"], registry=here)
    requests = Counter("syncd_target_requests", "Requests to Wix", ["target", "method", "code"], registry=here)
    staleness = Histogram(
        "syncd_secret_staleness_seconds",
        "From a source version to its arrival at Wix",
        ["job"],
        buckets=(1, 5, 15, 60, 300, 900, 3600, 14400, 86400),
        registry=here,
    )
    drift = Counter("syncd_drift", "Changes by somebody else at Wix", ["job", "target"], registry=here)
    refusals = Counter("syncd_guard_refusals", "Classes of actions withheld", ["job", "target"], registry=here)
    interval = Gauge("syncd_job_interval_seconds", "Time from one run of a job to the next", ["job"], registry=here)
    rate = Gauge(
        "syncd_target_rate_limit_per_second", "Requests that a target's quota allows", ["target"], registry=here
    )
    expires = Gauge(
        "syncd_source_credential_expires_timestamp_seconds",
        "End of a Vault token that cannot be renewed any further",
        ["source"],
        registry=here,
    )
    reload = Gauge(
        "syncd_config_last_reload_successful", "1: the configuration in the file is the one in use", registry=here
    )
    unshipped = Gauge("syncd_audit_unshipped", "Lines of the audit trail that its sink has not got", registry=here)
    notify_failures = Counter("syncd_notify_failures", "Messages to people that could not be sent", registry=here)
    objective = Gauge(
        "syncd_job_objective_seconds", "How long after a source version every site must have it", ["job"], registry=here
    )
    return Families(
        duration=duration,
        success=success,
        secrets=secrets,
        actions=actions,
        source_calls=source_calls,
        requests=requests,
        staleness=staleness,
        drift=drift,
        refusals=refusals,
        interval=interval,
        rate=rate,
        expires=expires,
        reload=reload,
        unshipped=unshipped,
        notify_failures=notify_failures,
        objective=objective,
    )


class Metrics:
    """One registry; nothing global, so that tests and reloads start clean."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._families = _families(self.registry)
        # A daemon that started has its file in force.
        self._families.reload.set(1)
        self._pairs: set[tuple[str, str]] = set()
        self._expiring: set[str] = set()
        Gauge("syncd_build_info", "Always 1", ["version"], registry=self.registry).labels(__version__).set(1)

    def audit_unshipped(self, lines: int) -> None:
        """How many lines wait for their sink."""
        self._families.unshipped.set(lines)

    def notify_failed(self) -> None:
        """A message to people could not be sent."""
        self._families.notify_failures.inc()

    def objectives(self, seconds: Mapping[str, float]) -> None:
        """What each job promises; a job without a promise has no gauge."""
        self._families.objective.clear()
        for job, number in seconds.items():
            self._families.objective.labels(job).set(number)

    def text(self) -> bytes:
        """All metrics, in the text format that Prometheus reads."""
        return generate_latest(self.registry)

    def source_call(self, source: str, call: str) -> None:
        """A call to a source."""
        self._families.source_calls.labels(source, call).inc()

    def request(self, target: str, method: str, code: str) -> None:
        """A request to Wix."""
        self._families.requests.labels(target, method, code).inc()

    def configured(
        self,
        intervals: Mapping[str, float],
        rates: Mapping[str, float],
        pairs: AbstractSet[tuple[str, str]],
        sources: AbstractSet[str],
    ) -> None:
        """Seconds from run to run by job, requests a second by target; gauges of other (job, target) pairs go."""
        # A gauge that nobody sets any more would keep its alert firing.
        gone, families = self._pairs - pairs, self._families
        for job, target in gone:
            for family in (families.success, families.secrets, families.duration, families.drift, families.refusals):
                family.remove_by_labels({"job": job, "target": target})
        for job in {job for job, _ in gone} - {job for job, _ in pairs}:
            families.staleness.remove_by_labels({"job": job})
        for target in {target for _, target in gone} - {target for _, target in pairs}:
            families.requests.remove_by_labels({"target": target})
        self._pairs &= pairs
        for source in self._expiring - sources:
            self.expires(source, None)
        for gauge, numbers in ((self._families.interval, intervals), (self._families.rate, rates)):
            gauge.clear()
            for label, number in numbers.items():
                gauge.labels(label).set(number)

    def reloaded(self, *, well: bool) -> None:
        """The configuration's file was read again."""
        self._families.reload.set(int(well))

    def expires(self, source: str, at: datetime | None) -> None:
        """A source's token ends then, for good; None: it does not."""
        if at is not None:
            self._expiring.add(source)
            self._families.expires.labels(source).set(at.timestamp())
        else:
            with suppress(KeyError):
                self._families.expires.remove(source)

    def on_finding(self, finding: Finding, job: str, target: str) -> None:
        """Count what a cycle found."""
        if finding.kind is FindingKind.WITHHELD:
            self._families.refusals.labels(job, target).inc()
        elif finding.kind is FindingKind.DRIFT:
            self._families.drift.labels(job, target).inc()

    def on_outcome(self, outcome: Outcome, job: str, target: str) -> None:
        """Count an action that ended, and measure how long the secret waited for it."""
        action = outcome.action
        self._families.actions.labels(outcome.verb, "failed" if outcome.error else "done").inc()
        if outcome.restored:
            self._families.drift.labels(job, target).inc()
        # No value was sent, so none arrived late.
        if isinstance(action, Delete) or (isinstance(action, Update) and action.describe_only):
            return
        if action.desired.rolled_back:
            return  # an older version, on purpose: its age is no delay
        if outcome.error is None and outcome.at and action.desired.updated_at:
            age = (outcome.at - action.desired.updated_at).total_seconds()
            # The source's clock may be ahead of ours.
            self._families.staleness.labels(job).observe(max(0.0, age))

    def counted(self, job: str, target: str, statuses: Mapping[str, int]) -> None:
        """How many secrets of a job are in each status on a target."""
        self._pairs.add((job, target))
        # Zeros as well: a status that no secret has any more would keep its last number.
        for status in STATUSES:
            self._families.secrets.labels(job, target, status).set(statuses.get(status, 0))

    def finished(self, report: SyncReport) -> None:
        """A cycle ended."""
        job, target = report.job, report.target
        self._pairs.add((job, target))
        self._families.duration.labels(job, target).observe(max(0.0, report.seconds))
        # Some secrets failed (1) or were withheld (6), and the cycle was done: it does not count as stuck.
        if report.exit_code in WORKED:
            self._families.success.labels(job, target).set(report.finished_at.timestamp())
