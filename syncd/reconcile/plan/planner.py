"""The truth table: what one cycle does with each name on one site. Pure; time and facts are passed in.

A name that is wanted:

    record   on the site                     then
    ------   ---------------------------     -----------------------------------------------------------
    none     nothing                         Create
    none     a secret that is not ours       Conflict; with consent (adopt) Update, of the description alone
                                             where its value is seen to be the same
    none     a name in another case          Conflict
    no id    nothing                         Create (a lost create is looked for first, by recovery)
    id       not listed                      Update by id, at most once an hour; only its 404 leads to Create
    id       listed, unverified              Update (or compare)
    id       listed under another name       Drift: Update with the name (one in another case is ours: renamed)
    id       listed, newer source version    Update; the same value only moves the record
    id       listed, later date              Drift: Update, three a day, then Contested
    id       listed, a date that tells       compare, or Update once; reported where the policy says so
             nothing (none, or an old one
             minutes after our last write)
    id       listed, other description       Update of the description
    id       listed, verification due        read and compare; Update if it differs
    id       listed, all as recorded         Unchanged

A record that its job no longer wants: Unknown stops its tombstone; Missing and Orphan run it; Delete once
the observed absence has reached the grace, and only if the secret is as we left it.
"""

from __future__ import annotations

from collections.abc import Iterator

from syncd.domain import DesiredSecret, FindingKind, Plan
from syncd.reconcile.plan.builder import PlanBuilder, Verdict, owns, report
from syncd.reconcile.plan.inputs import PlannerInput
from syncd.reconcile.plan.rows_unwanted import judge_of_gone_job, judge_unwanted
from syncd.reconcile.plan.rows_wanted import judge_wanted


def plan(inputs: PlannerInput) -> Plan:
    """Judge every wanted name and every record of the job. The same inputs give the same plan, in the same order."""
    builder = PlanBuilder(inputs)
    return builder.plan(_verdicts(builder))


def _verdicts(builder: PlanBuilder) -> Iterator[Verdict]:
    inputs = builder.inputs
    used = {desired.name for desired in inputs.desired} | {record.name for record in builder.records.values()}
    for group in _by_folded_name(inputs):
        yield from _of_group(builder, group)
    for record in sorted(inputs.records, key=lambda record: record.name):
        if record.name in used:
            continue
        if record.job == inputs.policies.job:
            yield judge_unwanted(builder.row_of_record(record), record)
        # A record of another configured job is that job's to judge.
        elif record.job not in inputs.evidence.jobs:
            yield judge_of_gone_job(builder.row_of_record(record), record)


def _by_folded_name(inputs: PlannerInput) -> Iterator[list[DesiredSecret]]:
    """Desired secrets grouped by folded name, as a site compares that ignores case."""
    groups: dict[str, list[DesiredSecret]] = {}
    for desired in sorted(inputs.desired, key=lambda d: (d.name, d.ref.source, d.ref.path, str(d.ref))):
        groups.setdefault(desired.name.casefold(), []).append(desired)
    yield from groups.values()


def _of_group(builder: PlanBuilder, group: list[DesiredSecret]) -> Iterator[Verdict]:
    """Judge secrets that fall on one name: the one that owns it goes on, the others are reported."""
    alone = group[0] if len(group) == 1 else None
    owner = alone or next((d for d in group if owns(builder.records.get(d.name), d)), None)
    all_of_it = [f"{d.ref} as {d.name}" for d in group]
    more = f" and {len(group) - 4} more" if len(group) > 4 else ""
    message = f"{' and '.join(all_of_it[:4])}{more} fall on one name"  # the same for each: it is one cause
    for desired in group:
        if desired is owner:
            yield judge_wanted(builder.row_of(desired), desired)
            continue
        hint = "give one rule another `name`, with {path} or {field} in it, or exclude one path"
        yield report(FindingKind.CONFLICT, desired, message, hint)
