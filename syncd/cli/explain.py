"""`syncd explain`: how one secret is mapped, and why it is not synced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.context import ago, show, show_json
from syncd.cli.inspect import trouble_row
from syncd.cli.parameters import Json
from syncd.errors import ConfigError, SyncdError
from syncd.models import Record, Trouble, version_label
from syncd.statuses import status_of_record
from syncd.untrusted import mapping

if TYPE_CHECKING:
    from syncd.bootstrap import App


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(explain)


def explain(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="NAME-or-PATH", help="A Wix name, or a path at a source.")],
    *,
    as_json: Json = False,
) -> int:
    """Show how one secret is mapped, its versions, ids, last action, and why it is not synced."""
    with context.obj.open(writable=False) as app:
        what = _path_of(app, what)
        records = [one for one in app.ledger.records() if what in {one.name, one.ref.path, one.remote_id}]
        troubles = [
            one
            for one in app.ledger.all_troubles()
            if what == one.subject or (one.ref is not None and one.ref.path == what)
        ]
        mapped = list(_mappings(app, what))
        if as_json:
            show_json(
                {
                    "mappings": mapped,
                    "records": [as_row(one, status_of_record(one, app.served, app.world.clock())) for one in records],
                    "troubles": [trouble_row(one) for one in troubles],
                    "history": [_logged(line) for one in records for line in app.ledger.history(one.name)],
                }
            )
        else:
            _explain(app, what, mapped, records, troubles)
        if not (records or troubles or mapped):
            raise ConfigError(
                f"nothing is known of {what}",
                hint="give a Wix name, a source path (mount included) or a Wix id; new names are told by `syncd plan`",
            )
    return 0


def _path_of(app: App, what: str) -> str:
    """The path of a reference as our own lists write it (`source:path#field`); anything else as it is."""
    source, colon, rest = what.partition(":")
    if colon and source in app.settings.sources:
        return rest.partition("#")[0]
    path = what.partition("#")[0]
    return path if "/" in path else what


def _mappings(app: App, path: str) -> Iterator[dict[str, Any]]:
    """Which rules take a path, and the names that they give it."""
    from syncd.models import SecretRef
    from syncd.naming import selects_path, wix_name

    means = _means(app)
    for job in app.world.jobs.values():
        states = app.ledger.known_paths(job.source)
        mounts = app.ledger.known_mounts(job.source)
        first = path.split("/", maxsplit=1)[0]
        mount = max((m for m in mounts if path.startswith(m)), key=len, default=first).strip("/")
        for rule in job.rules:
            if not selects_path(rule, path):
                continue
            state = states.get((path, rule.pin))
            fields = (state.fields if state else None) or ()
            shown: tuple[str | None, ...] = fields if rule.field == "*" else (rule.field,)
            for field in shown or ("(each field, once it is read)",):
                ref = SecretRef(source=job.source, path=path, field=field)
                for target in job.targets:
                    told = {"job": job.name, "rule": rule.path.text, "target": target, "ref": str(ref)}
                    told["listed_by"] = means.get((job.name, rule.path.text), "")
                    try:
                        name = wix_name(rule, ref, mount, app.settings.targets[target].name_profile)
                        yield {**told, "name": name if fields or rule.field != "*" else None}
                    except SyncdError as error:
                        yield {**told, "name": None, "why_not": f"{error.message}; mend: {error.hint}"}


def _means(app: App) -> dict[tuple[str, str], str]:
    """How each job's last cycle listed each rule's path."""
    told = {run.job: mapping(json.loads(run.counts or "{}").get("means")) for run in app.ledger.runs()}
    return {(job, path): how for job, means in told.items() for path, how in means.items()}


def _listed_by(app: App, record: Record, means: dict[tuple[str, str], str]) -> str:
    from syncd.naming import selects

    job = app.world.jobs.get(record.job)
    taking = (rule.path.text for rule in (job.rules if job else ()) if selects(rule, record.ref))
    return next((means[record.job, path] for path in taking if (record.job, path) in means), "")


def _explain(app: App, what: str, mapped: list[Any], records: list[Record], troubles: list[Trouble]) -> None:
    now, means = app.world.clock(), _means(app)
    for one in mapped:
        name = one["name"] or one.get("why_not") or "a name per field, once it is read"
        how = f", listed by {one['listed_by']}" if one["listed_by"] else ""
        show(f"{one['ref']} -> {one['target']}: {name}  (job {one['job']}, rule {one['rule']}{how})")
    for record in records:
        show(f"{record.name} on {record.target} (site {record.site})")
        state = app.ledger.known_paths(record.ref.source).get((record.ref.path, record.pin))
        facts = {
            "status": status_of_record(record, app.served, now),
            "id at Wix": record.remote_id or "none yet",
            "source": str(record.ref),
            "job": record.job,
            "listed by": _listed_by(app, record, means) or "-",
            "version at Wix": version_label(record.version) or "-",
            "version at source": (version_label(state.version.token) if state else "") or "-",
            "last settled": ago(record.last_synced_at, now),
            "owned": "adopted: never deleted by syncd" if record.adopted else "created by syncd",
        }
        if record.frozen_until and record.frozen_until > now:
            facts["frozen until"] = f"{record.frozen_until:%Y-%m-%d %H:%M} UTC"
        if record.absent_for:
            facts["absent for"] = f"{int(record.absent_for.total_seconds() // 60)} min observed"
        for key, value in facts.items():
            show(f"  {key:18} {value}")
        for line in app.ledger.history(record.name, most=5):
            show(f"  {ago(line.at, now):18} {line.action}: {line.outcome} {line.request_id}".rstrip())
    for one in troubles:
        retry = f"; next try {ago(one.retry_at, now)}" if one.retry_at else ""
        show(f"{one.subject}: {one.kind} since {ago(one.first_at, now)}: {one.message}{retry}")
        if one.hint:
            show(f"  mend: {one.hint}")
    if mapped and not records and not troubles:
        show(f"{what} was not synced yet: run `syncd sync`")


def as_row(record: Record, status: str) -> dict[str, Any]:
    """A record as `state list --json` shows it."""
    return {
        "target": record.target,
        "name": record.name,
        "remote_id": record.remote_id,
        "job": record.job,
        "source": record.ref.source,
        "path": record.ref.path,
        "field": record.ref.field,
        "version": version_label(record.version) or None,
        "status": status,
        "last_synced_at": record.last_synced_at.isoformat() if record.last_synced_at else None,
    }


def _logged(line: Any) -> dict[str, Any]:
    return {
        "at": line.at,
        "name": line.name,
        "action": line.action,
        "outcome": line.outcome,
        "remote_id": line.remote_id,
        "request_id": line.request_id,
    }
