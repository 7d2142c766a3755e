"""OpenTelemetry spans of cycles, where an endpoint is configured (the standard OTEL_EXPORTER_OTLP_… variables)."""

from __future__ import annotations

import os
import threading
from datetime import datetime
from typing import Any, Protocol

from syncd import __version__
from syncd.domain import SyncReport
from syncd.errors import SyncdError
from syncd.telemetry.logs import logger
from syncd.transport.fault_words import in_words

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SECONDS = 3.0
"""Seconds that a collector has for one batch, and that `close` waits, whatever the environment says."""


class Traces(Protocol):
    """Takes the finished cycles and reports them to a tracing backend."""

    def finished(self, report: SyncReport, counts: dict[str, int], run_id: str) -> None:
        """Report that a cycle ended. `counts`: its numbers, by what they count; `run_id`: the id of its run."""

    def close(self) -> None:
        """Send what is left."""


class NoTraces:
    """Report nothing: no endpoint is configured, or it cannot be used."""

    def finished(self, report: SyncReport, counts: dict[str, int], run_id: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class OtlpTraces:
    """A span a cycle, with an event for each action; names and ids, never values."""

    def __init__(self) -> None:
        """Set up the exporter for the endpoint that the OTEL variables name.

        Raises `ImportError` without the packages of the extra `otel`, `ValueError` or `TypeError` for odd variables.
        """
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        named = {"service.name": os.environ.get("OTEL_SERVICE_NAME", "syncd"), "service.version": __version__}
        # Not by the SDK at exit: it would wait for its collector, however silent that is. `close` ends it in time.
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=SECONDS)))
        self._tracer = self._provider.get_tracer("syncd", __version__)

    def finished(self, report: SyncReport, counts: dict[str, int], run_id: str) -> None:
        """The cycle as a span with its own times."""
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

        attributes: dict[str, Any] = {f"syncd.{word.replace(' ', '_')}": number for word, number in counts.items()}
        attributes |= {"syncd.job": report.job, "syncd.target": report.target, "syncd.exit_code": report.exit_code}
        span = self._tracer.start_span(
            "syncd.cycle", start_time=_nanoseconds(report.started_at), attributes={**attributes, "syncd.run_id": run_id}
        )
        for outcome in report.outcomes:
            about = {"name": outcome.action.name, "remote_id": outcome.remote_id, "request_id": outcome.request_id}
            done = "failed" if outcome.error else "done"
            at = _nanoseconds(outcome.at or report.finished_at)
            span.add_event(f"secret.{outcome.verb}", {**about, "outcome": done}, at)
        # Our own words alone: the message of a library may hold anything.
        if isinstance(report.error, SyncdError):
            span.set_status(Status(StatusCode.ERROR, report.error.message))
        span.end(_nanoseconds(report.finished_at))

    def close(self) -> None:
        """Send what is left, within a few seconds; a silent collector stops nothing."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(SECONDS)


def traces() -> Traces:
    """OTLP traces where an `OTEL_EXPORTER_OTLP_…` endpoint is set and the extra is there; else none."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return NoTraces()
    try:
        return OtlpTraces()
    except ImportError:
        hint = "pip install 'syncd[otel]', or unset the endpoint"
    # Odd variables leave the traces out; they stop no daemon.
    except (ValueError, TypeError) as error:
        hint = f"see the OTEL_ variables ({in_words(error)})"
    logger().warning("traces.unavailable", hint=hint)
    return NoTraces()


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
