"""Where the golden pages find what they show: the only lines that a move changes."""

from __future__ import annotations

from typing import Any

from syncd.ledger import schema as tables
from syncd.reconcile import saved_plan as planfile
from syncd.telemetry.metrics import Metrics


def ledger_tables() -> list[Any]:
    return list(tables.metadata.sorted_tables)


def plan_file() -> tuple[str, set[str]]:
    return planfile.FORMAT, planfile.FIELDS


def metrics() -> list[Any]:
    return list(Metrics().registry.collect())


def metric_rows() -> list[tuple[str, tuple[str, ...], str]]:
    """Each metric's name as Prometheus shows it, its labels, and what it is."""
    found = []
    for collector in Metrics().registry._collector_to_names:
        one: Any = collector
        ends = {"counter": "_total", "histogram": "_bucket"}
        found.append((f"{one._name}{ends.get(one._type, '')}", tuple(one._labelnames), one._documentation))
    return found
