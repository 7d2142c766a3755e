"""What a finished cycle says, to people and to scripts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from syncd.cli.json_rows import report_row
from syncd.cli.output import show, show_json, warn
from syncd.domain import FAILING_KINDS, Finding, FindingKind, ReadFailure, SyncReport
from syncd.errors import SyncdError, worst
from syncd.report.grouping import Problem, grouped_by_cause, names_in_words, problem_lines


class ReportOutput:
    """Collect the output of finished cycles as text or JSON rows, so that no report of ten thousand secrets is kept."""

    def __init__(self, *, as_json: bool) -> None:
        import structlog

        from syncd.telemetry.events import Events
        from syncd.telemetry.traces import traces

        self._as_json = as_json
        self._events, self._traces = Events(), traces()
        self._run_id = str(structlog.contextvars.get_contextvars().get("run_id", ""))
        self._said: dict[tuple[str, str], dict[str, Any] | list[str]] = {}
        self._errors: dict[tuple[str, str], SyncdError] = {}
        self._codes: set[int] = set()

    def take(self, report: SyncReport) -> None:
        """Add the report of a cycle that ended. Its log events and traces are sent at once."""
        from syncd.reconcile.record.report import counts

        done, key = counts(report), (report.job, report.target)
        self._events.finished(report, done)
        self._traces.finished(report, done, self._run_id)
        self._codes.add(report.exit_code)
        words = ", ".join(f"{number} {IN_WORDS.get(word, word)}" for word, number in done.items())
        if restored := len({outcome.action.name for outcome in report.outcomes if outcome.restored}):
            words += f" ({restored} put back over what others did at Wix)"
        # A cycle that wrote before it failed tells what it wrote; the error has a line of its own.
        head = f"{report.job} -> {report.target}: {'failed' if report.error and not report.outcomes else words}"
        lines = [f"{report.job} -> {report.target}: {report.rests}"] if report.rests and not report.outcomes else [head]
        self._said[key] = report_row(report) if self._as_json else [*lines, *problems(report.findings, report)]
        if isinstance(report.error, SyncdError):
            self._errors[key] = report.error

    def show(self, order: list[tuple[str, str]]) -> int:
        """Print all that was collected, in this order of (job, target). Returns: the exit code."""
        self._traces.close()
        keys = [key for key in order if key in self._said]
        if self._as_json:
            show_json([self._said[key] for key in keys])
        else:
            for key in keys:
                for line in self._said[key]:
                    show(line)
        # Of all jobs together, at the end: a cause that many sites share is told once.
        for line in cycle_error_lines((*key, self._errors[key]) for key in keys if key in self._errors):
            warn(line)
        return worst(self._codes)


IN_WORDS = {"rule": "break a rule", "unreadable": "not readable"}
"""Words for people, for counts whose name in JSON is not plain."""
SHOWN = FAILING_KINDS | {
    FindingKind.WITHHELD,
    FindingKind.TAKEN_BACK,
    FindingKind.JOINED,
    FindingKind.HANDED_OVER,
    FindingKind.BEHIND,
    FindingKind.HELD,
    FindingKind.ROLLED_BACK,
    FindingKind.RULE,
    FindingKind.DRIFT,
    FindingKind.MISSING,
    FindingKind.ORPHAN,
    FindingKind.FROZEN,
    FindingKind.UNKNOWN,
}
"""Findings that a person should look at."""


def problems(
    findings: Iterable[Finding], report: SyncReport | None, failures: Iterable[ReadFailure] = ()
) -> Iterator[str]:
    """Yield lines about what a person should look at, each cause with its fix.

    `failures`: counts only without a `report`, which has its own.
    """
    return problem_lines(_problems(tuple(findings), report, report.failures if report else failures))


def _problems(
    findings: Sequence[Finding], report: SyncReport | None, failures: Iterable[ReadFailure]
) -> Iterator[Problem]:
    for failure in failures:
        yield Problem(label="unreadable", name=failure.location, message=failure.message, hint=failure.hint)
    # A cycle plans again and may try a name twice: its last word counts.
    last = {o.action.name: o for o in report.outcomes}.values() if report else ()
    failed = {o.action.name: o.error for o in last if isinstance(o.error, SyncdError)}
    unverified = {finding.name for finding in findings if finding.kind is FindingKind.UNVERIFIED}
    for name, error in failed.items():
        if name in unverified:
            continue  # the finding says what is known of it
        yield Problem(label="failed", name=name, message=error.message, hint=error.hint)
    for finding in findings:
        if finding.kind in SHOWN:
            where = (
                f"{finding.name} ({finding.ref})" if finding.ref and str(finding.ref) != finding.name else finding.name
            )
            yield Problem(label=finding.kind.value, name=where, message=finding.message, hint=finding.hint)
    if report and report.unsent:
        yield Problem(label="interrupted", name="", message=f"{report.unsent} not sent; the next cycle sends them")


def cycle_error_lines(errors: Iterable[tuple[str, str, SyncdError]]) -> Iterator[str]:
    """Errors that ended whole cycles (job, target, error): one line and one fix a cause."""
    problems = []
    for job, target, error in errors:
        # The key of the site is all in which one fault differs from site to site.
        message = re.sub(r"on site \S+", "on its site", error.message.removeprefix(f"{target}: "))
        problems.append((Problem(label="", name=target, message=message, hint=error.hint), job, error))
    # By identity: two jobs that meet the same fault on one target have equal problems.
    found = {id(problem): (job, error) for problem, job, error in problems}
    for group in grouped_by_cause(problem for problem, _, _ in problems):
        job, error = found[id(group[0])]
        if len(group) == 1:
            yield f"syncd: {job} -> {group[0].name}: {error.message.removeprefix(f'{group[0].name}: ')}"
        else:
            jobs = sorted({found[id(problem)][0] for problem in group})
            names = list(dict.fromkeys(problem.name for problem in group))
            targets = f"{len(names)} targets ({names_in_words(names)})" if len(names) > 1 else names[0]
            yield f"syncd: {names_in_words(jobs)} -> {targets}: {group[0].message}"
        if error.hint:
            yield f"  fix: {error.hint}"
