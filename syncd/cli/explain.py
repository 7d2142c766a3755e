"""`syncd explain`: how one secret is mapped, what is known of it, and what the next cycle will do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.explanation import HISTORY, Explanation, NextCycle, explanation_of, listing_methods
from syncd.cli.json_rows import failure_row, finding_row, history_row, problem_row, record_row
from syncd.cli.output import ago, show, show_json
from syncd.cli.parameters import Json
from syncd.cli.report_output import cycle_error_lines
from syncd.domain import Action, FindingKind, Record, verb_of, version_label
from syncd.domain.statuses import status_of_record
from syncd.errors import ConfigError, worst

if TYPE_CHECKING:
    from syncd.bootstrap.app import App


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(explain)


def explain(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="NAME-or-PATH", help="A Wix name, a path at a source, or a Wix id.")],
    *,
    target: Annotated[str | None, typer.Option("--target", help="On this target only.")] = None,
    as_json: Json = False,
) -> int:
    """Show how one secret is mapped, its versions, ids, last action, and what the next cycle will do about it."""
    with context.obj.open(writable=False) as app:
        if target is not None and target not in app.settings.targets:
            known = ", ".join(sorted(app.settings.targets))
            raise ConfigError(f"there is no target {target}", hint=f"the targets are {known}")
        explanation = explanation_of(app, what, target)
        if as_json:
            show_json(_as_json(app, explanation))
        else:
            for line in _lines(app, explanation):
                show(line)
        blind = {cycle.error.exit_code for cycle in explanation.cycles if cycle.error}
        if explanation.is_empty and blind:
            return worst(blind)  # nobody could look, so nothing says that there is no such name
        if explanation.is_empty:
            meant = f"did you mean {' or '.join(explanation.similar)}? " if explanation.similar else ""
            raise ConfigError(
                f"nothing is known of {what}: no rule takes it, and no job gives this name",
                hint=f"{meant}give a Wix name, a source path (mount included) or a Wix id",
            )
    return 0


def _as_json(app: App, explanation: Explanation) -> dict[str, Any]:
    now, served = app.runtime.clock(), app.served
    lines = [
        line for record in explanation.records for line in app.ledger.history(record.name, record.site, most=HISTORY)
    ]
    lines += explanation.history
    return {
        "mappings": explanation.mappings,
        "excluded": explanation.excluded,
        "records": [record_row(record, status_of_record(record, served, now)) for record in explanation.records],
        "troubles": [problem_row(problem) for problem in explanation.problems],
        "history": [history_row(line) for line in lines],
        "next": [
            {
                "job": cycle.job,
                "target": cycle.target,
                "names": list(cycle.wanted),
                # Null and not false: nobody could look, and what could not be read is not absent.
                "listed": None if cycle.error else cycle.listed,
                "readable": None if cycle.error else cycle.listed and not cycle.unread,
                "actions": [
                    {"action": verb_of(action), "name": action.name, "why": _why(action)} for action in cycle.actions
                ],
                "findings": [finding_row(finding) for finding in cycle.findings],
                "failures": [failure_row(failure) for failure in cycle.failures],
                "error": cycle.error.message if cycle.error else None,
            }
            for cycle in explanation.cycles
        ],
    }


def _lines(app: App, explanation: Explanation) -> Iterator[str]:
    now = app.runtime.clock()
    for row in explanation.mappings:
        name = row["name"] or row.get("why_not") or "a name per field, once it is read"
        how = f", listed by {row['listed_by']}" if row["listed_by"] else ""
        yield f"{row['ref']} -> {row['target']}: {name}  (job {row['job']}, rule {row['rule']}{how})"
    for exclusion in explanation.excluded:
        rule = f"job {exclusion['job']}, rule {exclusion['rule']}"
        yield f"{explanation.subject}: left out of {rule}, by exclude {exclusion['exclude']}"
    for record in explanation.records:
        yield from _record_lines(app, record, explanation)
    if explanation.history:
        yield f"{explanation.subject}: not in the ledger any more; what was done last:"
    for entry in explanation.history[:5]:
        done = f"{entry.action}: {entry.outcome} {entry.request_id}".rstrip()
        yield f"  {ago(entry.at, now):18} {entry.target}: {done}"
    for problem in explanation.problems:
        retry = f"; next try {ago(problem.retry_at, now)}" if problem.retry_at else ""
        place = app.first_target_on(problem.site, problem.job)
        since = f"{problem.kind} since {ago(problem.first_at, now)}"
        yield f"{problem.subject} on {place}: {since}: {problem.message}{retry}"
        if problem.hint:
            yield f"  fix: {problem.hint}"
    for cycle in explanation.cycles:
        if cycle.error is None:
            yield from _cycle_lines(cycle, explanation)
    # Ten sites that refuse one key are one cause.
    errors = ((cycle.job, cycle.target, cycle.error) for cycle in explanation.cycles if cycle.error is not None)
    for line in cycle_error_lines(errors):
        yield line.replace("syncd: ", "next cycle: nothing can be told: ", 1)


def _record_lines(app: App, record: Record, explanation: Explanation) -> Iterator[str]:
    now = app.runtime.clock()
    here = (cycle for cycle in explanation.cycles if app.site_of(cycle.target) == record.site)
    current = next((cycle.versions[record.name] for cycle in here if record.name in cycle.versions), None)
    yield f"{record.name} on {record.target} (site {record.site})"
    state = app.ledger.known_paths(record.ref.source).get((record.ref.path, record.pin))
    facts = {
        "status": status_of_record(record, app.served, now),
        "id at Wix": record.remote_id or "none yet",
        "source": str(record.ref),
        "job": record.job,
        "listed by": _listed_by(app, record) or "-",
        "version at Wix": version_label(record.version) or "-",
        "version at source": _version_at_source(current, state.version.token if state else ""),
        "last settled": ago(record.last_synced_at, now),
        "owned": "adopted: never deleted by syncd" if record.adopted else "created by syncd",
    }
    if record.frozen_until and record.frozen_until > now:
        facts["frozen until"] = f"{record.frozen_until:%Y-%m-%d %H:%M} UTC"
    if record.absent_for:
        facts["absent for"] = f"{int(record.absent_for.total_seconds() // 60)} min observed"
    for key, value in facts.items():
        yield f"  {key:18} {value}"
    for line in app.ledger.history(record.name, record.site, most=5):
        yield f"  {ago(line.at, now):18} {line.action}: {line.outcome} {line.request_id}".rstrip()


def _version_at_source(current: str | None, remembered: str) -> str:
    """Return the label of the version at the source as it is seen now; else as it was last seen, and say so."""
    if current is not None:
        return version_label(current) or "-"
    return f"{version_label(remembered)} when it was last seen" if remembered else "-"


def _listed_by(app: App, record: Record) -> str:
    from syncd.domain.naming import selects

    job, methods = app.runtime.jobs.get(record.job), listing_methods(app)
    taking = (rule.path.text for rule in (job.rules if job else ()) if selects(rule, record.ref))
    return next((methods[record.job, path] for path in taking if (record.job, path) in methods), "")


def _cycle_lines(cycle: NextCycle, explanation: Explanation) -> Iterator[str]:
    """What the next cycle of one job on one target will do."""
    place = f"next cycle of {cycle.job} on {cycle.target}"
    said = False
    for action in cycle.actions:
        said = True
        yield f"{place}: {verb_of(action)} {action.name} ({_why(action)})"
    for finding in cycle.findings:
        said = True
        if finding.kind is FindingKind.UNCHANGED:
            yield f"{place}: nothing, {finding.name} is as its source says" + (
                f" ({finding.message})" if finding.message else ""
            )
            continue
        yield f"{place}: {finding.kind.value} {finding.name}: {finding.message}"
        if finding.hint:
            yield f"  fix: {finding.hint}"
    if not said and cycle.listed and cycle.unread:
        yield f"{place}: nothing, its path is listed and could not be read"
    elif not said and explanation.mappings and not cycle.listed:
        tags = {row["tags"] for row in explanation.mappings if row["job"] == cycle.job and "tags" in row}
        known = (
            f"; its rule takes only what has the tags {' or '.join(sorted(tags))}" if tags else "; is the path right?"
        )
        # Where something could not be read the path may be in just that part, so nothing is said to be wrong with it.
        yield f"{place}: nothing, the source does not list this path{'' if cycle.failures else known}"
    for failure in cycle.failures:
        yield f"  unreadable  {failure.location}: {failure.message}"
        if failure.hint:
            yield f"              fix: {failure.hint}"


def _why(action: Action) -> str:
    return str(getattr(action, "reason", "new"))
