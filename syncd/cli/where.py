"""`syncd where`: on which sites a source's secret is, in which version, since when: what a leak of it touches."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import Annotated

import typer

from syncd.cli.context import Context, duration
from syncd.cli.output import shortened, show_json, show_table, warn
from syncd.cli.parameters import Json
from syncd.cli.remote import Server, TokenFile, remote
from syncd.errors import ConfigError

COLUMNS = ("status", "site", "target", "name", "version", "arrived_at", "request_id")
LOOK = 1.0
"""Seconds from one look at the ledger to the next while it waits."""


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
    from syncd.report.whereabouts import NO_SITE, NotSeen, has_it, whereabouts

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
        if not all(arrived):
            missing = arrived.count(False)
            warn(f"syncd: {missing} of {len(rows)} are not there yet{f' in version {version}' if version else ''}")
    return 0 if arrived and all(arrived) else 1
