"""`syncd plan`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.context import chosen_jobs
from syncd.cli.json_rows import failure_row, finding_row
from syncd.cli.output import show, show_json, show_table, warn
from syncd.cli.parameters import Jobs, Json
from syncd.cli.plan_markdown import Part, markdown
from syncd.cli.plan_wishes import Wishes
from syncd.cli.report_output import cycle_error_lines, problems
from syncd.domain import FAILING_KINDS, Action, Create, Delete, Finding, FindingKind, verb_of, version_label
from syncd.errors import ConfigError, SyncdError, worst

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
    from syncd.reconcile.cycle import Cycle
    from syncd.reconcile.observe.observation_cache import ObservationCache
    from syncd.reconcile.planned_pass import Look

    codes, plans, failed = set(), [], list[dict[str, str]]()
    total: Counter[str] = Counter()
    errors: list[tuple[str, str, SyncdError]] = []
    wishes, parts, held = Wishes(), list[Part](), 0
    with context.obj.open(writable=False) as app:
        # One for all jobs: each source and site is listed once for the whole plan, so its parts agree.
        cache = ObservationCache()
        for job in chosen_jobs(app, jobs or []):
            for target in job.targets:
                try:
                    planned = Cycle(Look(runtime=app.runtime, job=job, target_name=target)).plan(cache)
                except SyncdError as error:
                    # A site or source that refuses ends its own part only, as in a cycle; the exit code tells it.
                    codes.add(error.exit_code)
                    failed.append({"job": job.name, "target": target, "error": error.message, "hint": error.hint})
                    errors.append((job.name, target, error))
                    parts.append(Part(job=job.name, target=target, rows=(), notes=(error.message,)))
                    continue
                site = app.runtime.site_of(target)
                # A plan shows both jobs the same site; in a sync the second one finds what the first has written.
                fresh, disputed = wishes.sorted_out(site, job.name, planned.plan.actions)
                planned.plan = replace(planned.plan, actions=fresh)
                findings = (*planned.plan.findings, *planned.desired.findings, *disputed, *planned.noticed)
                total.update(map(verb_of, planned.plan.actions))
                held += len(planned.plan.held)
                codes |= {finding.exit_code or int(finding.kind in FAILING_KINDS) for finding in findings}
                # A source that was read in part only is 4, though all the rest was planned.
                codes |= {4} if planned.source.failures else set()
                # Without what has no version (KV v1): nothing but a fingerprint could tell later whether it has moved.
                kept = planfile.actions_of(planned)
                plans.append({"job": job.name, "target": target, "site": site, "actions": kept})
                if as_json:
                    plans[-1] |= _more_for_scripts(planned, findings)
                    continue
                rests = app.runtime.paused(job.name, target)
                if form == "md":
                    parts.append(_part(job.name, target, planned, findings))
                else:
                    _show_plan(job.name, target, planned, findings, rests)
        # No findings and no times: the same inputs give the same file, byte for byte, and `read` refuses any other key.
        content = {
            "format": planfile.FORMAT,
            "configuration": app.config_digest,
            "plans": [{key: part[key] for key in ("job", "target", "site", "actions")} for part in plans],
        }
    if as_json:
        show_json({**content, "plans": plans, "failed": failed})
    elif form == "md":
        sys.stdout.write(markdown(parts))
    for line in cycle_error_lines(errors):
        warn(line)
    if out is not None:
        _keep(out, content, is_complete=not codes - {0, 1, 6})
    if not as_json and form == "table" and len(plans) > 1:
        show(f"in all: {_tally(total)}{f', {held} held' if held else ''}")
    code = worst(codes)
    # What failed outweighs what waits: 3, 4, 5 and 7 say that this plan is not the whole one.
    return 2 if detailed_exitcode and total and code in {0, 1, 6} else code


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
    """`seek` is named only where it is to be done: an id that the listing lacks is rare."""
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
