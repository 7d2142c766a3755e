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
