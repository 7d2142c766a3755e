"""Prometheus metrics of a daemon. Labels are configured names and small fixed sets, never paths."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from syncd import __version__
from syncd.domain import STATUSES, Finding, FindingKind, Outcome, SyncReport
from syncd.domain.audit import rotated_at
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
    gap: Gauge
    rate: Gauge
    expires: Gauge
    reload: Gauge
    unshipped: Gauge
    notify_failures: Counter
    objective: Gauge
    missed: Gauge
    paused: Gauge


JOB_TARGET = ("job", "target")
SECONDS_OF_A_CYCLE = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800)
SECONDS_TO_ARRIVE = (1, 5, 15, 60, 300, 900, 3600, 14400, 86400)


def _families(here: CollectorRegistry) -> Families:
    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"syncd_{name}", text, labels, registry=here)

    def counter(name: str, text: str, *labels: str) -> Counter:
        return Counter(f"syncd_{name}", text, labels, registry=here)

    def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"syncd_{name}", text, labels, buckets=buckets, registry=here)

    return Families(
        duration=histogram(
            "cycle_duration_seconds", "One cycle of a job on a target", *JOB_TARGET, buckets=SECONDS_OF_A_CYCLE
        ),
        success=gauge(
            "cycle_last_success_timestamp_seconds",
            "End of the last cycle that was done; one that rests for a pause is none",
            *JOB_TARGET,
        ),
        secrets=gauge("secrets", "Secrets of a job on a target, with those that never arrived", *JOB_TARGET, "status"),
        actions=counter("actions", "Actions at Wix", "action", "outcome"),
        source_calls=counter("source_calls", "Calls to a source", "source", "call"),
        requests=counter("target_requests", "Requests to Wix", "target", "method", "code"),
        staleness=histogram(
            "secret_staleness_seconds",
            "From a new source version to its arrival at Wix; first arrivals and restores are none",
            "job",
            buckets=SECONDS_TO_ARRIVE,
        ),
        drift=counter("drift", "Changes by somebody else at Wix", *JOB_TARGET),
        refusals=counter("guard_refusals", "Cycles in which a limit withheld a class of actions", *JOB_TARGET),
        interval=gauge("job_interval_seconds", "Time from one run of a job to the next", "job"),
        gap=gauge(
            "job_longest_gap_seconds", "The same over the nights and weekends that a cron line leaves out", "job"
        ),
        rate=gauge("target_rate_limit_per_second", "Requests that a target's quota allows", "target"),
        expires=gauge(
            "source_credential_expires_timestamp_seconds",
            "End of a Vault token that cannot be renewed any further",
            "source",
        ),
        reload=gauge("config_last_reload_successful", "1: the configuration in the file is the one in use"),
        unshipped=gauge("audit_unshipped", "Lines of the audit trail that its sink has not got"),
        notify_failures=counter("notify_failures", "Messages to people that could not be sent"),
        objective=gauge("job_objective_seconds", "How long after a source version every site must have it", "job"),
        missed=gauge(
            "objective_missed",
            "1: a new version, or a look at all, has waited for longer than the job's objective",
            *JOB_TARGET,
        ),
        paused=gauge("job_paused", "1: a person paused the job on this target", *JOB_TARGET),
    )


class Metrics:
    """The metrics of one daemon, in a registry of their own; nothing is global, so that each test starts at zero."""

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
        """Count a message to people that could not be sent."""
        self._families.notify_failures.inc()

    def objectives(self, seconds: Mapping[str, float]) -> None:
        """Set the objective of each job, in seconds; a job without an objective has no gauge.

        Which objectives are missed is cleared until `standing` sets it again.
        """
        self._families.objective.clear()
        self._families.missed.clear()
        for job, number in seconds.items():
            self._families.objective.labels(job).set(number)

    def text(self) -> bytes:
        """All metrics, in the text format that Prometheus reads."""
        return generate_latest(self.registry)

    def source_call(self, source: str, call: str) -> None:
        """Count a call to a source."""
        self._families.source_calls.labels(source, call).inc()

    def request(self, target: str, method: str, code: str) -> None:
        """Count a request to Wix."""
        self._families.requests.labels(target, method, code).inc()

    def configured(
        self,
        intervals: Mapping[str, float],
        gaps: Mapping[str, float],
        rates: Mapping[str, float],
        pairs: AbstractSet[tuple[str, str]],
        sources: AbstractSet[str],
    ) -> None:
        """Set the seconds from run to run by job, the usual and the longest ones, and the requests a second by target.

        `pairs`: the configured (job, target) pairs; `sources`: the configured sources. What the metrics have of others
        is removed.
        """
        # A gauge that nobody sets any more would keep its alert firing.
        gone, families = self._pairs - pairs, self._families
        for job, target in gone:
            for family in (
                families.success, families.secrets, families.duration, families.drift, families.refusals,
                families.missed, families.paused,
            ):  # fmt: skip
                family.remove_by_labels({"job": job, "target": target})
        for job in {job for job, _ in gone} - {job for job, _ in pairs}:
            families.staleness.remove_by_labels({"job": job})
        for target in {target for _, target in gone} - {target for _, target in pairs}:
            families.requests.remove_by_labels({"target": target})
        self._pairs = set(pairs)
        # From zero on: a counter that is born with 1 hides its first step from `increase`.
        for pair in pairs:
            families.drift.labels(*pair)
            families.refusals.labels(*pair)
        for job in {job for job, _ in pairs}:
            families.staleness.labels(job)
        for source in self._expiring - sources:
            self.expires(source, None)
        for gauge, numbers in ((families.interval, intervals), (families.gap, gaps), (families.rate, rates)):
            gauge.clear()
            for label, number in numbers.items():
                gauge.labels(label).set(number)

    def reloaded(self, *, well: bool) -> None:
        """Set whether the configuration in the file is the one in use."""
        self._families.reload.set(int(well))

    def expires(self, source: str, at: datetime | None) -> None:
        """Set when a source's token ends for good; None: it does not, and the gauge is removed."""
        if at is not None:
            self._expiring.add(source)
            self._families.expires.labels(source).set(at.timestamp())
        else:
            with suppress(KeyError):
                self._families.expires.remove(source)

    def on_finding(self, finding: Finding, job: str, target: str) -> None:
        """Count a finding that is drift, or a class of actions that a limit withheld; others are not counted."""
        if finding.kind is FindingKind.WITHHELD:
            self._families.refusals.labels(job, target).inc()
        elif finding.kind is FindingKind.DRIFT:
            self._families.drift.labels(job, target).inc()

    def on_outcome(self, outcome: Outcome, job: str, target: str) -> None:
        """Count an action that ended, and for a rotated secret measure how long the new version took to arrive.

        A secret that was restored after somebody's change is also counted as drift.
        """
        self._families.actions.labels(outcome.verb, "failed" if outcome.error else "done").inc()
        if outcome.restored:
            self._families.drift.labels(job, target).inc()
        made = rotated_at(outcome.action)
        if outcome.error is None and outcome.at and made:
            # The source's clock may be ahead of ours.
            self._families.staleness.labels(job).observe(max(0.0, (outcome.at - made).total_seconds()))

    def standing(self, job: str, target: str, *, is_paused: bool, is_late: bool | None) -> None:
        """Set whether a job is paused on a target, and misses its objective there (`is_late` None: it has none)."""
        self._pairs.add((job, target))
        self._families.paused.labels(job, target).set(int(is_paused))
        if is_late is not None:
            self._families.missed.labels(job, target).set(int(is_late))

    def counted(self, job: str, target: str, statuses: Mapping[str, int]) -> None:
        """How many secrets of a job are in each status on a target."""
        self._pairs.add((job, target))
        # Zeros as well: a status that no secret has any more would keep its last number.
        for status in STATUSES:
            self._families.secrets.labels(job, target, status).set(statuses.get(status, 0))

    def finished(self, report: SyncReport) -> None:
        """Record how long a cycle took and, if it did its work, when it ended.

        A cycle that rested or was interrupted is left out.
        """
        # One that rests, or was interrupted, did not do what it is for.
        if report.rests or report.unsent:
            return
        job, target = report.job, report.target
        self._pairs.add((job, target))
        self._families.duration.labels(job, target).observe(max(0.0, report.seconds))
        # Some secrets failed (1) or were withheld (6), and the cycle was done: it does not count as stuck.
        if report.exit_code in WORKED:
            self._families.success.labels(job, target).set(report.finished_at.timestamp())
