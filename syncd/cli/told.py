"""What a finished cycle says, to people and to scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from syncd.cli.context import show, show_json, warn
from syncd.cli.json_rows import report_row
from syncd.errors import SyncdError, worst
from syncd.models import SERIOUS, Finding, Kind, SyncReport


class Told:
    """What reports say, kept as text: a report of ten thousand secrets is no longer needed once it has spoken."""

    def __init__(self, *, as_json: bool) -> None:
        import structlog

        from syncd.telemetry.events import Events
        from syncd.telemetry.traces import traces

        self._as_json = as_json
        self._events, self._traces = Events(), traces()
        self._run_id = str(structlog.contextvars.get_contextvars().get("run_id", ""))
        self._said: dict[tuple[str, str], dict[str, Any] | list[str]] = {}
        self._errors: dict[tuple[str, str], list[str]] = {}
        self._codes: set[int] = set()

    def take(self, report: SyncReport) -> None:
        """A cycle ended."""
        from syncd.record import counts

        done, key = counts(report), (report.job, report.target)
        self._events.finished(report, done)
        self._traces.finished(report, done, self._run_id)
        self._codes.add(report.exit_code)
        words = ", ".join(f"{number} {word}" for word, number in done.items())
        head = f"{report.job} -> {report.target}: {'failed' if report.error and not report.outcomes else words}"
        self._said[key] = report_row(report) if self._as_json else [head, *problems(report.findings, report)]
        if isinstance(report.error, SyncdError):
            hint = [f"  mend: {report.error.hint}"] if report.error.hint else []
            self._errors[key] = [f"syncd: {report.job} -> {report.target}: {report.error.message}", *hint]

    def show(self, order: list[tuple[str, str]]) -> int:
        """Everything that was told, in this order; the exit code."""
        self._traces.close()
        there = [key for key in order if key in self._said]
        if self._as_json:
            show_json([self._said[key] for key in there])
        else:
            for key in there:
                for line in self._said[key]:
                    show(line)
        for key in there:
            for line in self._errors.get(key, ()):
                warn(line)
        return worst(self._codes)


def problems(findings: tuple[Finding, ...], report: SyncReport | None) -> Iterator[str]:
    """What a person should look at, each with its mend."""
    for failure in report.failures if report else ():
        yield f"  unreadable  {failure.place}: {failure.message}"
        if failure.hint:
            yield f"              mend: {failure.hint}"
    failed = {o.action.name: o for o in report.outcomes}.values() if report else ()
    for outcome in failed:
        if isinstance(outcome.error, SyncdError):
            yield f"  failed      {outcome.action.name}: {outcome.error.message}"
            if outcome.error.hint:
                yield f"              mend: {outcome.error.hint}"
    for one in findings:
        if one.kind in SERIOUS or one.kind in {
            Kind.WITHHELD,
            Kind.JOINED,
            Kind.BEHIND,
            Kind.DRIFT,
            Kind.MISSING,
            Kind.ORPHAN,
            Kind.FROZEN,
            Kind.UNKNOWN,
        }:
            where = f"{one.name} ({one.ref})" if one.ref and str(one.ref) != one.name else one.name
            yield f"  {one.kind.value:11} {where}{': ' if where else ''}{one.message}"
            if one.hint:
                yield f"              mend: {one.hint}"
