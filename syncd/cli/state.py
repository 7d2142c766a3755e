"""`syncd state …`: the ledger of ids, for people and scripts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli import state_decisions, state_identity
from syncd.cli.json_rows import record_row
from syncd.cli.output import show, show_json, show_table
from syncd.cli.parameters import JobFilter, Json, StatusFilter, TargetFilter, see_known, see_status
from syncd.domain import Record, version_label
from syncd.domain.statuses import status_of_record
from syncd.errors import ConfigError
from syncd.transport.fault_words import in_words
from syncd.transport.private_files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.bootstrap.app import App

app = typer.Typer(help="Look at the ledger of ids, and correct it.", no_args_is_help=True)
MOST_BYTES = 1024 * 1024 * 1024
"""Most bytes of an export that are read: some million secrets."""


@app.callback()
def _called(context: typer.Context) -> None:
    """Look at the ledger of ids, and correct it."""
    context.obj.calls(context.invoked_subcommand)


def _never_arrived(app: App) -> Iterator[dict[str, Any]]:
    """Names that were never created: conflicts, quarantined and missing ones."""
    sites = {app.site_of(name) for name in app.settings.targets}
    for problem in app.ledger.problems_of_no_row():
        # A site that no target names has no target to be listed under.
        if problem.site in sites:
            yield {
                "target": app.first_target_on(problem.site, problem.job),
                "name": problem.subject,
                "remote_id": None,
                "job": problem.job,
                "source": problem.ref.source if problem.ref else "",
                "path": problem.ref.path if problem.ref else "",
                "field": problem.ref.field if problem.ref else None,
                "version": version_label(problem.version) or None,
                "status": problem.kind,
                "last_synced_at": None,
            }


@app.command("list")
def list_(
    context: typer.Context,
    *,
    job: JobFilter = None,
    target: TargetFilter = None,
    status: StatusFilter = None,
    as_json: Json = False,
) -> int:
    """List every secret in the ledger: its id, source, version and status."""
    see_status(status)
    with context.obj.open(writable=False) as app:
        see_known(app, job, target)
        # Two targets may be one site: its rows bear the name of either.
        site = app.site_of(target) if target in app.settings.targets else None
        same_site = {target} | {name for name in app.settings.targets if site and app.site_of(name) == site}
        records = app.ledger.records()
        now, served = app.runtime.clock(), app.served
        rows = [record_row(record, status_of_record(record, served, now)) for record in records]
        rows += _never_arrived(app)
    wanted = {"job": job, "status": status}
    rows = [row for row in rows if all(value in {None, row[key]} for key, value in wanted.items())]
    rows = [row for row in rows if target is None or row["target"] in same_site]
    rows.sort(key=lambda row: (row["target"], row["name"]))
    if as_json:
        show_json(rows)
        return 0
    show_table(
        ["STATUS", "TARGET", "NAME", "ID", "SOURCE", "VERSION"],
        [
            [
                row["status"],
                row["target"],
                row["name"],
                row["remote_id"] or "-",
                f"{row['source']}:{row['path']}" + (f"#{row['field']}" if row["field"] is not None else ""),
                (row["version"] or "-")[:12],
            ]
            for row in rows
        ],
    )
    return 0


@app.command()
def export(
    context: typer.Context,
    *,
    full: Annotated[bool, typer.Option("--full", help="The whole ledger, for `syncd state import`.")] = False,
) -> int:
    """Print the ledger as JSON: everything but fingerprints."""
    from syncd.ledger.transfer import exported

    if full:
        with context.obj.open(writable=False) as app:
            show_json(exported(app.ledger, app.settings.owner))
        return 0
    # With its key a fingerprint tells whether a guess of the value is right, so none is ever exported.
    hidden = {"fingerprint", "ref", "window", "restores", "lost_writes"}
    with context.obj.open(writable=False) as app:
        rows = []
        for record in app.ledger.records():
            row = {name: getattr(record, name) for name in Record.__dataclass_fields__ if name not in hidden}
            row |= {"source": record.ref.source, "path": record.ref.path, "field": record.ref.field}
            row |= {"version": version_label(record.version) or None, "absent_for": record.absent_for.total_seconds()}
            rows.append(row)
        show_json({"owner": app.settings.owner, "exported_at": datetime.now(UTC), "records": rows})
    return 0


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `syncd state export --full` printed.")],
) -> int:
    """Fill an empty ledger from an export, to move it to another place or to PostgreSQL."""
    from syncd.ledger.transfer import NOT_AN_EXPORT, imported

    try:
        # Read before the ledger is opened: a wrong file makes no ledger.
        content = json.loads(read_bounded(file, MOST_BYTES).decode())
    # A file that is nested deep enough ends Python's parser in a RecursionError, which would be told as a bug.
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read as JSON ({in_words(error)})", hint=NOT_AN_EXPORT) from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} is no export of a ledger", hint=NOT_AN_EXPORT)
    with context.obj.open() as app:
        count = imported(app.ledger, content, app.settings.owner)
    show(f"{count} secrets are in the ledger now; see them: syncd state list")
    return 0


for _command in (state_decisions.adopt, state_decisions.freeze, state_decisions.thaw):
    app.command()(_command)
app.command("join-site")(state_identity.join_site)
app.command("rename-owner")(state_identity.rename_owner)
app.command()(state_decisions.forget)
app.command()(state_identity.remount)
