"""`syncd held` and `syncd release`: what waits for a person, and the person's word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.output import ago, show, show_json, show_table
from syncd.cli.parameters import Json
from syncd.cli.reasons import Reason, log_override, required_reason
from syncd.cli.remote import Server, TokenFile, remote
from syncd.domain.decisions import ReleaseOutcome, said_of_release

if TYPE_CHECKING:
    from syncd.bootstrap.app import App

BATCH_KEYS = ("batch", "job", "target", "cause", "since", "actions")
"""What a row of the API says of a batch."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(held)
    app.command()(release)


def held(context: typer.Context, *, server: Server = None, token_file: TokenFile = None, as_json: Json = False) -> int:
    """Show what waits for a release, by batch."""
    far = remote(server, token_file)
    if far is not None:
        rows = far.rows("held", BATCH_KEYS)
    else:
        with context.obj.open(writable=False) as app:
            from syncd.report.held import batch_rows

            # The rows of the API, so that page and command show the same.
            rows = batch_rows(app.held(), app.runtime.clock(), app.served)
    if as_json:
        show_json(rows)
        return 0
    from datetime import UTC, datetime

    # A daemon's rows come without its clock.
    now = datetime.now(UTC)
    lines = []
    for batch in rows:
        since = datetime.fromisoformat(str(batch["since"]))
        for action in batch["actions"]:
            versions = f"{(action['from'] or '-')[:12]} -> {(action['to'] or '-')[:12]}"
            lines.append(
                [batch["batch"], batch["job"], batch["target"], batch["cause"], ago(since, now), action["action"],
                 action["name"], versions, action["ref"]]
            )  # fmt: skip
    show_table(["BATCH", "JOB", "TARGET", "CAUSE", "SINCE", "ACTION", "NAME", "FROM -> TO", "SOURCE"], lines)
    if not lines:
        show("nothing waits for a release")
    return 0


def release(
    context: typer.Context,
    batch: Annotated[str, typer.Argument(help="The batch, as `syncd held` shows it.")],
    *,
    reason: Reason = None,
    server: Server = None,
    token_file: TokenFile = None,
) -> int:
    """Release a batch: each of its actions may be sent as it is now, once, within 24 hours."""
    why = required_reason(reason, "release")
    far = remote(server, token_file)
    if far is not None:
        show(far.said("release", {"batch": batch, "reason": why}))
        return 0
    with context.obj.open() as app:
        waiting = app.held(batch)
        jobs = {item.job for item in waiting} & app.runtime.jobs.keys()
        rests = set(filter(None, (app.runtime.paused(item.job, item.target) for item in waiting)))
        rare = [name for name in sorted(jobs) if _runs_too_rarely(app, name)]
        now = app.runtime.clock()
        closed = [app.runtime.jobs[name].windows.what_waits(now) for name in sorted(jobs)]
        outcome = app.ledger.decisions.release(batch, why, app.served)
        # A second release, or one of a batch that nobody waits for, lets nothing go.
        if outcome is ReleaseOutcome.DONE:
            log_override("release", why, batch=batch)
    too_late = f"it holds for 24 hours, and the schedule may come later: syncd sync {' '.join(rare)}" if rare else ""
    said = ["the next cycle sends it", *sorted(rests), *filter(None, closed), *filter(None, [too_late])]
    show(said_of_release(batch, outcome, done="; ".join(said)))
    for item in waiting[:SHOWN] if outcome is ReleaseOutcome.DONE else ():
        show(f"  {item}")
    if outcome is ReleaseOutcome.DONE and len(waiting) > SHOWN:
        show(f"  and {len(waiting) - SHOWN} more")
    return 0


SHOWN = 20
"""Actions of a batch that are named when it is released."""


def _runs_too_rarely(app: App, job: str) -> bool:
    """May a release have ended before the job's schedule comes round?"""
    from syncd.domain.decisions import RELEASED_FOR

    schedule = app.settings.jobs[job].schedule
    return schedule is not None and schedule.interval() > RELEASED_FOR
