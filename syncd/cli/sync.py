"""`syncd sync`: one cycle of each job, now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.context import chosen_jobs, duration
from syncd.cli.output import warn
from syncd.cli.parameters import Jobs, Json, Wait
from syncd.cli.reasons import Reason, log_override, required_reason
from syncd.cli.report_output import ReportOutput
from syncd.cli.write_session import working
from syncd.errors import INTERRUPTED

if TYPE_CHECKING:
    from syncd.bootstrap.app import App


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(sync)


def sync(
    context: typer.Context,
    jobs: Jobs = None,
    *,
    allow_deletes: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-deletes",
            metavar="[TARGET=]N",
            help="Up to N deletions in this run, in all or on that target, whatever the limit; repeatable.",
        ),
    ] = None,
    outside_window: Annotated[
        bool, typer.Option("--outside-window", help="Send now, whatever the jobs' windows say.")
    ] = False,
    reason: Reason = None,
    due: Annotated[
        bool, typer.Option("--due", help="Only the jobs whose schedule says so since their last run.")
    ] = False,
    wait: Wait = "5m",
    as_json: Json = False,
) -> int:
    """Run one cycle now, job by job."""
    from syncd.bootstrap.process import holder
    from syncd.domain.allowance import DeletionAllowance
    from syncd.reconcile.run_job import Run, sync_job

    patience = duration(wait, "--wait")
    overrides = [
        option for option, given in (("--allow-deletes", allow_deletes), ("--outside-window", outside_window)) if given
    ]
    # Asked for before anything begins: who gives no reason is refused with nothing done.
    # One that is given without an override stands in the lines of the trail all the same.
    why = required_reason(reason, " and ".join(overrides) or "sync") if overrides or reason else ""
    with working(context.obj) as app:
        output = ReportOutput(as_json=as_json)
        allowance = DeletionAllowance.parse(allow_deletes or [], app.settings.targets)
        run = Run(
            holder=holder(), wait=patience, allowance=allowance, on_report=output.take, outside_window=outside_window
        )
        chosen = chosen_jobs(app, jobs or [])
        if due:
            chosen = [job for job in chosen if _is_due(app, job.name)]
            if not chosen:
                warn("syncd: no job is due")
        # Not logged earlier: an override that was refused for an unknown job or target has overridden nothing.
        if allow_deletes:
            log_override("--allow-deletes", why, allowed=" ".join(allow_deletes))
        if outside_window:
            log_override("--outside-window", why)
        for job in chosen:
            sync_job(app.runtime, job, run)
            # The cycle has settled what was in flight; the jobs behind it are left to the next run.
            if app.stop.is_set():
                break
        # In the order of the configuration: the sites of a job end in any order.
        return output.show([(job.name, target) for job in chosen for target in job.targets])


def _is_due(app: App, name: str) -> bool:
    """Has the job's schedule come round since the last run on one of its sites?

    A site without a run makes the job due. A job without a schedule never is. A run that was cut off does not count.
    """
    from zoneinfo import ZoneInfo

    from syncd.config.cron import is_due

    schedule = app.settings.jobs[name].schedule
    if schedule is None:
        return False
    # A run that was cut off has not looked at everything, so it does not count as one.
    ended = (run for run in app.ledger.runs() if run.job == name and run.exit_code != INTERRUPTED)
    runs = {run.site: run.due_from for run in ended if run.due_from is not None}
    sites = {app.runtime.site_of(target) for target in app.runtime.jobs[name].targets}
    # A site that the job was given since has waited for no run of its own.
    if not sites <= runs.keys():
        return True
    # The site that was worked on longest ago decides: one that is late makes the whole job due.
    last, zone = min(runs[site] for site in sites), ZoneInfo(schedule.timezone)
    return is_due(schedule.every, schedule.cron or "", last.astimezone(zone), app.runtime.clock())
