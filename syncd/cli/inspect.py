"""`syncd status` and `schema`: look, and change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from syncd.cli.context import ago, show, show_json, show_table
from syncd.cli.grouping import Problem, grouped_by_cause, names_in_words
from syncd.cli.json_rows import problem_row
from syncd.cli.parameters import Json
from syncd.models import Record, Trouble
from syncd.statuses import status_of_record

if TYPE_CHECKING:
    from syncd.bootstrap import App
    from syncd.world import Job


PROBE = "(probe)"
"""The job of scratch secrets."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(status)
    app.command()(schema)


def status(context: typer.Context, *, as_json: Json = False) -> int:
    """Show jobs, their last run, freshness, and what is failing."""
    with context.obj.open(writable=False) as app:
        now = app.world.clock()
        runs = {(run.job, run.target): run for run in app.ledger.runs()}
        rows, told = [], []
        for job in (app.world.jobs[name] for name in sorted(app.world.jobs)):
            for target in job.targets:
                run = runs.get((job.name, target))
                records = _of(app, job, target)
                schedule = app.settings.jobs[job.name].schedule
                following = _next_run(schedule, run.started_at if run else None, now)
                told.append(
                    {
                        "job": job.name,
                        "target": target,
                        "last_run_at": run.finished_at if run else None,
                        "last_success_at": run.succeeded_at if run else None,
                        "next_run_at": following,
                        "exit_code": run.exit_code if run else None,
                        "message": run.message if run else "",
                        "secrets": _tally(app, records),
                        "oldest_unsynced_at": _oldest(records),
                    }
                )
                tally = ", ".join(f"{number} {word}" for word, number in _tally(app, records).items())
                result = "never ran" if run is None else "ok" if run.exit_code == 0 else f"exit {run.exit_code}"
                rows.append(
                    [
                        job.name,
                        target,
                        result,
                        ago(run.finished_at if run else None, now),
                        ago(run.succeeded_at if run else None, now),
                        ("due" if following <= now else ago(following, now)) if following else "by hand",
                        tally or "none",
                        run.message if run else "",
                    ]
                )
        for (job_name, target), records in _left_over(app).items():
            tally = ", ".join(f"{number} {word}" for word, number in _tally(app, records).items())
            told.append(
                {
                    "job": job_name,
                    "target": target,
                    "last_run_at": None,
                    "last_success_at": None,
                    "next_run_at": None,
                    "exit_code": None,
                    "message": "no job sends these there any more",
                    "secrets": _tally(app, records),
                    "oldest_unsynced_at": None,
                }
            )
            why = "no job sends these there any more; see them: syncd state list"
            rows.append([job_name, target, "left over", "-", "-", "never", tally, why])
        troubles = sorted(app.ledger.all_troubles(), key=lambda one: (one.job, one.subject))
        if as_json:
            show_json({"jobs": told, "troubles": [problem_row(one) for one in troubles]})
            return 0
        show_table(["JOB", "TARGET", "RESULT", "LAST RUN", "LAST GOOD", "NEXT", "SECRETS", "WHY"], rows)
        if troubles:
            show()
            show_table(
                ["STATUS", "NAME", "JOB", "SINCE", "NEXT TRY", "WHY"],
                list(_problem_rows(troubles, now)),
            )
    return 0


def _problem_rows(problems: list[Trouble], now: datetime) -> Iterator[list[str]]:
    """What keeps failing, one row a cause."""
    pairs = [(_as_problem(one), one) for one in problems]
    rows = {id(problem): one for problem, one in pairs}
    for group in grouped_by_cause(problem for problem, _ in pairs):
        first = rows[id(group[0])]
        message, hint = (first.message, first.hint) if len(group) == 1 else group[0].cause[1:]
        retries = [rows[id(problem)].retry_at for problem in group]
        yield [
            first.kind,
            names_in_words([problem.name for problem in group]),
            first.job,
            ago(min(rows[id(problem)].first_at for problem in group), now),
            ago(min(at for at in retries if at), now) if all(retries) else "next cycle",
            message + (f"; mend: {hint}" if hint else ""),
        ]


def _as_problem(one: Trouble) -> Problem:
    return Problem(label=f"{one.kind} {one.job}", name=one.subject, message=one.message, hint=one.hint)


def _of(app: App, job: Job, target: str) -> list[Record]:
    return [record for record in app.ledger.records(app.world.site_of(target)) if record.job == job.name]


def _left_over(app: App) -> dict[tuple[str, str], list[Record]]:
    """Records of jobs that send nothing to their site any more, by job and target as they were."""
    served = app.served
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in app.ledger.records():
        if served.is_left_over(record) and record.job != PROBE:
            groups.setdefault((record.job, record.target), []).append(record)
    return dict(sorted(groups.items()))


def _tally(app: App, records: list[Record]) -> dict[str, int]:
    tally: dict[str, int] = {}
    now, served = app.world.clock(), app.served
    for record in records:
        word = status_of_record(record, served, now)
        tally[word] = tally.get(word, 0) + 1
    return dict(sorted(tally.items()))


def _oldest(records: list[Record]) -> Any:
    waiting = [r.last_synced_at for r in records if r.status not in {"synced", "orphan"} and r.last_synced_at]
    return min(waiting, default=None)


def _next_run(schedule: Any, last: Any, now: Any) -> Any:
    """When the daemon would run it next, by its schedule."""
    from zoneinfo import ZoneInfo

    from syncd.config.cron import fires

    if schedule is None:
        return None
    if schedule.every is not None:
        return max(now, last + schedule.every) if last else now
    return next(fires(schedule.cron, now.astimezone(ZoneInfo(schedule.timezone))), None)


def schema() -> int:
    """Print the configuration's JSON Schema, for editors."""
    from syncd.config import json_schema

    show_json(json_schema())
    return 0
