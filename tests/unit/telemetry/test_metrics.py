"""What is counted, and what is not: numbers that an alert fires on have to be true."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import (
    Create,
    DesiredSecret,
    Finding,
    FindingKind,
    Outcome,
    Reason,
    Record,
    SecretRef,
    SyncReport,
    Update,
)
from syncd.telemetry.events import Events
from syncd.telemetry.metrics import Metrics

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
PAIR = {"job": "job", "target": "shop"}
REF = SecretRef(source="vault", path="kv/app", field="v")
DESIRED = DesiredSecret(
    name="N", ref=REF, version="kv2:2@x", description="", job="job", updated_at=NOW - timedelta(days=700)
)
RECORD = Record(site="s", name="N", target="shop", job="job", ref=REF, version="kv2:1@x", remote_id="id")


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    made.configured({"job": 300.0}, {"job": 300.0}, {"shop": 3.0}, {("job", "shop")}, {"vault"})
    return made


def value(metrics: Metrics, name: str, **labels: str) -> Any:
    return metrics.registry.get_sample_value(name, labels)


@pytest.mark.parametrize("kind", [FindingKind.DRIFT, FindingKind.WITHHELD])
def test_a_counter_is_there_before_its_first_step(metrics: Metrics, kind: FindingKind) -> None:
    """`increase` sees no step of a series that is born with it."""
    name = "syncd_drift_total" if kind is FindingKind.DRIFT else "syncd_guard_refusals_total"
    assert value(metrics, name, **PAIR) == 0
    Events(metrics).on_finding(Finding(kind=kind, name="N", message="x"), "job", "shop", known=False)
    assert value(metrics, name, **PAIR) == 1


def test_a_change_that_lasts_is_one(metrics: Metrics) -> None:
    events, found = Events(metrics), Finding(kind=FindingKind.DRIFT, name="N", message="x")
    for known in (False, True, True):
        events.on_finding(found, "job", "shop", known=known)
    assert value(metrics, "syncd_drift_total", **PAIR) == 1


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.ROTATED])
def test_what_is_no_rotation_did_not_arrive_late(metrics: Metrics, reason: Reason) -> None:
    metrics.on_outcome(Outcome(action=Update(desired=DESIRED, record=RECORD, reason=reason), at=NOW), "job", "shop")
    metrics.on_outcome(Outcome(action=Create(desired=DESIRED), at=NOW), "job", "shop")
    assert value(metrics, "syncd_secret_staleness_seconds_count", job="job") == 0


def test_a_rotation_is_measured_by_its_sources_date(metrics: Metrics) -> None:
    late = replace(DESIRED, updated_at=NOW - timedelta(seconds=90))
    rotated = Update(desired=late, record=RECORD, reason=Reason.ROTATED)
    metrics.on_outcome(Outcome(action=rotated, at=NOW), "job", "shop")
    assert value(metrics, "syncd_secret_staleness_seconds_sum", job="job") == 90


@pytest.mark.parametrize(("more", "counts"), [({}, True), ({"rests": "a pause"}, False), ({"unsent": 2}, False)])
def test_a_cycle_that_rests_is_no_success(metrics: Metrics, more: dict[str, Any], counts: bool) -> None:
    report = SyncReport(job="job", target="shop", started_at=NOW, finished_at=NOW, **more)
    metrics.finished(report)
    assert (value(metrics, "syncd_cycle_last_success_timestamp_seconds", **PAIR) is not None) is counts


def test_an_objective_that_is_missed_is_told_until_the_job_promises_none(metrics: Metrics) -> None:
    metrics.standing("job", "shop", is_paused=False, is_late=True)
    assert value(metrics, "syncd_objective_missed", **PAIR) == 1 and value(metrics, "syncd_job_paused", **PAIR) == 0
    metrics.objectives({})
    metrics.standing("job", "shop", is_paused=True, is_late=None)
    assert value(metrics, "syncd_objective_missed", **PAIR) is None and value(metrics, "syncd_job_paused", **PAIR) == 1
