"""What `syncd status` tells of each job on each target: its last run, when it is due, its secrets by status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from syncd.domain import Record
from syncd.domain.statuses import status_of_record
from syncd.report.lateness import why_late

if TYPE_CHECKING:
    from syncd.bootstrap.app import App

NOTHING: Mapping[str, int] = {}
PROBE = "(probe)"
"""The job name in records of the scratch secrets that `syncd check --probe` writes."""
LEFT_OVER = "no job sends these there any more"


def configured(app: App, now: datetime) -> Iterator[dict[str, Any]]:
    """Each configured job on each of its targets, with its last run."""
    runs = {(run.job, run.site): run for run in app.ledger.runs()}
    held, never_arrived = _records_by_job(app), _never_arrived(app)
    for job in (app.runtime.jobs[name] for name in sorted(app.runtime.jobs)):
        for target in job.targets:
            site = app.runtime.site_of(target)
            run = runs.get((job.name, site))
            # Two targets on one site share its secrets: the first of them shows them.
            shows = next(name for name in job.targets if app.runtime.site_of(name) == site) == target
            records = held.get((site, job.name), []) if shows else []
            yield {
                "job": job.name,
                "target": target,
                "last_run_at": run.finished_at if run else None,
                "last_success_at": run.succeeded_at if run else None,
                "next_run_at": _next_run(app.settings.jobs[job.name].schedule, run.due_from if run else None, now),
                "exit_code": run.exit_code if run else None,
                "message": app.runtime.paused(job.name, target) or (run.message if run else ""),
                "late": why_late(app, job, target, run, now),
                "paused": bool(app.runtime.paused(job.name, target)),
                "secrets": _tally(app, records, never_arrived.get((site, job.name), {}) if shows else {}),
                "oldest_unsynced_at": _oldest(records),
            }


def _never_arrived(app: App) -> dict[tuple[str, str], Counter[str]]:
    """What is wanted and never came into the ledger, by site and job, and how many of each status."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for (site, job, kind), count in app.ledger.problems_without_rows().items():
        found.setdefault((site, job), Counter())[kind] += count
    return found


def left_over(app: App) -> Iterator[dict[str, Any]]:
    """Yield an entry for each job and target whose records are left though the job sends nothing there any more."""
    served = app.served
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in app.ledger.records():
        # The job of scratch secrets is in no configuration; the next probe removes what is left of them.
        if served.is_left_over(record) and record.job != PROBE:
            groups.setdefault((record.job, record.target), []).append(record)
    runs = {(run.job, run.site): run for run in app.ledger.runs()}
    for (job, target), records in sorted(groups.items()):
        run = runs.get((job, records[0].site))
        yield {
            "job": job,
            "target": target,
            "last_run_at": run.finished_at if run else None,
            "last_success_at": run.succeeded_at if run else None,
            "next_run_at": None,
            "paused": False,
            "exit_code": run.exit_code if run else None,
            "message": LEFT_OVER,
            "late": "",
            "secrets": _tally(app, records),
            "oldest_unsynced_at": None,
        }


def _records_by_job(app: App) -> dict[tuple[str, str], list[Record]]:
    held: dict[tuple[str, str], list[Record]] = {}
    for record in app.ledger.records():
        held.setdefault((record.site, record.job), []).append(record)
    return held


def _tally(app: App, records: list[Record], never_arrived: Mapping[str, int] = NOTHING) -> dict[str, int]:
    """Count the records by status.

    `never_arrived`: how many more there are that the ledger has no row of, by status.
    """
    tally = Counter(never_arrived)
    now, served = app.runtime.clock(), app.served
    for record in records:
        # By the one function of page, metric and command: they show the same number.
        tally[status_of_record(record, served, now)] += 1
    return dict(sorted(tally.items()))


def _oldest(records: list[Record]) -> Any:
    # Nobody wants an orphan any more, so it is not late.
    waiting = [r.last_synced_at for r in records if r.status not in {"synced", "orphan"} and r.last_synced_at]
    return min(waiting, default=None)


def _next_run(schedule: Any, last: Any, now: Any) -> Any:
    """Return when the daemon would run a job next by its schedule; None for a job without one.

    `last`: when the run began from which the schedule counts; None before the first one.
    """
    from zoneinfo import ZoneInfo

    from syncd.config.cron import fires

    if schedule is None:
        return None
    if schedule.every is not None:
        # What is overdue runs at once, and not in the past.
        return max(now, last + schedule.every) if last else now
    return next(fires(schedule.cron, now.astimezone(ZoneInfo(schedule.timezone))), None)
