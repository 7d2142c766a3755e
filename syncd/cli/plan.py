"""`syncd plan`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.json_rows import failure_row, finding_row
from syncd.cli.output import show, show_json, show_table, warn
from syncd.cli.parameters import Jobs, Json
from syncd.cli.plan_markdown import Part, markdown
from syncd.cli.planned_jobs import AllJobs, each_plan
from syncd.cli.report_output import cycle_error_lines, problems
from syncd.domain import Action, Create, Delete, Finding, FindingKind, verb_of, version_label
from syncd.errors import WORKED, ConfigError, worst

if TYPE_CHECKING:
    from syncd.reconcile.planned_pass import PlannedPass

SHORT = 12
"""Characters of a version in a table."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(plan)


def plan(
    context: typer.Context,
    jobs: Jobs = None,
    *,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the plan in this file, for `syncd apply`.")] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 2 when changes are waiting.")
    ] = False,
    form: Annotated[str, typer.Option("--format", help="table, or md: a comment for a pull request.")] = "table",
    as_json: Json = False,
) -> int:
    """Show what a sync would do, what it would withhold, and why. Changes nothing."""
    if form not in {"table", "md"}:
        raise ConfigError(f"--format {form} is not known", hint="table or md; for JSON: --json")
    from syncd.reconcile import saved_plan as planfile

    # Before anything is opened: a ledger that this process reads would lose its lock when its file is closed here.
    if out is not None:
        planfile.see_place(out)
    all_jobs = AllJobs()
    with context.obj.open(writable=False) as app:
        for job, target, planned in each_plan(app, jobs or [], all_jobs):
            findings = all_jobs.take(job, target, app.site_of(target), planned)
            if as_json:
                all_jobs.plans[-1] |= _more_for_scripts(planned, findings)
            elif form == "md":
                all_jobs.parts.append(_part(job, target, planned, findings))
            else:
                _show_plan(job, target, planned, findings, app.runtime.paused(job, target))
        # No findings and no times: the same inputs give the same file, byte for byte, and `read` refuses any other key.
        content = {
            "format": planfile.FORMAT,
            "configuration": app.config_digest,
            "plans": [{key: part[key] for key in ("job", "target", "site", "actions")} for part in all_jobs.plans],
        }
    if as_json:
        show_json({**content, "plans": all_jobs.plans, "failed": all_jobs.failed})
    elif form == "md":
        sys.stdout.write(markdown(all_jobs.parts))
    for line in cycle_error_lines(all_jobs.errors):
        warn(line)
    if out is not None:
        _keep(out, content, is_complete=not all_jobs.codes - WORKED)
    total, held = all_jobs.total, len(all_jobs.waiting)
    if not as_json and form == "table" and len(all_jobs.plans) > 1:
        show(f"in all: {_tally(total)}{f', {held} held' if held else ''}")
    code = worst(all_jobs.codes)
    # What failed outweighs what waits: 3, 4, 5 and 7 say that this plan is not the whole one.
    return 2 if detailed_exitcode and total and code in WORKED else code


def _keep(file: Path, content: dict[str, Any], *, is_complete: bool) -> None:
    from syncd.reconcile.saved_plan import sealed, write

    # A plan is an approval: with a part missing it would read as if nothing were to be done there.
    if is_complete:
        write(file, sealed(content))
        warn(f"kept in {file}; carry it out with: syncd apply {file}")
    else:
        warn(f"syncd: {file} is not written, because the plan is not complete")


def _more_for_scripts(planned: PlannedPass, findings: Sequence[Finding]) -> dict[str, Any]:
    from syncd.reconcile.saved_plan import unversioned

    said = [finding_row(finding) for finding in findings if finding.kind is not FindingKind.UNCHANGED]
    failures = [failure_row(failure) for failure in planned.source.failures]
    without = [action.name for action in planned.plan.actions if unversioned(action)]
    return {"findings": said, "failures": failures, "unversioned": without}


def _part(job: str, target: str, planned: PlannedPass, findings: tuple[Finding, ...]) -> Part:
    notes = tuple(line.strip() for line in problems(findings, None, planned.source.failures))
    return Part(job=job, target=target, rows=[_row(action) for action in planned.plan.actions], notes=notes)


def _show_plan(job: str, target: str, planned: PlannedPass, findings: tuple[Finding, ...], rests: str) -> None:
    from syncd.reconcile.saved_plan import unversioned

    actions = planned.plan.actions
    same = sum(finding.kind is FindingKind.UNCHANGED for finding in findings)
    held = f", {len(planned.plan.held)} held" if planned.plan.held else ""
    show(f"{job} -> {target}: {_tally(Counter(map(verb_of, actions)))}, {same} unchanged{held}")
    if actions:
        show_table(["ACTION", "NAME", "FROM", "TO", "WHY", "SOURCE"], [_row(action) for action in actions])
    if any(unversioned(action) for action in actions):
        show("  KV v1 has no versions: a kept plan leaves these out, `syncd sync` sends them")
    for line in problems(findings, None, planned.source.failures):
        show(line)
    if rests:
        show(f"  paused      {rests}; sync sends nothing meanwhile")
    show()


def _tally(counts: Counter[str]) -> str:
    """Return the counts in words: `2 to create, 0 to update, 1 to delete`.

    `seek` (an id that the listing lacks is looked for) is rare, and is named only where it is to be done.
    """
    verbs = ["create", "update", "delete", *(["seek"] if counts["seek"] else [])]
    return ", ".join(f"{counts[verb]} to {verb}" for verb in verbs)


def _row(action: Action) -> list[str]:
    ref = action.record.ref if isinstance(action, Delete) else action.desired.ref
    before = version_label(action.record.version) if action.record else ""
    after = "" if isinstance(action, Delete) else version_label(action.desired.version)
    reason = "new" if isinstance(action, Create) else str(action.reason)
    return [
        verb_of(action),
        action.name,
        before[:SHORT] or "-",
        after[:SHORT] or "-",
        reason,
        str(ref),
    ]
