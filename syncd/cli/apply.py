"""`syncd apply`: carries out exactly a kept plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.context import duration
from syncd.cli.output import warn
from syncd.cli.parameters import Json, Wait
from syncd.cli.report_output import ReportOutput
from syncd.cli.write_session import working
from syncd.errors import SyncdError

if TYPE_CHECKING:
    from syncd.bootstrap.app import App
    from syncd.domain.job import Job
    from syncd.reconcile.observe.observation_cache import ObservationCache
    from syncd.reconcile.planned_pass import Look


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(apply)


def _planned_job(app: App, part: dict[str, Any]) -> Job:
    """The job of one part of a plan, if it sends to that target and that site. Raises `PlanMoved`."""
    from syncd.errors import PlanMoved

    job = app.runtime.jobs.get(part["job"])
    # A target may lead to another site by now, where the plan's ids belong to others or to nobody.
    if job is None or part["target"] not in job.targets or app.site_of(part["target"]) != part["site"]:
        raise PlanMoved(
            "a job, its target or its site is not as the plan says; nothing was done",
            hint="look again with: syncd plan",
        )
    return job


def _look(app: App, job: Job, part: dict[str, Any]) -> Look:
    from syncd.bootstrap.process import holder
    from syncd.reconcile.planned_pass import Look

    return Look(runtime=app.runtime, job=job, target_name=part["target"], holder=holder())


def _see_that_nothing_rests(app: App, content: dict[str, Any]) -> None:
    """Raise `PlanMoved` if a job of the plan is paused; then nothing of the plan is carried out.

    A part without actions is not looked at: it sends nothing.
    """
    from syncd.errors import PlanMoved

    for part in content["plans"]:
        # A part without actions sends nothing, so its pause holds up no other.
        if part["actions"] and (rests := app.runtime.paused(part["job"], part["target"])):
            raise PlanMoved(
                f"{rests}; nothing was done",
                hint="see: syncd status; end the pause with syncd resume, then apply it again",
            )


def _holds_something(app: App, part: dict[str, Any], cache: ObservationCache) -> bool:
    """Does a part without actions have something that waits for a release? Then its cycle runs as well.

    That cycle makes the batch. False also where the part cannot be planned now: nothing of it is to be done.
    """
    from syncd.reconcile.cycle import Cycle

    job = app.runtime.jobs.get(part["job"])
    if job is None or part["target"] not in job.targets:
        return False
    try:
        return bool(Cycle(_look(app, job, part)).plan(cache).waiting)
    except SyncdError:  # nothing of this part is to be done, so nothing of it fails
        return False


def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A plan kept with `syncd plan --out`.")],
    *,
    wait: Wait = "5m",
    as_json: Json = False,
) -> int:
    """Carry out a kept plan exactly as it is; refused if anything that it touches has changed since."""
    from syncd.domain.audit import CAUSE
    from syncd.errors import PlanMoved
    from syncd.reconcile import saved_plan as planfile
    from syncd.reconcile.cycle import Cycle
    from syncd.reconcile.observe.observation_cache import ObservationCache

    # Before a ledger is opened, or made: a file that is no plan, or was edited, does nothing at all.
    content, patience = planfile.read(file), duration(wait, "--wait")
    with working(context.obj) as app:
        # Names, limits and rules come from the configuration: under another one nobody has agreed to these actions.
        if content["configuration"] != app.config_digest:
            raise PlanMoved("the configuration is not the one that the plan was made under", hint="plan again")
        _see_that_nothing_rests(app, content)
        cache = ObservationCache()
        parts = [part for part in content["plans"] if part["actions"] or _holds_something(app, part, cache)]
        todo = [(_planned_job(app, part), part) for part in parts]
        looks = [_look(app, job, part) for job, part in todo]
        # Each line of the audit trail names the plan, so that what was agreed on is found from what was done.
        CAUSE.set(replace(CAUSE.get(), plan=planfile.digest(content)))
        for look, (_, part) in zip(looks, todo, strict=True):  # all of it or nothing: see all before the first write
            planned = Cycle(look).plan(cache)
            try:
                agreed = planfile.check(part["actions"], planned)
            except PlanMoved as error:
                where = f"{part['job']} -> {part['target']}"
                raise PlanMoved(f"{where}: {error.message}", hint=error.hint) from None
            cache.foresee(look.site, agreed)
        output = ReportOutput(as_json=as_json)
        for look, (_, part) in zip(looks, todo, strict=True):
            choose = planfile.exactly(part["actions"])
            # A new look for each part: what the part before has written is not in the old one.
            report = Cycle(look).run(ObservationCache(), wait=patience, choose=choose)
            output.take(planfile.with_what_is_left(part["actions"], report))
        if not todo:
            warn("the plan holds no actions; nothing to do")
        return output.show([(job.name, part["target"]) for job, part in todo])
