"""What one process reports with: log events, metrics and traces."""

from __future__ import annotations

from dataclasses import dataclass

from syncd.telemetry.events import Events
from syncd.telemetry.metrics import Metrics
from syncd.telemetry.traces import Traces, traces


@dataclass(frozen=True, slots=True)
class Instruments:
    """The means by which a daemon reports to its log, to Prometheus and to a tracing backend."""

    metrics: Metrics
    events: Events
    traces: Traces

    @classmethod
    def fresh(cls) -> Instruments:
        """New ones; metrics begin at zero."""
        metrics = Metrics()
        return cls(metrics, Events(metrics), traces())
