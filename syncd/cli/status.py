"""`syncd status`: jobs, their last run, freshness, and what is failing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from syncd.cli.json_rows import problem_row
from syncd.cli.output import ago, show, show_json, show_table
from syncd.cli.parameters import JobFilter, Json, StatusFilter, TargetFilter, see_known, see_status
from syncd.cli.status_entries import LEFT_OVER, configured, left_over
from syncd.domain import OpenProblem
from syncd.report.grouping import Problem, grouped_by_cause, names_in_words

if TYPE_CHECKING:
    from syncd.bootstrap.app import App


NEXT = {"held": "after a release"}
"""When a problem without a time for its next try is tried again, by its kind; all others: in the next cycle."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(status)


def status(
    context: typer.Context,
    *,
    job: JobFilter = None,
    target: TargetFilter = None,
    state: StatusFilter = None,
    as_json: Json = False,
) -> int:
    """Show jobs, their last run, freshness, and what is failing."""
    from syncd.report.parts import strays

    see_status(state)
    with context.obj.open(writable=False) as app:
        see_known(app, job, target)
        now = app.runtime.clock()
        entries = [*configured(app, now), *left_over(app)]
        entries = [entry for entry in entries if job in {None, entry["job"]} and target in {None, entry["target"]}]
        if state:
            entries = [entry for entry in entries if state in entry["secrets"]]
        sites = {app.site_of(target)} if target in app.settings.targets else set()
        problems = [
            problem
            for problem in sorted(app.ledger.all_problems(), key=lambda problem: (problem.job, problem.subject))
            if job in {None, problem.job}
            and state in {None, problem.kind}
            and (target is None or problem.site in sites)
        ]
        # Reversed, so that the first of two targets on one site names it.
        targets = {app.site_of(name): name for name in reversed(app.settings.targets)}
        if as_json:
            troubles = [{**problem_row(problem), "target": targets.get(problem.site)} for problem in problems]
            show_json({"jobs": entries, "troubles": troubles, "strays": strays(app)})
            return 0
        headers = ["JOB", "TARGET", "RESULT", "LAST RUN", "LAST GOOD", "DUE", "SECRETS", "WHY"]
        stale = _stale(app)
        show_table(headers, [_entry_row(entry, now, (entry["job"], entry["target"]) in stale) for entry in entries])
        if problems:
            show()
            headers = ["STATUS", "NAME", "JOB", "TARGET", "SINCE", "NEXT TRY", "WHY"]
            show_table(headers, list(_problem_rows(problems, targets, now)))
        if state in {None, "rolled_back"}:
            _show_rollbacks(app, job, target)
        if state in {None, "frozen"}:
            _show_frozen(app, job, target, now)
        if (job, target, state) == (None, None, None):
            _show_strays(strays(app))
    return 0


def _show_strays(found: list[dict[str, Any]]) -> None:
    if found:
        named = names_in_words([f"{row['name']} on {row['target']}" for row in found])
        show()
        show(f"{len(found)} with our mark are at Wix and in no ledger, so no cycle looks at them: {named}")
        show("  fix: let a rule give the name, and it is taken back; or delete it at Wix")


def _show_rollbacks(app: App, job: str | None, target: str | None) -> None:
    """Show what a person rolled back, until when and why. Nothing of it is a failure, and somebody has to end it."""
    from syncd.reconcile.rollback_reach import reach_of

    rollbacks = app.ledger.decisions.rollbacks()
    if job is not None or target is not None:
        site = app.site_of(target) if target else None
        rows = [row for row in app.ledger.records(site) if job in {None, row.job}]
        here = reach_of(app.runtime, rows, rollbacks).by_path if rollbacks else {}
        rollbacks = {key: rollback for key, rollback in rollbacks.items() if here.get(key)}
    if rollbacks:
        show()
    for (source, path), rollback in sorted(rollbacks.items())[:MOST_LINES]:
        what = f"{source}:{path}"
        show(f"{what}: {rollback}; end: syncd rollback {what} --end --reason '…'")
    if len(rollbacks) > MOST_LINES:
        show(f"and {len(rollbacks) - MOST_LINES} more are rolled back: syncd state list --status rolled_back")


def _show_frozen(app: App, job: str | None, target: str | None, now: datetime) -> None:
    """Show which secrets a person froze, until when, and how to end that."""
    sites = frozenset({app.site_of(target)}) if target in app.settings.targets else None
    every = app.ledger.frozen(now, MOST_FROZEN, sites)
    frozen = [record for record in every if job in {None, record.job}]
    if frozen:
        show()
    for record in frozen[:MOST_LINES]:
        place = app.first_target_on(record.site, record.job)
        until = f"frozen until {record.frozen_until:%Y-%m-%d %H:%M} UTC"
        # One on a site that no target names any more rests without being asked.
        end = f"; end: syncd state thaw {record.name} --target {place}" if place in app.settings.targets else ""
        show(f"{record.name} on {place}: {until}{end}")
    if len(frozen) > MOST_LINES:
        show("and more are frozen: syncd state list --status frozen")


MOST_FROZEN = 10_000
"""Most frozen secrets that are read to find those of one job."""
MOST_LINES = 20
"""Most lines about rollbacks, and about frozen secrets, that are shown; all secrets of a job may be meant."""


def _entry_row(entry: dict[str, Any], now: datetime, is_stale: bool) -> list[str]:
    tally = ", ".join(f"{number} {word}" for word, number in entry["secrets"].items())
    if entry["message"] == LEFT_OVER:
        why = f"{LEFT_OVER}; see them: syncd state list"
        return [entry["job"], entry["target"], "left over", "-", "-", "never", tally, why]
    code, following = entry["exit_code"], entry["next_run_at"]
    why = entry["message"] or (_why_stale(entry, now) if is_stale else "")
    return [
        entry["job"],
        entry["target"],
        "paused" if entry["paused"] else "never ran" if code is None else "ok" if code == 0 else f"exit {code}",
        ago(entry["last_run_at"], now),
        ago(entry["last_success_at"], now),
        "rests" if entry["paused"] else _next_in_words(following, now),
        tally or "none",
        "; ".join(filter(None, [why, _why_late(entry)])),
    ]


def _next_in_words(at: datetime | None, now: datetime) -> str:
    return "by hand" if at is None else "due" if at <= now else ago(at, now)


def _why_late(entry: dict[str, Any]) -> str:
    return f"over its objective: {entry['late']}" if entry["late"] else ""


def _stale(app: App) -> set[tuple[str, str]]:
    """Return the jobs and targets whose secrets are `behind` because no cycle has looked there for too long."""
    found, jobs = app.served.stale, app.runtime.jobs
    return {(job, target) for job in jobs for target in jobs[job].targets if (app.site_of(target), job) in found}


def _why_stale(entry: dict[str, Any], now: datetime) -> str:
    since = ago(entry["last_run_at"], now)
    return f"no cycle has looked at everything since {since}: does syncd run go on? At once: syncd sync {entry['job']}"


def _problem_rows(problems: list[OpenProblem], targets: dict[str, str], now: datetime) -> Iterator[list[str]]:
    """Yield the rows of the table of problems; many problems of one cause share a row.

    `targets`: the names of targets by site.
    """
    pairs = [(_as_problem(problem), problem) for problem in problems]
    rows = {id(problem): row for problem, row in pairs}
    for group in grouped_by_cause(problem for problem, _ in pairs):
        first = rows[id(group[0])]
        # The cause of many has NAME in the place of each one's name.
        message, hint = (first.message, first.hint) if len(group) == 1 else group[0].cause[1:]
        retries = [rows[id(problem)].retry_at for problem in group]
        places = sorted({targets.get(rows[id(problem)].site, rows[id(problem)].site) for problem in group})
        yield [
            first.kind,
            names_in_words(list(dict.fromkeys(problem.name for problem in group))),
            first.job,
            names_in_words(places),
            ago(min(rows[id(problem)].first_at for problem in group), now),
            # One that rests for no time is tried in the next cycle, which comes before any date.
            # What is held is tried by nobody before a person decides.
            ago(min(at for at in retries if at), now) if all(retries) else NEXT.get(first.kind, "next cycle"),
            message + (f"; fix: {hint}" if hint else ""),
        ]


def _as_problem(problem: OpenProblem) -> Problem:
    return Problem(
        label=f"{problem.kind} {problem.job}", name=problem.subject, message=problem.message, hint=problem.hint
    )
