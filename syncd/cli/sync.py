"""`syncd run`, `sync`, `plan` and `apply`."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.context import Context, chosen_jobs, duration, show, show_json, show_table, warn
from syncd.errors import SyncdError, worst
from syncd.models import SERIOUS, Action, Create, Delete, Finding, Kind, SyncReport, Update, version_label

if TYPE_CHECKING:
    from syncd.bootstrap import App
    from syncd.sync import Picture

Jobs = Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="Jobs to take; all if left out.")]
Wait = Annotated[str, typer.Option("--wait", help="How long to wait for another process that works on the site.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SHORT = 12


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(run)
    app.command()(sync)
    app.command()(plan)
    app.command()(apply)


def run(context: typer.Context) -> int:
    """Run as a service: schedules, server, reload on SIGHUP, graceful stop on SIGTERM."""
    from syncd.daemon import Daemon

    context.obj.logs("info")
    return Daemon(context.obj.config).run()


def sync(
    context: typer.Context,
    jobs: Jobs = None,
    *,
    allow_deletes: Annotated[
        int, typer.Option("--allow-deletes", min=0, help="Up to this many deletions in this run, whatever the limit.")
    ] = 0,
    due: Annotated[
        bool, typer.Option("--due", help="Only the jobs whose schedule says so since their last run.")
    ] = False,
    wait: Wait = "5m",
    as_json: Json = False,
) -> int:
    """Run one cycle now, job by job."""
    from syncd.bootstrap import holder
    from syncd.sync import sync_job
    from syncd.tick import Tick

    patience = duration(wait)
    with _working(context.obj) as app:
        told, tick, deleted = _Told(as_json=as_json), Tick(), 0
        chosen = chosen_jobs(app, jobs or [])
        if due:
            chosen = [job for job in chosen if _is_due(app, job.name)]
            if not chosen:
                warn("syncd: no job is due")
        for job in chosen:
            left = max(0, allow_deletes - deleted)
            reports = sync_job(
                app.world, job, holder=holder(), wait=patience, allow_deletes=left, tick=tick, ended=told.take
            )
            deleted += sum(report.deletions_sent for report in reports)
            if app.stop.is_set():
                break
        return told.show([(job.name, target) for job in chosen for target in job.targets])


def _is_due(app: App, name: str) -> bool:
    """Was each site of the job worked on when its schedule last said so?"""
    from zoneinfo import ZoneInfo

    from syncd.config.cron import is_due

    schedule = app.settings.jobs[name].schedule
    if schedule is None:
        return False
    runs = {run.site: run.started_at for run in app.ledger.runs() if run.job == name}
    sites = {app.world.site_of(target) for target in app.world.jobs[name].targets}
    if not sites <= runs.keys():
        return True
    last, zone = min(runs[site] for site in sites), ZoneInfo(schedule.timezone)
    return is_due(schedule.every, schedule.cron or "", last.astimezone(zone), app.world.clock())


@contextmanager
def _working(context: Context) -> Iterator[App]:
    """The app for a command that writes: events logged, a signal settles what is in flight, a bar on a terminal."""
    import structlog

    from syncd.telemetry.events import Events

    events = Events()
    level = "warning" if sys.stderr.isatty() else "info"
    Context.stoppable = True
    structlog.contextvars.bind_contextvars(run_id=uuid.uuid4().hex[:12])
    with context.open(level=level, events=events) as app, _bar(app):
        yield app


@contextmanager
def _bar(app: App) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking", total=None)
        told = app.world.told

        def on_told(kind: str, thing: Any, job: Any, target: str) -> None:
            told(kind, thing, job, target)
            if kind == "outcome":
                progress.advance(task)

        def planned(count: int) -> None:
            if count:
                progress.update(task, description="writing", total=count, completed=0)

        app.world = replace(app.world, told=on_told, planned=planned)
        yield


class _Told:
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
        self._said[key] = _as_json(report) if self._as_json else [head, *_problems(report.findings, report)]
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


def _as_json(report: SyncReport) -> dict[str, Any]:
    from syncd.record import counts

    return {
        "job": report.job,
        "target": report.target,
        "exit_code": report.exit_code,
        "counts": counts(report),
        "actions": [
            {
                "action": outcome.verb,
                "name": outcome.action.name,
                "remote_id": outcome.remote_id,
                "error": str(outcome.error) if outcome.error else None,
            }
            for outcome in report.outcomes
        ],
        "findings": [_finding(one) for one in report.findings if one.kind is not Kind.UNCHANGED],
        "failures": [{"place": f.place, "message": f.message, "hint": f.hint} for f in report.failures],
        "error": str(report.error) if report.error else None,
        "hint": report.error.hint if isinstance(report.error, SyncdError) else "",
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "name": one.name,
        "ref": str(one.ref) if one.ref else None,
        "message": one.message,
        "hint": one.hint,
    }


def _problems(findings: tuple[Finding, ...], report: SyncReport | None) -> Iterator[str]:
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


def plan(
    context: typer.Context,
    jobs: Jobs = None,
    *,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the plan in this file, for `syncd apply`.")] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 2 when changes are waiting.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Show what a sync would do, what it would withhold, and why. Changes nothing."""
    from syncd import planfile
    from syncd.sync import Cycle
    from syncd.tick import Tick

    codes, waiting, plans, failed = set(), 0, [], list[dict[str, str]]()
    planned: set[tuple[str, str]] = set()
    with context.obj.open(writable=False) as app:
        tick = Tick()
        for job in chosen_jobs(app, jobs or []):
            for target in job.targets:
                try:
                    picture = Cycle(app.world, job, target).look(tick, None)
                except SyncdError as error:
                    codes.add(error.exit_code)
                    failed.append({"job": job.name, "target": target, "error": error.message, "hint": error.hint})
                    warn(f"syncd: {job.name} -> {target}: {error.message}")
                    if error.hint:
                        warn(f"  mend: {error.hint}")
                    continue
                site = app.world.site_of(target)
                fresh = tuple(action for action in picture.plan.actions if (site, action.name) not in planned)
                planned |= {(site, action.name) for action in fresh}
                picture.plan = replace(picture.plan, actions=fresh)  # another job or target has the others
                findings = picture.plan.findings + tuple(picture.wanted.findings)
                waiting += len(picture.plan.actions)
                codes |= {one.exit_code or int(one.kind in SERIOUS) for one in findings}
                codes |= {4} if picture.gathering.failures else set()
                kept = planfile.actions_of(picture)
                plans.append({"job": job.name, "target": target, "site": site, "actions": kept})
                if as_json:
                    plans[-1]["findings"] = [_finding(one) for one in findings if one.kind is not Kind.UNCHANGED]
                else:
                    _show_plan(job.name, target, picture, findings)
        content = {
            "format": planfile.FORMAT,
            "configuration": planfile.digest(app.settings.dump()),
            "plans": [{key: one[key] for key in ("job", "target", "site", "actions")} for one in plans],
        }
    if as_json:
        show_json({**content, "plans": plans, "failed": failed})
    if out is not None and not codes - {0, 1, 6}:
        planfile.write(out, content)
        warn(f"kept in {out}; carry it out with: syncd apply {out}")
    elif out is not None:
        warn(f"syncd: {out} is not written, because the plan is not complete")
    code = worst(codes)
    return 2 if detailed_exitcode and waiting and code in {0, 1, 6} else code


def _show_plan(job: str, target: str, picture: Picture, findings: tuple[Finding, ...]) -> None:
    from syncd.planfile import unversioned

    actions = picture.plan.actions
    same = sum(one.kind is Kind.UNCHANGED for one in findings)
    tally = ", ".join(
        f"{sum(isinstance(action, kind) for action in actions)} to {word}"
        for kind, word in ((Create, "create"), (Update, "update"), (Delete, "delete"))
    )
    show(f"{job} -> {target}: {tally}, {same} unchanged")
    if actions:
        show_table(["ACTION", "NAME", "FROM", "TO", "WHY", "SOURCE"], [_row(action) for action in actions])
    if any(unversioned(action) for action in actions):
        show("  KV v1 has no versions: a kept plan leaves these out, `syncd sync` sends them")
    for failure in picture.gathering.failures:
        show(f"  unreadable  {failure.place}: {failure.message}")
        show(f"              mend: {failure.hint}")
    for line in _problems(findings, None):
        show(line)
    show()


def _row(action: Action) -> list[str]:
    ref = action.record.ref if isinstance(action, Delete) else action.desired.ref
    before = version_label(action.record.version) if action.record else ""
    after = "" if isinstance(action, Delete) else version_label(action.desired.version)
    reason = "new" if isinstance(action, Create) else str(action.reason)
    return [
        type(action).__name__.lower(),
        action.name,
        before[:SHORT] or "-",
        after[:SHORT] or "-",
        reason,
        str(ref),
    ]


def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A plan kept with `syncd plan --out`.")],
    *,
    wait: Wait = "5m",
    as_json: Json = False,
) -> int:
    """Carry out exactly a kept plan; refused if what it touches has moved since."""
    from syncd import planfile
    from syncd.bootstrap import holder
    from syncd.errors import PlanMoved
    from syncd.sync import Cycle
    from syncd.tick import Tick

    content, patience = planfile.read(file), duration(wait)
    with _working(context.obj) as app:
        if content["configuration"] != planfile.digest(app.settings.dump()):
            raise PlanMoved("the configuration is not the one that the plan was made under", hint="plan again")
        todo = [(chosen_jobs(app, [one["job"]])[0], one) for one in content["plans"] if one["actions"]]
        tick = Tick()
        for job, one in todo:  # all of it or nothing: look at every part before the first write
            planfile.check(one["actions"], Cycle(app.world, job, one["target"]).look(tick, None))
        told = _Told(as_json=as_json)
        for job, one in todo:
            chosen = planfile.exactly(one["actions"])
            cycle = Cycle(app.world, job, one["target"])
            told.take(cycle.run(Tick(), holder=holder(), wait=patience, chosen=chosen))
        if not todo:
            warn("the plan holds no actions; nothing to do")
        return told.show([(job.name, one["target"]) for job, one in todo])
