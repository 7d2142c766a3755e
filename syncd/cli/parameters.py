"""Arguments and options that several commands share."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.domain import STATUSES
from syncd.errors import ConfigError

if TYPE_CHECKING:
    from syncd.bootstrap.app import App

Jobs = Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="Jobs to take; all if left out.")]
Wait = Annotated[str, typer.Option("--wait", help="How long to wait for another process that works on the site.")]
JobFilter = Annotated[str | None, typer.Option("--job", help="Only this job's.")]
TargetFilter = Annotated[str | None, typer.Option("--target", help="Only on this target.")]
StatusFilter = Annotated[str | None, typer.Option("--status", help="Only in this state, for example failed.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def see_known(app: App, job: str | None, target: str | None) -> None:
    """Raise `ConfigError` for a filter by a job or target that neither the configuration nor the ledger knows."""
    records, problems = app.ledger.records(), app.ledger.all_problems()
    # A job that is gone from the configuration may have left records or problems, and people look for just those.
    jobs = {*app.settings.jobs, *(record.job for record in records), *(problem.job for problem in problems)}
    for what, given, known in (
        ("job", job, jobs),
        ("target", target, {*app.settings.targets, *(record.target for record in records)}),
    ):
        if given is not None and given not in known:
            near = difflib.get_close_matches(given, known, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"there is no {what} {given}", hint=f"{meant}the {what}s are {', '.join(sorted(known))}")


def see_status(status: str | None) -> None:
    """Raise `ConfigError` for an unknown status."""
    if status is not None and status not in STATUSES:
        near = difflib.get_close_matches(status, STATUSES, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"there is no status {status}", hint=f"{meant}they are {', '.join(STATUSES)}")
