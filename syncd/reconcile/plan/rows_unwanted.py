"""Rows for a record that its job no longer wants: unknown, waiting out its grace, or to be deleted."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

from syncd.domain import Delete, FindingKind, Pending, Presence, Record, RemoteSecret
from syncd.domain.write_window import Change, judge
from syncd.reconcile.plan.builder import PlanBuilder, lately, rests, seek


def judge_unwanted(table: PlanBuilder, record: Record) -> None:
    now, policies, facts = table.view.now, table.view.policies, table.view.facts
    if record.name in facts.ended:
        return
    if record.frozen_until and record.frozen_until > now:
        table.found(FindingKind.FROZEN, record, f"frozen until {record.frozen_until:%Y-%m-%d %H:%M} UTC")
        if record.absent_at is not None:
            table.note(replace(record, absent_at=None))
        return
    if record.remote_id and record.remote_id not in table.ids and not lately(record.unlisted_tried_at, now):
        seek(table, record)
    presence, why = facts.presence.get(record.name, (Presence.UNKNOWN, "not looked for"))
    if presence is Presence.UNKNOWN or record.name in facts.wanted_elsewhere:
        if record.absent_at is not None:
            table.note(replace(record, absent_at=None))
        if presence is Presence.UNKNOWN:
            table.found(FindingKind.UNKNOWN, record, why)
        else:
            table.found(FindingKind.UNCHANGED, record, "another job wants it")
        return
    if record.remote_id is None:
        table.found(FindingKind.UNVERIFIED, record, "its creation lost its answer; looked for in each listing")
        return
    listed = table.ids.get(record.remote_id)
    if record.unverified and listed is not None and policies.delete:
        verified = _compared(table, record, listed)
        if verified is None:
            table.found(
                FindingKind.UNVERIFIED,
                record,
                f"{why}; not deleted: what the site holds under this id is not known",
                f"look at it, delete it at Wix by hand, then: syncd state forget {record.name}",
            )
            return
        record = verified
        table.note(record)
    kind = FindingKind.MISSING if presence is Presence.ABSENT else FindingKind.ORPHAN
    if not policies.delete:
        table.found(kind, record, f"{why}; kept (deletion_policy: keep)")
        return
    _tombstone(table, record, listed, kind, why)


def _compared(table: PlanBuilder, record: Record, listed: RemoteSecret) -> Record | None:
    """The row as verified, if the site's value is seen to be the one that we left; time alone verifies nothing."""
    facts = table.view.facts
    if record.fingerprint is None or (listed.name, listed.description) != (record.name, record.description):
        return None
    if record.name in facts.postponed or record.name in facts.uncompared:
        return None
    if facts.readable and record.name not in facts.site_values:
        table.compares.add(record.name)
    if facts.site_values.get(record.name) != record.fingerprint:
        return None
    return replace(record, unverified=False, lost_writes=(), window=None, pinned_at=listed.updated_at)


def judge_of_gone_job(table: PlanBuilder, record: Record) -> None:
    """No job sends it here any more: an orphan that goes by command only; but a listing must not lack it for ever."""
    listed = record.remote_id in table.ids
    if record.name in table.view.facts.taken_over:
        return
    if record.frozen_until and record.frozen_until > table.view.now:
        return
    if record.remote_id and not listed and not lately(record.unlisted_tried_at, table.view.now):
        seek(table, record)
    if record.status != "orphan" or record.absent_at is not None:
        table.note(replace(record, status="orphan", absent_at=None))
    if record.name in table.view.facts.left_behind:
        why = f"job {record.job} sends nothing to this site any more; kept as it is"
        table.found(
            FindingKind.ORPHAN, record, why, f"to remove it: syncd state forget {record.name} --delete --reason '…'"
        )


def _tombstone(table: PlanBuilder, record: Record, listed: RemoteSecret | None, kind: FindingKind, why: str) -> None:
    """Add up the observed absence, and delete once it has reached the grace."""
    now, policies = table.view.now, table.view.policies
    seen = record.absent_for
    if record.absent_at is not None:
        seen += max(timedelta(0), min(now - record.absent_at, 2 * policies.interval))
    table.note(replace(record, absent_at=now, absent_for=seen))
    if seen < policies.grace:
        left = policies.grace - seen
        table.found(kind, record, f"{why}; deleted after {_hours(left)} more of observed absence")
        return
    obstacle = obstacle_to_deletion(record, listed, now, believed=table.believed)
    obstacle = obstacle or table.view.facts.objections.get(record.name, "")
    trouble = table.view.facts.troubles.get(record.name)
    if trouble and rests(trouble, "", "", now):
        table.found(FindingKind.QUARANTINED, record, trouble.message, trouble.hint)
    elif obstacle:
        table.found(kind, record, f"{why}; not deleted: {obstacle}")
    else:
        table.actions.append(Delete(record=replace(record, absent_at=now, absent_for=seen), reason=why, kind=kind))


def _hours(left: timedelta) -> str:
    if left < timedelta(minutes=1):
        return f"{math.ceil(left.total_seconds())}s"
    minutes = int(left.total_seconds() // 60) + 1
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m"


def obstacle_to_deletion(record: Record, listed: RemoteSecret | None, now: datetime, *, believed: bool) -> str:
    """Why an id may not be deleted now; empty if it is ours, listed, and as we left it."""
    if record.is_frozen(now):
        return "it is frozen"
    if record.adopted:
        return "it was adopted, not created by syncd; delete it at Wix"
    if record.unverified or record.pending in {Pending.CREATE, Pending.UPDATE}:
        return "its content is not verified yet"
    if listed is None or not believed:
        return "the site's listing does not show it (it is looked for by its id)"
    if listed.name != record.name:
        return f"it was renamed to {listed.name} at Wix"
    if listed.description != record.description:
        return "its description was changed at Wix"
    untold = listed.updated_at is None and record.pinned_at is None
    if judge(record, listed.updated_at) is not Change.OURS and not untold:
        return "it was changed at Wix by somebody else"
    return ""
