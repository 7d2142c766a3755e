"""`syncd state …`: the ledger of ids, for people and scripts."""

from __future__ import annotations

import difflib
import json
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.context import Context, duration, moment, show, show_json, show_table
from syncd.cli.json_rows import record_row
from syncd.cli.parameters import JobFilter, Json, StatusFilter, TargetFilter, see_known, see_status
from syncd.cli.reasons import Reason, log_override, required_reason
from syncd.domain import Grant, OpenProblem, Record, RemoteSecret, version_label
from syncd.domain.audit import Entry
from syncd.domain.ownership import other_owner
from syncd.domain.ports import AuditBatch
from syncd.domain.statuses import status_of_record
from syncd.errors import ConfigError, PlanMoved
from syncd.transport.private_files import read_bounded

if TYPE_CHECKING:
    from syncd.bootstrap.app import App
    from syncd.ledger.store import SiteJournal

app = typer.Typer(help="Look at the ledger of ids, and set it right.", no_args_is_help=True)


@app.callback()
def _called(context: typer.Context) -> None:
    """Look at the ledger of ids, and set it right."""
    context.obj.calls(context.invoked_subcommand)


Name = Annotated[str, typer.Argument(help="A Wix name.")]
Target = Annotated[
    str | None, typer.Option("--target", help="On which target; needed where several hold a secret of this name.")
]
AdoptTarget = Annotated[
    str | None, typer.Option("--target", help="On this target; on each with a conflict about the name if left out.")
]
WAIT = timedelta(minutes=5)
MOST_BYTES = 1024 * 1024 * 1024
"""Of an export: some million secrets."""


def _locked(app: App, site: str) -> AbstractContextManager[SiteJournal]:
    """The site, for this command alone."""
    waits = app.runtime.waits
    return app.ledger.lock(site, holder="syncd state", wait=WAIT, stop=Context.stop.is_set, waits=waits)


def _without_record(app: App, troubles: list[OpenProblem], records: tuple[Record, ...]) -> list[dict[str, Any]]:
    """Names that were never created: conflicts, quarantined and missing ones."""
    have = {(record.site, record.name) for record in records}
    targets = {app.site_of(name): name for name in app.settings.targets}
    rows = []
    for problem in troubles:
        if (problem.site, problem.subject) in have or problem.site not in targets:
            continue
        rows.append(
            {
                "target": targets[problem.site],
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
        )
    return rows


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
        rows += _without_record(app, app.ledger.all_problems(), records)
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
        content = json.loads(read_bounded(file, MOST_BYTES).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read as JSON ({type(error).__name__})", hint=NOT_AN_EXPORT) from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} is no export of a ledger", hint=NOT_AN_EXPORT)
    with context.obj.open() as app:
        count = imported(app.ledger, content, app.settings.owner)
    show(f"{count} secrets are in the ledger now; see them: syncd state list")
    return 0


def _found(app: App, name: str, target: str | None) -> Record:
    """The one record of this name. Raises `ConfigError`."""
    if target is not None and target not in app.settings.targets:
        raise ConfigError(
            f"there is no target {target}", hint=f"the targets are {', '.join(sorted(app.settings.targets))}"
        )
    site = app.site_of(target) if target else None
    named = [record for record in app.ledger.records() if record.name == name]
    found = [record for record in named if site in {None, record.site}]
    if named and not found:
        elsewhere = ", ".join(record.target for record in named)
        raise ConfigError(f"the ledger has no {name} on {target}; it is on {elsewhere}", hint="see: syncd state list")
    if not found:
        names = {record.name for record in app.ledger.records()}
        near = difflib.get_close_matches(name, names, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"the ledger has no {name}", hint=f"{meant}see: syncd state list")
    if len(found) > 1:
        raise ConfigError(
            f"{name} is on several targets: {', '.join(record.target for record in found)}",
            hint="say which with --target",
        )
    return found[0]


@app.command()
def adopt(
    context: typer.Context,
    name: Name,
    *,
    target: AdoptTarget = None,
    given_for: Annotated[str, typer.Option("--for", help="How long the permission holds, if it is not used.")] = "24h",
    reason: Reason = None,
) -> int:
    """Let a cycle take over a secret of this name that syncd did not create."""
    span, why = duration(given_for, "--for"), required_reason(reason, "state adopt")
    with context.obj.open() as app:
        targets = [target] if target else sorted(app.settings.targets)
        conflicts = [
            problem.site
            for problem in app.ledger.all_problems()
            if problem.subject == name and problem.kind == "conflict"
        ]
        sites = []
        for name_of_target in targets:
            if name_of_target not in app.settings.targets:
                raise ConfigError(
                    f"there is no target {name_of_target}",
                    hint=f"the targets are {', '.join(sorted(app.settings.targets))}",
                )
            if target or app.site_of(name_of_target) in conflicts:
                sites.append(app.site_of(name_of_target))
        ours = [record for record in app.ledger.records() if record.name == name and record.remote_id]
        if mine := next((record for record in ours if record.site in sites or not sites), None):
            raise ConfigError(f"{name} on {mine.target} is ours already", hint="see: syncd explain " + name)
        if not sites:
            raise ConfigError(f"no conflict about {name} is known", hint="run `syncd sync` first, or give --target")
        seen = {site: _seen_at_site(app, site, name) for site in dict.fromkeys(sites)}
        log_override("state adopt", why, name=name, lasts=given_for)
        for site, secret in seen.items():
            owner = other_owner(secret.description, app.settings.owner)
            app.ledger.grant(site, name, span, Grant(remote_id=secret.id, owner=owner))
            changed = f"last changed {secret.updated_at:%Y-%m-%d %H:%M} UTC" if secret.updated_at else "without a date"
            show(f"{name} on {site}: id {secret.id}, {changed}, {f'mark of {owner}' if owner else 'without a mark'}")
    show(f"this secret is taken over by the next cycle of the job that wants its name, within {given_for}")
    return 0


def _seen_at_site(app: App, site: str, name: str) -> RemoteSecret:
    """The secret that a permission is given for, as the site lists it now. Raises `ConfigError`, `TargetError`."""
    target = next(name for name in app.settings.targets if app.site_of(name) == site)
    listed = next((secret for secret in app.runtime.target(target).list() if secret.name == name), None)
    if listed is None:
        raise ConfigError(f"target {target} lists no secret called {name}", hint=f"see: syncd explain {name}")
    return listed


@app.command()
def freeze(
    context: typer.Context,
    name: Name,
    *,
    until: Annotated[str, typer.Option("--until", help="2026-12-24, 2026-12-24T18:00Z, or a duration such as 3d.")],
    target: Target = None,
    reason: Reason = None,
) -> int:
    """Leave one secret alone until then; a time that has passed thaws it."""
    until_then, why = moment(until, "--until", ahead=True), required_reason(reason, "state freeze")
    with context.obj.open() as app:
        record = _found(app, name, target)
        with _locked(app, record.site) as journal:
            record = _found(app, name, record.target if target else None)
            now = app.runtime.clock()
            if until_then <= now and not record.is_frozen(now):
                raise ConfigError(
                    f"--until {until} has passed already, and {name} is not frozen", hint="name a later time"
                )
            if until_then <= now:
                journal.protect(_thawed(record), _about("secret.thawed", record))
            else:
                log_override(
                    "state freeze", why, name=name, target=record.target, until=f"{until_then:%Y-%m-%d %H:%M} UTC"
                )
                decision = _about("secret.frozen", record, until=f"{until_then:%Y-%m-%dT%H:%M:%SZ}")
                journal.protect(replace(record, frozen_until=until_then, status="frozen"), decision)
    where = f"{name} on {record.target}"
    show(
        f"{where} is frozen until {until_then:%Y-%m-%d %H:%M} UTC"
        if until_then > now
        else f"{where} is no longer frozen"
    )
    return 0


def _about(event: str, record: Record, **detail: str) -> Entry:
    """A line of the audit trail about what a person decided for one secret."""
    return Entry(
        event=event,
        name=record.name,
        ref=str(record.ref),
        remote_id=record.remote_id,
        job=record.job,
        target=record.target,
        site=record.site,
        detail=detail,
    )


def _thawed(record: Record) -> Record:
    """Nobody looked meanwhile: whether it is as its source says is for the next cycle to tell."""
    return replace(record, frozen_until=None, status="behind" if record.status == "frozen" else record.status)


@app.command()
def thaw(context: typer.Context, name: Name, *, target: Target = None) -> int:
    """End a freeze."""
    with context.obj.open() as app:
        record = _found(app, name, target)
        with _locked(app, record.site) as journal:
            record = _found(app, name, record.target if target else None)
            if not record.is_frozen(app.runtime.clock()):
                raise ConfigError(f"{name} on {record.target} is not frozen", hint=f"see: syncd explain {name}")
            journal.protect(_thawed(record), _about("secret.thawed", record))
    show(f"{name} on {record.target} is no longer frozen; the next cycle sees to it")
    return 0


@app.command("join-site")
def join_site(
    context: typer.Context,
    old: Annotated[str, typer.Argument(help="The site's key that the ledger gives up.")],
    new: Annotated[str, typer.Argument(help="The key of the same site that it keeps: a site_id or an instance_id.")],
) -> int:
    """Say that two keys are one site at Wix: what is known under OLD is kept under NEW from now on."""
    from syncd.reconcile.observe.same_site import merged

    with context.obj.open() as app, ExitStack() as stack:
        keys = {settings.site for settings in app.settings.targets.values()}
        if new not in keys or old == new:
            raise ConfigError(
                f"{new} is not the key of a configured site, or is {old} itself",
                hint=f"the keys are {', '.join(sorted(keys))}",
            )
        for site in sorted((old, new)):
            stack.enter_context(_locked(app, site))
        moving = app.ledger.records(old)
        _see_that_they_are_one(app, old, new, moving)
        app.ledger.join_sites(old, new, merged(moving, app.ledger.records(new), new))
    show(f"{len(moving)} secrets are kept under {new} now; {old} is another key of the same site")
    return 0


@app.command("rename-owner")
def rename_owner(
    context: typer.Context,
    old: Annotated[str, typer.Argument(help="The owner that the ledger has.")],
    new: Annotated[str, typer.Argument(help="The owner that the configuration says now.")],
) -> int:
    """Say that this installation is called NEW from now on; the next cycle changes the marks and no value."""
    with context.obj.open(renaming=True) as app, ExitStack() as stack:
        if app.settings.owner != new:
            raise ConfigError(
                f"the configuration says owner: {app.settings.owner}", hint=f"write owner: {new} there first"
            )
        if app.ledger.owner not in {old, None}:
            raise ConfigError(
                f"the ledger is of owner {app.ledger.owner}, not {old}", hint="see the mark in a description at Wix"
            )
        records = app.ledger.records()
        # Also where no row is yet: a cycle that begins there now would leave its ids under the old mark.
        sites = {record.site for record in records} | {app.site_of(name) for name in app.settings.targets}
        for site in sorted(sites):
            stack.enter_context(_locked(app, site))
        if under_way := [record.name for record in app.ledger.records() if record.is_open]:
            raise PlanMoved(
                f"{len(under_way)} secrets are under way under the old owner's mark: {', '.join(under_way[:5])}",
                hint=f"write owner: {old} once more, run `syncd sync`, then try again",
            )
        app.ledger.rename_owner(old, new)
    show(f"this installation is {new} now; the next cycle changes the marks of {len(records)} secrets, and no value")
    return 0


def _see_that_they_are_one(app: App, old: str, new: str, moving: tuple[Record, ...]) -> None:
    """Ask the site: the same ids are what two keys of one site have in common. Raises `ConfigError`, `TargetError`."""
    names = {settings.site: name for name, settings in app.settings.targets.items()}
    held = {str(record.remote_id) for record in moving if record.remote_id}
    under_old = {secret.id for secret in app.target(names[old]).list()} if old in names else held
    if not under_old & {secret.id for secret in app.target(names[new]).list()}:
        raise ConfigError(
            f"{old} and {new} show no secret in common, so nothing tells that they are one site",
            hint="see site_id and instance_id; two sites are never joined",
        )


@app.command()
def forget(
    context: typer.Context,
    name: Name,
    *,
    target: Target = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete it at Wix as well, if it is as syncd left it.")
    ] = False,
    reason: Reason = None,
) -> int:
    """Drop one secret from the ledger; it stays at Wix unless --delete is given."""
    from syncd.reconcile.manual_deletion import delete_by_command

    why = required_reason(reason, "state forget --delete") if delete else ""
    with context.obj.open() as app:
        record = _found(app, name, target)
        with _locked(app, record.site) as journal:
            record = _found(app, name, target)
            if delete:
                overriding = partial(log_override, "state forget --delete", why, name=name, target=record.target)
                delete_by_command(app.runtime, journal, record, overriding)
            else:
                forgotten = _about("secret.forgotten", record)
                journal.write(drop=[record], audit=AuditBatch(decisions=(forgotten,)))
                journal.forget_problem(record.name)
    after = " and deleted at Wix" if delete else "; if a rule still wants it, the next cycle takes it back by its mark"
    show(f"{name} ({record.remote_id or 'no id'}) is forgotten{after}")
    return 0


@app.command()
def remount(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A configured source.")],
    mount: Annotated[
        str, typer.Argument(help="The mount that was replaced on purpose, such as secret/; for AWS: account.")
    ],
    *,
    reason: Reason = None,
) -> int:
    """Accept that a mount (or an AWS account) was really replaced by another one."""
    if reason is not None:
        required_reason(reason, "state remount")
    with context.obj.open() as app:
        if source not in app.settings.sources:
            raise ConfigError(
                f"there is no source {source}", hint=f"the sources are {', '.join(sorted(app.settings.sources))}"
            )
        if not app.ledger.remount(source, mount):
            raise ConfigError(f"the ledger knows no mount {mount} of {source}", hint="see the path of the rule")
    show(f"the next cycle accepts the mount that is at {mount} now")
    return 0
