"""`syncd where`: on which sites a source's secret is, in which version, since when: what a leak of it touches."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import Annotated, Any

import typer

from syncd.cli.context import Context, duration
from syncd.cli.output import shortened, show_json, show_table, warn
from syncd.cli.parameters import Json
from syncd.cli.remote import Server, TokenFile, remote
from syncd.errors import ConfigError

COLUMNS = ("status", "site", "target", "name", "version", "arrived_at", "request_id")
LOOK = 1.0
"""Seconds between two looks while `--wait` waits."""


MOST_CAUSES = 3
"""Most causes that are shown; `syncd status` or the daemon's page has them all."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(where)


def where(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH[#FIELD]", help="A path at a source, mount included.")],
    *,
    version: Annotated[
        str | None, typer.Option("--version", help="Is this version there, or (Vault) a later one?")
    ] = None,
    wait: Annotated[str, typer.Option("--wait", help="Look again until all sites have it, for so long.")] = "0s",
    server: Server = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> int:
    """Show on which sites a secret is. Exit code 0: on all that it is sent to; 1: not everywhere yet."""
    from syncd.report.held_versions import has_it
    from syncd.report.whereabouts import NO_SITE, NotSeen, whereabouts

    # A clock that is set while it waits neither ends the wait nor prolongs it.
    until = time.monotonic() + duration(wait, "--wait").total_seconds()
    far = remote(server, token_file)
    with ExitStack() as stack:
        look = partial(far.rows, "where", (*COLUMNS, "source_version"), path=path) if far is not None else None
        # Opened once for all looks: to open a ledger of a million secrets takes seconds.
        look = look or partial(whereabouts, stack.enter_context(context.obj.open(writable=False)), path)
        while True:
            try:
                rows = look()
            except ConfigError as error:
                # The first deployment of a secret: it may be on its way.
                may_come = isinstance(error, NotSeen) or (far is not None and error.message.startswith(NO_SITE))
                if not may_come or time.monotonic() >= until or Context.stop.wait(LOOK):
                    raise
                continue
            arrived = [has_it(row, version) for row in rows]
            if (arrived and all(arrived)) or time.monotonic() >= until or Context.stop.wait(LOOK):
                break
    if as_json:
        show_json(rows)
    else:
        table = [["-" if row[key] is None else shortened(str(row[key]), 36) for key in COLUMNS] for row in rows]
        show_table([key.upper().replace("_", " ") for key in COLUMNS], table, lean=True)
        _say_what_lacks([row for row, has in zip(rows, arrived, strict=True) if not has], len(rows), version)
    return 0 if arrived and all(arrived) else 1


def _say_what_lacks(rows: list[dict[str, Any]], of: int, version: str | None) -> None:
    """Tell on stderr how many sites lack the secret or the version, and why, with the fix where a person has to act.

    `rows`: those that lack it. `of`: how many rows there are in all.
    """
    taken_back = [row for row in rows if row["status"] == "rolled_back"] if version is None else []
    if taken_back:
        versions = " or ".join(sorted({str(row["version"]) for row in taken_back}))
        warn(f"syncd: {len(taken_back)} of {of} hold version {versions}, as rolled back; the newest waits for its end")
    if len(rows) > len(taken_back):
        wanted = f" in version {version}" if version else ""
        warn(f"syncd: {len(rows) - len(taken_back)} of {of} are not there yet{wanted}")
    causes = dict.fromkeys((row["why"], row.get("fix", "")) for row in rows if row.get("why"))
    for why, fix in list(causes)[:MOST_CAUSES]:
        warn(f"  {why}{f'; fix: {fix}' if fix else ''}")
    if len(causes) > MOST_CAUSES:
        warn(f"  and {len(causes) - MOST_CAUSES} more causes: syncd status")
