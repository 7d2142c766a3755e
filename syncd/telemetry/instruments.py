"""The voices of one process: its log events, its metrics, its traces."""

from __future__ import annotations

from dataclasses import dataclass

from syncd.telemetry.events import Events
from syncd.telemetry.metrics import Metrics
from syncd.telemetry.traces import Traces, traces


@dataclass(frozen=True, slots=True)
class Instruments:
    """What a daemon tells its log, Prometheus and a tracing backend with."""

    metrics: Metrics
    events: Events
    traces: Traces

    @classmethod
    def fresh(cls) -> Instruments:
        """New ones; metrics begin at zero."""
        metrics = Metrics()
        return cls(metrics, Events(metrics), traces())
