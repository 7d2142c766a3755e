"""`syncd rollback`: sites get an older version of the source's own, for a while."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.context import duration, moment
from syncd.cli.output import show, warn
from syncd.cli.parameters import Json, Wait
from syncd.cli.reasons import Reason, log_override, required_reason
from syncd.cli.remote import Server, TokenFile, remote
from syncd.cli.report_output import ReportOutput
from syncd.cli.write_session import working
from syncd.domain import version_label
from syncd.errors import ConfigError, worst

if TYPE_CHECKING:
    from datetime import datetime

    from syncd.bootstrap.app import App
    from syncd.domain import Record, Rule, SyncReport
    from syncd.reconcile.rollback import Taken


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(rollback)


def rollback(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(metavar="[NAME|PATH]", help="A Wix name, a source path, or SOURCE:PATH.")
    ] = None,
    *,
    to: Annotated[
        str | None, typer.Option("--to", help="This version (AWS: an id or a stage); the one before if left out.")
    ] = None,
    until: Annotated[
        str, typer.Option("--until", help="How long it holds: 24h, 2026-12-24 (with that day), RFC 3339.")
    ] = "24h",
    end: Annotated[bool, typer.Option("--end", help="Let the sites go on to the newest version.")] = False,
    job: Annotated[str | None, typer.Option("--job", help="With --since: what this job updated.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="With --job: from then on, such as 1h.")] = None,
    reason: Reason = None,
    wait: Wait = "5m",
    server: Server = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> int:
    """Send the sites an older version, read anew from the source; it is sent at once, and holds until --until."""
    if job and (end or to):
        which = "--end" if end else "--to"
        raise ConfigError(f"{which} is for one NAME or PATH, not for --job", hint="end or choose them one at a time")
    if (what is None) == (job is None) or (job is None) != (since is None):
        raise ConfigError("say what: NAME or PATH, or --job JOB --since 1h", hint="see: syncd rollback --help")
    why = required_reason(reason, "rollback")
    far = remote(server, token_file)
    if far is not None:
        given = {"what": what, "to": to, "until": until, "end": end, "job": job, "since": since, "reason": why}
        show(far.said("rollback", given))
        return 0
    ends, patience = moment(until, "--until", ahead=True), duration(wait, "--wait")
    with working(context.obj) as app:
        refused: list[str] = []
        if end:
            wanted = dict.fromkeys(_end(app, str(what)), "")
        elif what is not None:
            wanted = _roll_back(app, [(item, to) for item in _taken(app, what)], ends, why)
        else:
            from syncd.bootstrap.updated_since import updated_since

            chosen, refused = updated_since(app, str(job), moment(str(since), "--since", ahead=False))
            wanted = _roll_back(app, chosen, ends, why, refused)
        log_override("rollback", why, paths=[path for _, path in wanted])
        for line in refused:
            warn(f"syncd: {line}")
        code = run_cycles(app, wanted, patience, as_json=as_json)
    # The rest was done; what could not go back was told above, and is a failure of single secrets.
    return code or (1 if refused else 0)


def _taken(app: App, what: str) -> list[Taken]:
    from syncd.reconcile.rollback import taken

    return taken(app.runtime, app.ledger.records(), what, app.ledger.spellings)


def _roll_back(
    app: App,
    chosen: Iterable[tuple[Taken, str | None]],
    until: datetime,
    reason: str,
    refused: list[str] | None = None,
) -> dict[tuple[str, str], str]:
    """Find every older version, and only then keep the rollbacks, together with their lines of the audit trail.

    `refused`: gets what cannot be rolled back, in words, and the rest is; None: all of it or nothing.
    Returns: the version that each (source, path) gets. Raises `ConfigError` for an `until` that has passed.
    """
    from syncd.domain.audit import CAUSE
    from syncd.reconcile.rollback import Terms, replaced_by, rollbacks_to
    from syncd.reconcile.rollback_lines import entries_of_rollbacks

    now = app.runtime.clock()
    if until <= now:
        raise ConfigError("--until has passed already", hint="name a later time")
    terms = Terms(now=now, until=until, by=CAUSE.get().actor.id, reason=reason)
    found = rollbacks_to(app.runtime, chosen, terms, refused)
    # Kept in one transaction with their lines: no rollback holds of which the trail does not know.
    entries = list(entries_of_rollbacks(app.runtime, app.ledger.records(), found))
    rollbacks = app.ledger.decisions.rollbacks()
    replaced = replaced_by([item for item, _ in found], rollbacks, app.is_one_secret, app.ledger.secrets_of)
    app.ledger.decisions.roll_back([kept for _, kept in found], entries, replaced)
    for item, kept in found:
        show(f"{item.path}: {kept}")
    return {(item.source, item.path): kept.label for item, kept in found}


def _end(app: App, what: str) -> list[tuple[str, str]]:
    from syncd.reconcile.rollback import ended_paths
    from syncd.reconcile.rollback_lines import entries_of_end, said_of_end

    records = app.ledger.records()
    # A rollback outlives a new name of its source, so it is looked for under the old one, too.
    paths = ended_paths(records, app.ledger.decisions.rollbacks(), what, app.is_one_secret, app.ledger.rollback_of)
    app.ledger.decisions.end_rollbacks(paths, entries_of_end(app.runtime, records, paths))
    for source, path in paths:
        show(said_of_end(source, path, app.ledger.rollback_of(source, path)))
    return paths


def run_cycles(app: App, wanted: Mapping[tuple[str, str], str], wait: Any, *, as_json: bool) -> int:
    """Run the jobs that send these paths, on every site that does not rest. Returns: the exit code.

    `wanted`: the version that each path gets; empty where its rollback has ended.
    """
    from syncd.bootstrap.process import holder
    from syncd.domain.audit import CAUSE, Asked
    from syncd.domain.source import SecretRef
    from syncd.reconcile.rollback_reach import reach_of
    from syncd.reconcile.run_job import Run, sync_job

    output = ReportOutput(as_json=as_json)
    reached = reach_of(app.runtime, app.ledger.records(), wanted).read
    jobs = [app.runtime.jobs[name] for name in reached]
    rests = [why for job in jobs for target in job.targets if (why := app.runtime.paused(job.name, target))]
    # The window is opened for what was decided, and for nothing that waits beside it.
    run = Run(
        holder=holder(),
        wait=wait,
        outside_window=True,
        ends_rollbacks=not any(wanted.values()),
    )
    cause = CAUSE.get()
    for job in jobs:
        paths = reached[job.name]
        # The reason is for what is rolled back, and for nothing that the job finds beside it.
        asked = {SecretRef(source=job.source, path=path): (Asked(cause.actor, cause.reason),) for path in paths}
        CAUSE.set(replace(cause, reason=None, of_paths=asked))
        # Of this rollback alone: what else the job meets is told by its own cycles.
        told = partial(_take, output, paths, job.rules)
        sync_job(app.runtime, job, replace(run, hinted_paths=paths, only_paths=paths, on_report=told))
    code = output.show([(job.name, target) for job in jobs for target in job.targets])
    now = app.runtime.clock()
    for record, label in _left_behind(app, wanted):
        place, keeps = app.first_target_on(record.site, record.job), f"keeps version {version_label(record.version)}"
        if record.reads_frozen(now):
            warn(f"syncd: {record.name} on {place} is frozen, and {keeps}")
            warn(f"  fix: syncd state thaw {record.name} --target {place}")
            code = worst({code, 6})  # as for a pause: it holds, and has not reached every site
        elif code == 0:
            ended = "" if app.ledger.rollback_of(record.ref.source, record.ref.path) else "; the rollback has ended"
            warn(f"syncd: {record.name} on {place} is not in version {label}, and {keeps}{ended}")
            code = 1
    # A paused site gets the version in the first cycle after its pause, and 6 says that it lacks it yet.
    if rests:
        warn(f"syncd: it holds from the next cycle on: {rests[0]}; fix: syncd resume --help")
        code = worst({code, 6})
    return code


def _take(output: ReportOutput, paths: Collection[str], rules: Iterable[Rule], report: SyncReport) -> None:
    from syncd.reconcile.record.report import narrowed

    output.take(narrowed(report, paths, rules))


def _left_behind(app: App, wanted: Mapping[tuple[str, str], str]) -> Iterator[tuple[Record, str]]:
    """The rows that did not get the version that their secret was rolled back to, each with that version."""
    from syncd.reconcile.rollback_reach import reach_of

    for path, rows in reach_of(app.runtime, app.ledger.records(), wanted).by_path.items():
        label = wanted[path]
        yield from ((row, label) for row in rows if label and version_label(row.version) != label)
