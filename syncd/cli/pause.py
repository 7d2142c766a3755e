"""`syncd pause` and `syncd resume`: let a job, a target or everything rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.context import moment
from syncd.cli.output import show
from syncd.cli.reasons import Reason, log_override, required_reason
from syncd.cli.remote import Server, TokenFile, remote
from syncd.errors import ConfigError

if TYPE_CHECKING:
    from syncd.config import Settings

Job = Annotated[str | None, typer.Argument(metavar="[JOB]", help="The job.")]
PausedTarget = Annotated[str | None, typer.Option("--target", help="A target's site instead, for all jobs.")]
Everything = Annotated[bool, typer.Option("--all", help="Everything.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(pause)
    app.command()(resume)


def pause(
    context: typer.Context,
    job: Job = None,
    *,
    target: PausedTarget = None,
    everything: Everything = False,
    until: Annotated[
        str | None,
        typer.Option("--until", help="4h, 2026-12-24 (with that day), RFC 3339; else until resumed."),
    ] = None,
    reason: Reason = None,
    server: Server = None,
    token_file: TokenFile = None,
) -> int:
    """Pause a job, a target or everything: nothing is listed, recovered or sent; running processes obey in 5 s."""
    scope, name = _scope(job, target, everything=everything)
    # As a moment, so that a daemon whose clock differs pauses until the same time.
    ends = moment(until, "--until", ahead=True) if until is not None else None
    why = required_reason(reason, "pause")
    far = remote(server, token_file)
    if far is not None:
        given = {"scope": scope, "name": name, "until": ends.isoformat() if ends else None, "reason": why}
        show(far.said("pause", given))
        return 0
    with context.obj.open() as app:
        # A pause of a mistyped name would rest nothing, and somebody would count on it.
        see_scope(app.settings, scope, name)
        if ends is not None and ends <= app.runtime.clock():
            raise ConfigError(f"--until {until} has passed already", hint="name a later time")
        if scope == "job" and (daemons := app.ledger.configurations.another_in_force(app.config_digest)):
            raise ConfigError(
                f"a daemon works with another configuration ({daemons.by}), which may call job {name} otherwise",
                hint="use its file; or let the target or everything rest, which holds there, too: --target NAME, --all",
            )
        said = app.pauses.put(scope, name, ends, why)
        log_override("pause", why, scope=scope, name=name)
    show(said)
    return 0


def resume(
    context: typer.Context,
    job: Job = None,
    *,
    target: PausedTarget = None,
    everything: Everything = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> int:
    """End a pause."""
    scope, name = _scope(job, target, everything=everything)
    far = remote(server, token_file)
    if far is not None:
        show(far.said("resume", {"scope": scope, "name": name}))
        return 0
    with context.obj.open() as app:
        # Not held against the configuration: the pause of a job that is gone must have an end, too.
        was_paused = app.pauses.end(scope, name)
        # A slip of the hand would leave asleep what somebody means to wake.
        if not was_paused:
            see_scope(app.settings, scope, name)
        # What was resumed rests on under a pause of everything, and the resume would seem to have failed.
        others = [pause for pause in app.pauses.now() if scope != "all" and pause.scope == "all"]
    show(said_of_resume(scope, name, was_paused=was_paused))
    for other in others:
        show(f"but {other}; see: {other.command_to_end}")
    return 0


def said_of_resume(scope: str, name: str, *, was_paused: bool) -> str:
    """Say in words what a resume did."""
    if scope == "all":
        return "everything goes on with the next cycle" if was_paused else "there was no pause of everything"
    return f"{scope} {name} goes on with the next cycle" if was_paused else f"{scope} {name} was not paused"


def _scope(job: str | None, target: str | None, *, everything: bool) -> tuple[str, str]:
    given = [("job", job), ("target", target), ("all", "" if everything else None)]
    chosen = [(scope, name) for scope, name in given if name is not None]
    if len(chosen) != 1:
        raise ConfigError(
            "say what: one of JOB, --target T and --all", hint="for example: payments, --target shop, or --all"
        )
    return chosen[0]


def see_scope(settings: Settings, scope: str, name: str) -> None:
    """Raise `ConfigError` for a job or a target that is not there."""
    known = sorted(settings.jobs if scope == "job" else settings.targets)
    if scope != "all" and name not in known:
        raise ConfigError(f"there is no {scope} {name}", hint=f"the {scope}s are {', '.join(known)}")
