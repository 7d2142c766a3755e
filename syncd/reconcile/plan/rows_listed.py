"""Rows for a wanted name whose id is on the site: drift, rotation, verification, or nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from syncd.domain import DesiredSecret, FindingKind, Reason, Record, RemoteSecret, Update
from syncd.domain.recency import happened_within
from syncd.domain.write_window import Change, judge, may_be_late_commit, may_lag, recently_lost
from syncd.reconcile.plan.builder import PlanBuilder, owns, update
from syncd.reconcile.plan.inputs import DAY, MAX_RESTORES

LATER = "what the site holds is compared in a later pass"


def judge_listed(table: PlanBuilder, wanted: DesiredSecret, record: Record, listed: RemoteSecret) -> None:
    """The record's id is on the site: the last rows of the truth table, most urgent first."""
    change, now = judge(record, listed.updated_at), table.view.now
    if change is Change.OURS and (record.window or record.pinned_at != listed.updated_at):
        record = replace(record, window=None, pinned_at=listed.updated_at)
        table.note(record)
    elif change is Change.UNTOLD and listed.updated_at and (may_lag(record, now) or record.doubted_at):
        # Our write's answer had no date: the first date that is listed after it is taken for its own.
        record = replace(record, pinned_at=listed.updated_at)
        table.note(record)
        change = Change.OURS
    rename = listed.name != wanted.name
    squatter = table.at(wanted.name)
    if rename and squatter is not None and squatter.id != listed.id:
        table.found(
            FindingKind.CONFLICT,
            wanted,
            f"our secret is called {listed.name} at Wix, and another one has its name",
            "remove or rename one of the two at Wix",
        )
    elif not owns(record, wanted):
        _moved(table, wanted, record, as_left=change is Change.OURS and not rename)
    elif record.unverified:
        _compare_first(table, wanted, record, listed, Reason.UNVERIFIED)
    elif record.name != wanted.name:
        update(table, wanted, record, Reason.CASE, rename=rename)
    elif rename:
        _renamed(table, wanted, record, listed)
    elif wanted.version != record.version and wanted.fingerprint is None:
        update(table, wanted, record, Reason.ROTATED)
    elif wanted.fingerprint is not None and record.fingerprint is None and wanted.version == record.version:
        _compare_first(table, wanted, record, listed, Reason.VERIFY)  # a ledger that was moved: nothing tells
    elif wanted.fingerprint is not None and wanted.fingerprint != record.fingerprint:
        reason = Reason.ROTATED if wanted.version != record.version else Reason.VERIFY
        update(table, wanted, record, reason)
    else:
        if wanted.version != record.version:
            record = replace(record, version=wanted.version, source_updated_at=wanted.updated_at)
            table.note(record)
        _settled(table, wanted, record, listed, change)


def _moved(table: PlanBuilder, wanted: DesiredSecret, record: Record, *, as_left: bool) -> None:
    """Its name comes from another reference now (a renamed source, a moved path). The same value is not sent again."""
    same = wanted.fingerprint is not None and wanted.fingerprint == record.fingerprint
    if as_left and same and not record.unverified:
        table.actions.append(Update(desired=wanted, record=record, reason=Reason.MOVED, describe_only=True))
    else:
        update(table, wanted, record, Reason.MOVED, rename=table.ids[str(record.remote_id)].name != wanted.name)


def _renamed(table: PlanBuilder, wanted: DesiredSecret, record: Record, listed: RemoteSecret) -> None:
    if _may_restore(table, wanted, record, f"renamed to {listed.name} at Wix"):
        update(table, wanted, record, Reason.RENAMED, rename=True)
    elif wanted.version != record.version:
        update(table, wanted, record, Reason.ROTATED)


def _settled(table: PlanBuilder, wanted: DesiredSecret, record: Record, listed: RemoteSecret, change: Change) -> None:
    """The site should hold this version already: drift, description, verification, or nothing."""
    now, policies = table.view.now, table.view.policies
    if change is Change.THEIRS and listed.description == wanted.description != record.description:
        _mark_arrived(table, wanted, record, listed)
    elif change is Change.THEIRS and may_be_late_commit(record, now):
        _compare_first(table, wanted, record, listed, Reason.LATE)
    elif change is Change.THEIRS:
        if _may_restore(table, wanted, record, "changed at Wix by somebody else"):
            _compare_first(table, wanted, record, listed, Reason.DRIFT)
    elif _tells_nothing(change, record, listed, now) and record.doubted_at != listed.updated_at:
        _doubted(table, wanted, record, listed)
    elif wanted.description != record.description and record.job == wanted.job:
        table.actions.append(Update(desired=wanted, record=record, reason=Reason.DESCRIPTION, describe_only=True))
    elif policies.verify_every and _verification_is_due(record, policies.verify_every, now):
        _verify(table, wanted, record, listed)
    else:
        table.found(FindingKind.UNCHANGED, wanted)


def _mark_arrived(table: PlanBuilder, wanted: DesiredSecret, record: Record, listed: RemoteSecret) -> None:
    """The response to a write of the mark alone was lost, and the listing proves that it was committed.

    A change by somebody else after it would look the same, so the value is compared where it may be read; elsewhere
    the next verification does.
    """
    facts = table.view.facts
    at_site = facts.site_values.get(wanted.name)
    marked = replace(record, description=listed.description)
    if wanted.name in facts.postponed:
        table.found(FindingKind.BEHIND, wanted, LATER)
        return
    if facts.readable and at_site is None and wanted.name not in facts.uncompared:
        table.compares.add(wanted.name)
    if at_site not in {None, record.fingerprint}:
        if _may_restore(table, wanted, marked, "changed at Wix by somebody else"):
            update(table, wanted, marked, Reason.DRIFT, restore=True)
        return
    verified_at = table.view.now if at_site else None
    table.note(replace(marked, window=None, pinned_at=listed.updated_at, verified_at=verified_at))
    table.found(FindingKind.UNCHANGED, wanted)


def _tells_nothing(change: Change, record: Record, listed: RemoteSecret, now: datetime) -> bool:
    """No date that we know, or one from before a write that every listing shows by now (a site put back)."""
    if listed.updated_at is None:
        return False  # a site without dates: the periodic verification looks
    return change is Change.UNTOLD or (change is Change.EARLIER and not may_lag(record, now))


def _doubted(table: PlanBuilder, wanted: DesiredSecret, record: Record, listed: RemoteSecret) -> None:
    """Compare; where values may not be read, write ours once for this date, or report it, as the policy says."""
    facts = table.view.facts
    if wanted.name in facts.postponed:
        table.found(FindingKind.BEHIND, wanted, LATER)
        return
    may_compare = facts.readable and wanted.name not in facts.uncompared
    if not table.view.policies.restore and not may_compare:
        hint = "drift_policy: restore writes our value again"
        table.found(
            FindingKind.DRIFT, wanted, "its date at Wix is not of our last write, and its value may not be read", hint
        )
        return
    compared = may_compare and wanted.name in facts.site_values
    if compared and facts.site_values[wanted.name] == wanted.fingerprint == record.fingerprint:
        table.note(_verified(record, wanted, listed, table.view.now, late=True))
        table.found(FindingKind.UNCHANGED, wanted)
    elif may_compare and not compared:
        table.values.add(wanted.name)
        table.compares.add(wanted.name)
        table.found(FindingKind.UNCHANGED, wanted)
    elif _may_restore(table, wanted, record, "not as we left it: its date at Wix is older than our last write"):
        update(table, wanted, replace(record, doubted_at=listed.updated_at), Reason.DOUBTED)


def _may_restore(table: PlanBuilder, wanted: DesiredSecret, record: Record, what: str) -> bool:
    lately = [at for at in record.restores if happened_within(at, table.view.now, DAY)]
    if not table.view.policies.restore:
        table.found(FindingKind.DRIFT, wanted, what, "drift_policy: restore writes our value again")
        return False
    if len(lately) >= MAX_RESTORES:
        table.found(
            FindingKind.CONTESTED,
            wanted,
            f"{what}; restored {len(lately)} times within a day, no longer fought over",
            f"find who writes it at Wix, or freeze it: syncd state freeze {wanted.name} --until DATE --reason '…'",
        )
        return False
    return True


def _compare_first(
    table: PlanBuilder, wanted: DesiredSecret, record: Record, listed: RemoteSecret, reason: Reason
) -> None:
    """Where the site's values may be read, write only what differs; elsewhere write."""
    facts = table.view.facts
    if wanted.name in facts.postponed:
        table.found(FindingKind.BEHIND, wanted, LATER)
        return
    site_value = facts.site_values.get(wanted.name)
    named = listed.name == wanted.name == record.name
    if wanted.fingerprint is not None and site_value == wanted.fingerprint and named:
        if listed.description == wanted.description:
            table.note(_verified(record, wanted, listed, table.view.now, late=reason is not Reason.LATE))
            table.found(FindingKind.UNCHANGED, wanted)
        else:
            table.actions.append(Update(desired=wanted, record=record, reason=reason, restore=reason is Reason.DRIFT))
        return
    if facts.readable and wanted.name not in facts.site_values and wanted.name not in facts.uncompared:
        table.compares.add(wanted.name)
    update(table, wanted, record, reason, rename=listed.name != wanted.name)


def _verified(record: Record, wanted: DesiredSecret, listed: RemoteSecret, now: datetime, *, late: bool) -> Record:
    """The row once the site was seen to hold what it should. Not `late`: what was seen is one of the lost writes."""
    return replace(
        record,
        version=wanted.version,
        fingerprint=wanted.fingerprint,
        description=listed.description,
        source_updated_at=wanted.updated_at or record.source_updated_at,
        unverified=False,
        lost_writes=recently_lost(record, now)[0 if late else 1 :],
        window=None,
        pinned_at=listed.updated_at,
        verified_at=now,
        last_synced_at=record.last_synced_at or now,
    )


def _verification_is_due(record: Record, every: timedelta, now: datetime) -> bool:
    """Each secret at a moment of its own within the second half of the interval."""
    if record.verified_at is None or not happened_within(record.verified_at, now, every):
        return True
    share = int(hashlib.sha256(record.name.encode()).hexdigest()[:4], 16) / 0xFFFF
    return now - record.verified_at >= every * (0.5 + 0.5 * share)


def _verify(table: PlanBuilder, wanted: DesiredSecret, record: Record, listed: RemoteSecret) -> None:
    """Read again, compare, and write what differs; only what was read counts as verified."""
    facts = table.view.facts
    at_site = facts.site_values.get(wanted.name)
    if wanted.fingerprint is None:
        table.values.add(wanted.name)
    elif wanted.name in facts.uncompared or wanted.name in facts.postponed:
        pass  # still due
    elif facts.readable and at_site is None:
        table.compares.add(wanted.name)
    elif listed.description != record.description or at_site not in {None, wanted.fingerprint}:
        if _may_restore(table, wanted, record, "the verification found something else at Wix"):
            update(table, wanted, record, Reason.VERIFY, restore=True)
        return
    else:
        table.note(replace(record, verified_at=table.view.now))
    table.found(FindingKind.UNCHANGED, wanted)
