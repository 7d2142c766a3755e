"""`syncd state adopt / freeze / thaw / forget`: what a person decides about one secret."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.context import duration, moment
from syncd.cli.output import show
from syncd.cli.reasons import Reason, log_override, required_reason
from syncd.cli.state_lookup import Name, Target, found_record, locked
from syncd.domain import Grant, Record, RemoteSecret
from syncd.domain.audit import entry_about
from syncd.domain.ownership import is_for_another, other_owner
from syncd.domain.ports import AuditBatch
from syncd.errors import ConfigError

if TYPE_CHECKING:
    from syncd.bootstrap.app import App

AdoptTarget = Annotated[
    str | None, typer.Option("--target", help="On this target; on each with a conflict about the name if left out.")
]


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
        # Before it is said that no conflict is known: that it is ours already is the reason why.
        if mine := next((record for record in ours if record.site in sites or not sites), None):
            raise ConfigError(f"{name} on {mine.target} is ours already", hint="see: syncd explain " + name)
        if not sites:
            raise ConfigError(f"no conflict about {name} is known", hint="run `syncd sync` first, or give --target")
        # All sites are asked before anything is granted: one that lists no such secret leaves no half permission.
        seen = {site: _seen_at_site(app, site, name) for site in dict.fromkeys(sites)}
        for site, secret in seen.items():
            _see_whose_it_is(app, site, secret)
        log_override("state adopt", why, name=name, lasts=given_for)
        for site, secret in seen.items():
            # For this id and mark: replaced, or marked by another owner since, it is not what the person saw.
            owner = other_owner(secret.description, app.settings.owner)
            app.ledger.grant(site, name, span, Grant(remote_id=secret.id, owner=owner))
            changed = f"last changed {secret.updated_at:%Y-%m-%d %H:%M} UTC" if secret.updated_at else "without a date"
            is_ours = is_for_another(secret.description, app.settings.owner, "")
            mark = f"mark of {owner}" if owner else "our mark for another secret" if is_ours else "without a mark"
            show(f"{name} on {site}: id {secret.id}, {changed}, {mark}")
    show(f"this secret is taken over by the next cycle of the job that wants its name, within {given_for}")
    return 0


def _see_whose_it_is(app: App, site: str, secret: RemoteSecret) -> None:
    """Raise `ConfigError` for a secret with our mark, until each job on the site has looked whether it is its own."""
    looked = {run.job for run in app.ledger.runs() if run.site == site and run.read_all}
    waiting = sorted(set(app.served.jobs.get(site, ())) - looked)
    if not waiting or not is_for_another(secret.description, app.settings.owner, ""):
        return
    job, target = waiting[0], app.first_target_on(site, waiting[0])
    rests = app.runtime.paused(job, target)
    hint = f"a job takes back what is its own; let it look: syncd sync {job}"
    raise ConfigError(
        f"{secret.name} carries our own mark, and may be of job {job}, which has not looked at all of its source yet",
        hint=f"{rests}; end that, or take {job} off {target}" if rests else hint,
    )


def _seen_at_site(app: App, site: str, name: str) -> RemoteSecret:
    """The secret that a permission is given for, as the site lists it now. Raises `ConfigError`, `TargetError`."""
    target = next(name for name in app.settings.targets if app.site_of(name) == site)
    listed = next((secret for secret in app.runtime.target(target).list() if secret.name == name), None)
    if listed is None:
        raise ConfigError(f"target {target} lists no secret called {name}", hint=f"see: syncd explain {name}")
    return listed


def freeze(
    context: typer.Context,
    name: Name,
    *,
    until: Annotated[str, typer.Option("--until", help="2026-12-24 (with that day), 2026-12-24T18:00Z, or 3d.")],
    target: Target = None,
    reason: Reason = None,
) -> int:
    """Leave one secret alone until --until; a time that has passed ends the freeze."""
    until_then, why = moment(until, "--until", ahead=True), required_reason(reason, "state freeze")
    with context.obj.open() as app:
        from syncd.bootstrap import freezes

        record = found_record(app, name, target)
        with locked(app, record.site) as journal:
            # Asked again under the lock: a cycle may have moved or dropped it while this command waited.
            record = found_record(app, name, target)
            now = app.runtime.clock()
            if until_then <= now and not record.reads_frozen(now):
                raise ConfigError(
                    f"--until {until} has passed already, and {name} is not frozen", hint="name a later time"
                )
            if until_then <= now:
                freezes.thaw(journal, record)
            else:
                # Nothing refuses it from here on: only an override that takes place is logged.
                log_override(
                    "state freeze", why, name=name, target=record.target, until=f"{until_then:%Y-%m-%d %H:%M} UTC"
                )
                freezes.freeze(journal, record, until_then)
    where = f"{name} on {record.target}"
    show(
        f"{where} is frozen until {until_then:%Y-%m-%d %H:%M} UTC"
        if until_then > now
        else f"{where} is no longer frozen"
    )
    return 0


def thaw(context: typer.Context, name: Name, *, target: Target = None) -> int:
    """End a freeze."""
    with context.obj.open() as app:
        from syncd.bootstrap import freezes

        record = found_record(app, name, target)
        with locked(app, record.site) as journal:
            record = found_record(app, name, target)
            if not record.reads_frozen(app.runtime.clock()):
                raise ConfigError(f"{name} on {record.target} is not frozen", hint=f"see: syncd explain {name}")
            freezes.thaw(journal, record)
    show(f"{name} on {record.target} is no longer frozen; the next cycle sees to it")
    return 0


def _overriding(app: App, record: Record, *, delete: bool) -> str:
    """Say which safeguard is overridden by forgetting this secret; empty if none is."""
    if delete:
        return "state forget --delete"
    # Its row alone tells that the value at Wix is somebody else's, and how often it was put back. A change may not have
    # been seen yet, and a job that was renamed takes over what its rows under the old name say.
    jobs = app.settings.jobs
    here = [job for job in jobs.values() if record.site in map(app.site_of, job.targets)]
    its = [jobs[record.job]] if record.job in jobs else here
    if record.status == "contested" or any(job.drift_policy == "report" for job in its):
        return "state forget of what somebody may have changed at Wix (the next cycle writes over that)"
    # Nothing changes at Wix, and the mark brings the secret back.
    return ""


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

    with context.obj.open() as app:
        record = found_record(app, name, target)
        # Asked for before the lock: nobody's cycle waits until a person has typed.
        overridden = _overriding(app, record, delete=delete)
        why = required_reason(reason, overridden) if overridden else ""
        with locked(app, record.site) as journal:
            record = found_record(app, name, target)
            overridden = _overriding(app, record, delete=delete)
            why = required_reason(why or reason or "", overridden) if overridden else ""
            # Handed on, and logged once nothing refuses the deletion: a refused override has overridden nothing.
            overriding = partial(log_override, overridden, why, name=name, target=record.target)
            if delete:
                delete_by_command(app.runtime, journal, record, overriding)
            else:
                if overridden:
                    overriding()
                forgotten = entry_about("secret.forgotten", record)
                journal.write(drop=[record], audit=AuditBatch(decisions=(forgotten,)))
                # An open problem would go on telling of a secret that nobody keeps.
                journal.forget_problem(record.name)
    after = " and deleted at Wix" if delete else "; if a rule still wants it, the next cycle takes it back by its mark"
    show(f"{name} ({record.remote_id or 'no id'}) is forgotten{after}")
    return 0
