"""Rows for a name that is wanted: nothing there, somebody else's, ours and unlisted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from syncd.domain import Create, DesiredSecret, FindingKind, Pending, Reason, Record, RemoteSecret, Update
from syncd.domain.ownership import other_owner
from syncd.domain.value_templates import form_in
from syncd.domain.write_window import may_be_late_commit
from syncd.reconcile.plan.builder import PlanBuilder, lately, owns, rests, seek, update
from syncd.reconcile.plan.rows_listed import judge_listed


def judge_wanted(table: PlanBuilder, wanted: DesiredSecret) -> None:
    facts, now = table.view.facts, table.view.now
    record = table.records.get(wanted.name)
    if wanted.name in facts.ended:
        return
    if record and record.frozen_until and record.frozen_until > now:
        table.found(FindingKind.FROZEN, wanted, f"frozen until {record.frozen_until:%Y-%m-%d %H:%M} UTC")
        return
    fault = facts.faults.get(wanted.key)
    if fault is not None:
        table.found(FindingKind.FAILED, wanted, fault.message, fault.hint)
        return
    trouble = facts.troubles.get(wanted.name)
    if trouble and rests(trouble, wanted.version, wanted.rule, now):
        table.found(FindingKind.QUARANTINED, wanted, trouble.message, trouble.hint)
        return
    if record is None:
        _unrecorded(table, wanted)
    elif wanted.name in facts.waiting:
        hint = "if two names wait for one another, give one of the rules a third name first"
        table.found(FindingKind.CONFLICT, wanted, facts.waiting[wanted.name], hint)
    elif record.name != wanted.name and record.name in facts.kept_by:
        table.found(
            FindingKind.CONFLICT,
            wanted,
            f"{record.name} of job {record.job} differs only in case",
            "give one of the two rules another `name`",
        )
    elif (
        record.job != wanted.job
        and record.name in facts.kept_by
        and owns(record, wanted)
        and form_in(record.version) != form_in(wanted.version)
    ):
        table.found(
            FindingKind.CONFLICT,
            wanted,
            f"job {record.job} already sends {wanted.name} of the same secret, made by another template or encoding",
            "give one of the two rules another `name`, or both the same `value` and `binary`",
        )
    elif not owns(record, wanted) and wanted.name not in facts.passable:
        table.found(
            FindingKind.CONFLICT,
            wanted,
            f"{wanted.name} belongs to {record.ref} of job {record.job}",
            "give one of the two rules another `name`",
        )
    else:
        _recorded(table, wanted, _awake(table, wanted, record))


def _awake(table: PlanBuilder, wanted: DesiredSecret, record: Record) -> Record:
    """A wanted record has no tombstone, and passes to this job if its own no longer wants it."""
    awake = record
    if record.absent_at or record.absent_for or record.target != table.view.target:
        awake = replace(record, absent_at=None, absent_for=timedelta(0), target=table.view.target)
    if record.job != wanted.job and wanted.name not in table.view.facts.kept_by and owns(record, wanted):
        awake = replace(awake, job=wanted.job)
    if awake != record:
        table.note(awake)
    return awake


def _unrecorded(table: PlanBuilder, wanted: DesiredSecret) -> None:
    listed = table.at(wanted.name)
    if listed is None:
        _create(table, wanted, None)
        return
    _foreign(table, wanted, listed, None)


def _foreign(table: PlanBuilder, wanted: DesiredSecret, listed: RemoteSecret, record: Record | None) -> None:
    """A secret that is not ours has the name. It is left alone unless the job or a grant says adopt."""
    holder = table.holders.get(listed.id)
    policies, facts = table.view.policies, table.view.facts
    grant, owner = facts.grants.get(wanted.name), other_owner(listed.description, table.view.owner)
    granted = grant is not None and grant.remote_id == listed.id and owner in {"", grant.owner}
    known = facts.known_ids.get(listed.id)
    if known and known.frozen_until and known.frozen_until > table.view.now:
        table.found(FindingKind.FROZEN, wanted, f"frozen until {known.frozen_until:%Y-%m-%d %H:%M} UTC, by its id")
    elif holder is not None:
        table.found(
            FindingKind.CONFLICT,
            wanted,
            f"{listed.name} on the site is our secret {holder.name}, under another name",
            "it goes back to its own name first, or rename it at Wix",
        )
    elif listed.name != wanted.name:
        table.found(
            FindingKind.CONFLICT,
            wanted,
            f"the site has {listed.name}, which differs only in case",
            "rename or remove it at Wix, or give the rule another `name`",
        )
    elif owner and not granted:
        table.found(
            FindingKind.CONFLICT,
            wanted,
            f"the secret of this name carries the mark of another syncd, {owner}",
            f"let one of the two installations leave it out; to take it over: {_adopting(table, wanted)}",
        )
    elif policies.adopt or granted:
        _adopt(table, wanted, listed, record)
    elif grant is not None:
        table.found(
            FindingKind.CONFLICT,
            wanted,
            f"the permission to take it over was given for another secret of this name, id {grant.remote_id}",
            f"look at this one, id {listed.id}; to take it over: {_adopting(table, wanted)}",
        )
    else:
        table.found(
            FindingKind.CONFLICT,
            wanted,
            "the site already has a secret of this name that syncd did not create",
            f"rename it at Wix, or take it over: {_adopting(table, wanted)}, or conflict_policy: adopt",
        )


def _adopt(table: PlanBuilder, wanted: DesiredSecret, listed: RemoteSecret, record: Record | None) -> None:
    """Take a secret over. Where its value may be read it is compared first, and the same value is not sent."""
    facts = table.view.facts
    if wanted.name in facts.postponed:
        return
    seed = record or Record(
        site=table.view.site, name=wanted.name, target=table.view.target, job=wanted.job, ref=wanted.ref
    )
    taken = replace(seed, remote_id=listed.id, pin=wanted.pin, adopted=True, unverified=True, pending=None, window=None)
    at_site = facts.site_values.get(wanted.name)
    if at_site is not None and wanted.fingerprint is not None:
        if at_site != wanted.fingerprint:
            update(table, wanted, taken, Reason.ADOPT_OTHER)
            return
        known = replace(
            taken,
            version=wanted.version,
            fingerprint=wanted.fingerprint,
            source_updated_at=wanted.updated_at,
            unverified=False,
            verified_at=table.view.now,
        )
        table.actions.append(Update(desired=wanted, record=known, reason=Reason.ADOPT_SAME, describe_only=True))
        return
    if facts.readable and wanted.name not in facts.uncompared:
        table.compares.add(wanted.name)
    update(table, wanted, taken, Reason.ADOPT)


def _adopting(table: PlanBuilder, wanted: DesiredSecret) -> str:
    return f"syncd state adopt {wanted.name} --target {table.view.target} --reason '…'"


def _create(table: PlanBuilder, wanted: DesiredSecret, record: Record | None) -> None:
    if not table.believed:
        table.found(
            FindingKind.UNKNOWN,
            wanted,
            "the site lists less than half of what the ledger holds there, so nothing is created",
            "look at the site; the next cycle lists again",
            exit_code=5,
        )
        return
    if wanted.name in table.view.facts.uncreated:
        table.found(
            FindingKind.UNVERIFIED,
            wanted,
            "its creation lost its answer, and the site does not list it yet",
            "the next cycle looks again before it creates anything",
        )
        return
    if wanted.value is None:
        table.values.add(wanted.name)
    table.actions.append(Create(desired=wanted, record=record))


def _recorded(table: PlanBuilder, wanted: DesiredSecret, record: Record) -> None:
    if record.remote_id is None:
        if record.pending is Pending.CREATE and not owns(record, wanted) and may_be_late_commit(record, table.view.now):
            table.found(
                FindingKind.UNVERIFIED, wanted, f"a creation from {record.ref} lost its answer and may still come"
            )
            return
        listed = table.at(wanted.name)
        if listed is None:
            _create(table, wanted, record)
        else:
            _foreign(table, wanted, listed, record)
        return
    listed = table.ids.get(record.remote_id)
    if listed is None:
        _unlisted(table, wanted, record)
    else:
        judge_listed(table, wanted, record, listed)


def _unlisted(table: PlanBuilder, wanted: DesiredSecret, record: Record) -> None:
    other = table.at(wanted.name)
    if other is not None:
        if lately(record.unlisted_tried_at, table.view.now):
            table.found(
                FindingKind.CONFLICT,
                wanted,
                "the site lists another secret of this name, and ours exists under its id, unlisted",
                "look for both at Wix; the next cycles do, too",
            )
        else:
            seek(table, record)  # only its 404 makes the name somebody else's
        return
    changed = wanted.version != record.version or not owns(record, wanted)
    if changed or not lately(record.unlisted_tried_at, table.view.now):
        update(table, wanted, record, Reason.UNLISTED, rename=record.name != wanted.name)
    else:
        table.found(
            FindingKind.UNKNOWN,
            wanted,
            "the site does not list it, though it took a write within the hour",
            "it is looked for again in every cycle",
        )
