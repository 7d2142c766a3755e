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

from collections.abc import Iterator, Sequence

from syncd.domain import Create, Delete, DesiredSecret, FindingKind, Plan, ReadRequests, Record, RemoteSecret, Update
from syncd.reconcile.plan.builder import PlanBuilder, owns, rows_for
from syncd.reconcile.plan.inputs import DAY, LONGEST_DELAY, Evidence, PlannerInput, Policies
from syncd.reconcile.plan.rows_unwanted import judge_of_gone_job, judge_unwanted, obstacle_to_deletion
from syncd.reconcile.plan.rows_wanted import judge_wanted

__all__ = [
    "DAY",
    "LONGEST_DELAY",
    "Evidence",
    "PlannerInput",
    "Policies",
    "listing_is_believed",
    "obstacle_to_deletion",
    "plan",
    "rows_for",
]


def listing_is_believed(records: Sequence[Record], remote: Sequence[RemoteSecret]) -> bool:
    """False when the listing lacks more than half of what the ledger holds there."""
    ids = {secret.id for secret in remote}
    held = [record.remote_id for record in records if record.remote_id]
    return 2 * sum(1 for secret_id in held if secret_id not in ids) <= len(held)


def plan(view: PlannerInput) -> Plan:
    """Judge every wanted name and every record of the job. Same view, same plan, in the same order."""
    table = PlanBuilder(
        view=view,
        ids={secret.id: secret for secret in view.remote},
        names={secret.name: secret for secret in view.remote},
        folded={secret.name.casefold(): secret for secret in view.remote},
        records=rows_for(view.desired, view.records),
        holders={record.remote_id: record for record in view.records if record.remote_id},
        believed=listing_is_believed(view.records, view.remote),
    )
    used = {wanted.name for wanted in view.desired} | {record.name for record in table.records.values()}
    for wanted in _without_collisions(table):
        judge_wanted(table, wanted)
    for record in sorted(view.records, key=lambda row: row.name):
        if record.job == view.policies.job and record.name not in used:
            judge_unwanted(table, record)
        elif record.job not in view.facts.jobs and record.name not in used:
            judge_of_gone_job(table, record)
    order = {Update: 0, Create: 1, Delete: 2}
    tried = view.facts.troubles  # what failed in the cycle before comes last: it may not hold up the others for ever
    return Plan(
        actions=tuple(
            sorted(table.actions, key=lambda action: (order[type(action)], action.name in tried, action.name))
        ),
        findings=tuple(table.findings),
        notes=tuple(table.notes[name] for name in sorted(table.notes)),
        needs=ReadRequests(values=frozenset(table.values), compares=frozenset(table.compares)),
    )


def _without_collisions(table: PlanBuilder) -> Iterator[DesiredSecret]:
    """Names that fall together, also by case alone, are reported; only the one that owns it goes on."""
    groups: dict[str, list[DesiredSecret]] = {}
    for wanted in sorted(table.view.desired, key=lambda d: (d.name, d.ref.source, d.ref.path, str(d.ref))):
        groups.setdefault(wanted.name.casefold(), []).append(wanted)
    for group in groups.values():
        if len(group) == 1:
            yield group[0]
            continue
        owner = next((d for d in group if owns(table.records.get(d.name), d)), None)
        for wanted in group:
            if wanted is owner:
                yield wanted
                continue
            rest = [f"{d.ref} as {d.name}" for d in group if d is not wanted]
            others = ", ".join(rest[:3]) + (f" and {len(rest) - 3} more" if len(rest) > 3 else "")
            table.found(
                FindingKind.CONFLICT,
                wanted,
                f"{wanted.ref} and {others} fall on one name",
                "give one rule another `name`, or exclude one path",
            )
