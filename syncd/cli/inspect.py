"""`syncd check`, `status`, `explain` and `schema`: look, and change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.context import Context, ago, show, show_json, show_table
from syncd.errors import ConfigError, SyncdError, worst
from syncd.models import Failure, Record, Trouble, version_label

if TYPE_CHECKING:
    from syncd.bootstrap import App
    from syncd.world import Job

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(check)
    app.command()(status)
    app.command()(explain)
    app.command()(schema)


def check(
    context: typer.Context,
    *,
    connect: Annotated[bool, typer.Option("--connect", help="Also try every source, target and permission.")] = False,
    probe: Annotated[
        str | None, typer.Option("--probe", help="Write, list and delete a scratch secret on this target.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Check the configuration; with --connect the connections, with --probe a real site."""
    settings = context.obj.settings()
    rows: list[tuple[str, str, str, int]] = [
        (
            "ok",
            str(context.obj.config),
            f"{len(settings.sources)} sources, {len(settings.targets)} targets, {len(settings.jobs)} jobs",
            0,
        )
    ]
    rows += [("note", what, f"not readable here: {error}", 0) for what, error in _missing_credentials(settings)]
    if probe is not None and probe not in settings.targets:
        raise ConfigError(f"there is no target {probe}", hint=f"the targets are {', '.join(sorted(settings.targets))}")
    if connect or probe:
        with context.obj.open(writable=probe is not None) as app:
            if connect:
                rows += _sources(app)
                rows += _targets(app)
            if probe:
                rows += _probe(app, probe)
    if as_json:
        show_json([{"result": result, "what": what, "seen": seen} for result, what, seen, _ in rows])
    else:
        show_table(["RESULT", "WHAT", "SEEN"], [row[:3] for row in rows])
    return worst({row[3] for row in rows})


def _missing_credentials(settings: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Credentials that the configuration names and this machine does not have."""
    from pydantic import BaseModel

    from syncd.config.fields import Credential

    if isinstance(settings, Credential):
        try:
            settings.read(where)
        except ConfigError as error:
            yield where, error.message.removeprefix(f"{where}: ")
        return
    parts: Any = ()
    if isinstance(settings, BaseModel):
        parts = ((name, getattr(settings, name)) for name in type(settings).model_fields)
    elif isinstance(settings, dict):
        parts = settings.items()
    for name, part in parts:
        yield from _missing_credentials(part, f"{where}.{name}".lstrip("."))


def _sources(app: App) -> Iterator[tuple[str, str, str, int]]:
    for name in sorted(app.settings.sources):
        rules = [rule for job in app.world.jobs.values() if job.source == name for rule in job.rules]
        try:
            for told in app.source(name).check(rules):
                if isinstance(told, Failure):
                    yield "failed", f"source {name}", f"{told.place}: {told.message}; mend: {told.hint}", 4
                else:
                    yield "ok", f"source {name}", told, 0
            if not rules:
                yield "ok", f"source {name}", "no job uses it", 0
        except SyncdError as error:
            yield "failed", f"source {name}", f"{error.message}; mend: {error.hint}", error.exit_code


def _targets(app: App) -> Iterator[tuple[str, str, str, int]]:
    for name in sorted(app.settings.targets):
        try:
            listed = app.target(name).list()
        except SyncdError as error:
            yield "failed", f"target {name}", f"{error.message}; mend: {error.hint}", error.exit_code
            continue
        ours = [secret for secret in listed if f"[syncd:{app.settings.owner}:" in secret.description]
        held = {record.remote_id for record in app.ledger.records(app.settings.targets[name].site)}
        yield "ok", f"target {name}", f"{len(listed)} secrets on the site, {len(ours)} of them with our mark", 0
        strays = sorted(secret.name for secret in ours if secret.id not in held)
        if strays and held:
            few = ", ".join(strays[:5]) + (" and more" if len(strays) > 5 else "")
            seen = f"{len(strays)} with our mark are not in the ledger, and are never deleted by syncd: {few}"
            yield "note", f"target {name}", seen, 0


def _probe(app: App, name: str) -> Iterator[tuple[str, str, str, int]]:
    from syncd.bootstrap import holder
    from syncd.probe import Probe

    Context.stoppable = True
    target = app.target(name)
    with app.ledger.lock(target.site, holder=holder(), wait=timedelta(minutes=5), stop=app.stop.is_set) as journal:
        probe = Probe(
            owner=app.settings.owner,
            target=target,
            store=app.ledger,
            journal=journal,
            clock=app.world.clock,
            stop=app.stop.wait,
        )
        for what, well, seen in probe.run():
            yield "ok" if well else "note", f"probe {name}: {what}", seen, 0


def status(context: typer.Context, *, as_json: Json = False) -> int:
    """Show jobs, their last run, freshness, and what is failing."""
    with context.obj.open(writable=False) as app:
        now = app.world.clock()
        runs = {(run.job, run.target): run for run in app.ledger.runs()}
        rows, told = [], []
        for job in (app.world.jobs[name] for name in sorted(app.world.jobs)):
            for target in job.targets:
                run = runs.get((job.name, target))
                records = _of(app, job, target)
                schedule = app.settings.jobs[job.name].schedule
                following = _next_run(schedule, run.started_at if run else None, now)
                told.append(
                    {
                        "job": job.name,
                        "target": target,
                        "last_run_at": run.finished_at if run else None,
                        "last_success_at": run.succeeded_at if run else None,
                        "next_run_at": following,
                        "exit_code": run.exit_code if run else None,
                        "message": run.message if run else "",
                        "secrets": _tally(records),
                        "oldest_unsynced_at": _oldest(records),
                    }
                )
                tally = ", ".join(f"{number} {word}" for word, number in _tally(records).items())
                result = "never ran" if run is None else "ok" if run.exit_code == 0 else f"exit {run.exit_code}"
                rows.append(
                    [
                        job.name,
                        target,
                        result,
                        ago(run.finished_at if run else None, now),
                        ago(run.succeeded_at if run else None, now),
                        ("due" if following <= now else ago(following, now)) if following else "by hand",
                        tally or "none",
                        run.message if run else "",
                    ]
                )
        troubles = sorted(app.ledger.all_troubles(), key=lambda one: (one.job, one.subject))
        if as_json:
            show_json({"jobs": told, "troubles": [_trouble(one) for one in troubles]})
            return 0
        show_table(["JOB", "TARGET", "RESULT", "LAST RUN", "LAST GOOD", "NEXT", "SECRETS", "WHY"], rows)
        if troubles:
            show()
            show_table(
                ["STATUS", "NAME", "JOB", "SINCE", "NEXT TRY", "WHY"],
                [
                    [
                        one.kind,
                        one.subject,
                        one.job,
                        ago(one.first_at, now),
                        ago(one.retry_at, now) if one.retry_at else "next cycle",
                        f"{one.message}" + (f"; mend: {one.hint}" if one.hint else ""),
                    ]
                    for one in troubles
                ],
            )
    return 0


def _of(app: App, job: Job, target: str) -> list[Record]:
    return [record for record in app.ledger.records(app.world.site_of(target)) if record.job == job.name]


def _tally(records: list[Record]) -> dict[str, int]:
    tally: dict[str, int] = {}
    for record in records:
        word = record.status or "pending"
        tally[word] = tally.get(word, 0) + 1
    return dict(sorted(tally.items()))


def _oldest(records: list[Record]) -> Any:
    waiting = [r.last_synced_at for r in records if r.status not in {"synced", "orphan"} and r.last_synced_at]
    return min(waiting, default=None)


def _next_run(schedule: Any, last: Any, now: Any) -> Any:
    """When the daemon would run it next, by its schedule."""
    from zoneinfo import ZoneInfo

    from syncd.config.cron import fires

    if schedule is None:
        return None
    if schedule.every is not None:
        return max(now, last + schedule.every) if last else now
    return next(fires(schedule.cron, now.astimezone(ZoneInfo(schedule.timezone))), None)


def _trouble(one: Trouble) -> dict[str, Any]:
    return {
        "status": one.kind,
        "name": one.subject,
        "job": one.job,
        "ref": one.ref,
        "message": one.message,
        "hint": one.hint,
        "attempts": one.attempts,
        "since": one.first_at,
        "retry_at": one.retry_at,
    }


def explain(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="NAME-or-PATH", help="A Wix name, or a path at a source.")],
    *,
    as_json: Json = False,
) -> int:
    """Show how one secret is mapped, its versions, ids, last action, and why it is not synced."""
    with context.obj.open(writable=False) as app:
        records = [one for one in app.ledger.records() if what in {one.name, one.ref.path, one.remote_id}]
        troubles = [
            one
            for one in app.ledger.all_troubles()
            if what == one.subject or one.ref.partition("#")[0].partition(":")[2] == what
        ]
        mapped = list(_mappings(app, what))
        if as_json:
            show_json(
                {
                    "mappings": mapped,
                    "records": [as_row(one) for one in records],
                    "troubles": [_trouble(one) for one in troubles],
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


def _mappings(app: App, path: str) -> Iterator[dict[str, Any]]:
    """Which rules take a path, and the names that they give it."""
    from syncd.models import SecretRef
    from syncd.naming import selects_path, wix_name

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
                    told = {"job": job.name, "rule": rule.path, "target": target, "ref": str(ref)}
                    try:
                        name = wix_name(rule, ref, mount, app.settings.targets[target].name_profile)
                        yield {**told, "name": name if fields or rule.field != "*" else None}
                    except SyncdError as error:
                        yield {**told, "name": None, "why_not": f"{error.message}; mend: {error.hint}"}


def _explain(app: App, what: str, mapped: list[Any], records: list[Record], troubles: list[Trouble]) -> None:
    now = app.world.clock()
    for one in mapped:
        name = one["name"] or one.get("why_not") or "a name per field, once it is read"
        show(f"{one['ref']} -> {one['target']}: {name}  (job {one['job']}, rule {one['rule']})")
    for record in records:
        show(f"{record.name} on {record.target} (site {record.site})")
        state = app.ledger.known_paths(record.ref.source).get((record.ref.path, record.pin))
        facts = {
            "status": record.status or "pending",
            "id at Wix": record.remote_id or "none yet",
            "source": str(record.ref),
            "job": record.job,
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


def as_row(record: Record, *, detached: bool = False) -> dict[str, Any]:
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
        "status": "detached" if detached else record.status or "pending",
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


def schema() -> int:
    """Print the configuration's JSON Schema, for editors."""
    from syncd.config import json_schema

    show_json(json_schema())
    return 0
