"""The truth table: what one cycle does with each name on one site. Pure; time and facts are passed in.

A name that is wanted:

    record   on the site                     then
    ------   ---------------------------     -----------------------------------------------------------
    none     nothing                         Create
    none     a secret that is not ours       Conflict; with consent (adopt) Update
    none     a name in another case          Conflict
    no id    nothing                         Create (a lost create is looked for first, by recovery)
    id       not listed                      Update by id, at most once an hour; only its 404 leads to Create
    id       listed, unverified              Update (or compare)
    id       listed under another name       Drift: Update with the name
    id       listed, newer source version    Update; the same value only moves the record
    id       listed, later date              Drift: Update, three a day, then Contested
    id       listed, other description       Update of the description
    id       listed, verification due        read and compare; Update if it differs
    id       listed, all as recorded         Unchanged

A record that its job no longer wants: Unknown stops its tombstone; Missing and Orphan run it; Delete once
the observed absence has reached the grace, and only if the secret is as we left it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from syncd.drift import Change, judge, may_be_late_commit
from syncd.errors import SecretError
from syncd.models import (
    Action,
    Create,
    Delete,
    Desired,
    Finding,
    Kind,
    Needs,
    Pending,
    Plan,
    Presence,
    Record,
    RemoteSecret,
    Trouble,
    Update,
)

MAX_RESTORES = 3
"""Restores of one secret in a rolling day before it counts as contested."""
DAY = timedelta(days=1)
UNLISTED_RETRY = timedelta(hours=1)
"""A record that the listing goes on lacking is written to at most this often."""


class Reason(StrEnum):
    """Why an update goes out, as the plan shows it."""

    ROTATED = "new source version"
    UNVERIFIED = "content not verified"
    DRIFT = "changed at Wix by somebody else"
    RENAMED = "renamed at Wix by somebody else"
    UNLISTED = "missing from the listing"
    DESCRIPTION = "description"
    MOVED = "moved to another source path"
    ADOPT = "taken over"
    VERIFY = "verification found another value"
    SOUGHT = "looked for by its id"
    LATE = "a lost write of ours may have come late"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What the job allows."""

    job: str
    adopt: bool = False
    restore: bool = True
    delete: bool = False
    grace: timedelta = DAY
    interval: timedelta = timedelta(hours=1)
    verify_every: timedelta | None = DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the cycle found out beside the listings."""

    presence: Mapping[str, tuple[Presence, str]] = field(default_factory=dict)
    """For records that the job no longer maps to their name."""
    passable: frozenset[str] = frozenset()
    """Names whose recorded reference no rule selects any more, or that is gone at its source."""
    jobs: frozenset[str] = frozenset()
    """The configured jobs."""
    kept_by: frozenset[str] = frozenset()
    """Names whose recorded job still wants them: the record stays with it."""
    wanted_elsewhere: frozenset[str] = frozenset()
    """Names that another job on the site wants."""
    grants: frozenset[str] = frozenset()
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    faults: Mapping[str, SecretError] = field(default_factory=dict)
    """Values read in this cycle that cannot go to Wix."""
    site_values: Mapping[str, str | None] = field(default_factory=dict)
    """Fingerprints of what the site holds, where it was compared; None: could not be told."""
    ended: frozenset[str] = frozenset()
    """Names whose cycle is over: a request of this cycle failed or lost its answer."""
    uncreated: frozenset[str] = frozenset()
    """Names whose creation of this cycle lost its answer or met a taken name: only a listing can tell."""
    readable: bool = False
    """May the credential read values at the site?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that the planner looks at."""

    site: str
    target: str
    desired: Sequence[Desired]
    records: Sequence[Record]
    remote: Sequence[RemoteSecret]
    policies: Policies
    facts: Facts
    now: datetime


@dataclass(slots=True)
class _Table:
    view: View
    ids: Mapping[str, RemoteSecret]
    names: Mapping[str, RemoteSecret]
    folded: Mapping[str, RemoteSecret]
    records: Mapping[str, Record]
    holders: Mapping[str, Record]
    believed: bool
    actions: list[Action] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: dict[str, Record] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)
    compares: set[str] = field(default_factory=set)

    def found(
        self, kind: Kind, wanted: Desired | Record, message: str = "", hint: str = "", exit_code: int = 0
    ) -> None:
        self.findings.append(
            Finding(kind=kind, name=wanted.name, ref=wanted.ref, message=message, hint=hint, exit_code=exit_code)
        )

    def at(self, name: str) -> RemoteSecret | None:
        """The site's secret of this name, or of one that differs in case alone."""
        return self.names.get(name) or self.folded.get(name.casefold())

    def note(self, record: Record) -> None:
        self.notes[record.name] = record


def listing_is_believed(records: Sequence[Record], remote: Sequence[RemoteSecret]) -> bool:
    """False when the listing lacks more than half of what the ledger holds there."""
    ids = {secret.id for secret in remote}
    held = [record.remote_id for record in records if record.remote_id]
    return 2 * sum(1 for secret_id in held if secret_id not in ids) <= len(held)


def plan(view: View) -> Plan:
    """Judge every wanted name and every record of the job. Same view, same plan, in the same order."""
    table = _Table(
        view=view,
        ids={secret.id: secret for secret in view.remote},
        names={secret.name: secret for secret in view.remote},
        folded={secret.name.casefold(): secret for secret in view.remote},
        records={record.name: record for record in view.records},
        holders={record.remote_id: record for record in view.records if record.remote_id},
        believed=listing_is_believed(view.records, view.remote),
    )
    wanted_names = {wanted.name for wanted in view.desired}
    for wanted in _without_collisions(table):
        _wanted(table, wanted)
    for record in sorted(view.records, key=lambda row: row.name):
        if record.job == view.policies.job and record.name not in wanted_names:
            _unwanted(table, record)
        elif record.job not in view.facts.jobs and record.name not in wanted_names:
            _of_a_job_that_is_gone(table, record)
    order = {Update: 0, Create: 1, Delete: 2}
    return Plan(
        actions=tuple(sorted(table.actions, key=lambda action: (order[type(action)], action.name))),
        findings=tuple(table.findings),
        notes=tuple(table.notes[name] for name in sorted(table.notes)),
        needs=Needs(values=frozenset(table.values), compares=frozenset(table.compares)),
    )


def _without_collisions(table: _Table) -> Iterator[Desired]:
    """Names that fall together, also by case alone, are reported; only the one that owns it goes on."""
    groups: dict[str, list[Desired]] = {}
    for wanted in sorted(table.view.desired, key=lambda d: (d.name, d.ref.source, d.ref.path, str(d.ref))):
        groups.setdefault(wanted.name.casefold(), []).append(wanted)
    for group in groups.values():
        if len(group) == 1:
            yield group[0]
            continue
        owner = next((d for d in group if _owns(table.records.get(d.name), d)), None)
        for wanted in group:
            if wanted is owner:
                yield wanted
                continue
            others = ", ".join(f"{d.ref} as {d.name}" for d in group if d is not wanted)
            table.found(
                Kind.CONFLICT,
                wanted,
                f"{wanted.ref} and {others} fall on one name",
                "give one rule another `name`, or exclude one path",
            )


def _owns(record: Record | None, wanted: Desired) -> bool:
    return record is not None and record.ref == wanted.ref and record.pin == wanted.pin


def _wanted(table: _Table, wanted: Desired) -> None:
    facts, now = table.view.facts, table.view.now
    record = table.records.get(wanted.name)
    if wanted.name in facts.ended:
        return
    if record and record.frozen_until and record.frozen_until > now:
        table.found(Kind.FROZEN, wanted, f"frozen until {record.frozen_until:%Y-%m-%d %H:%M} UTC")
        return
    fault = facts.faults.get(wanted.name)
    if fault is not None:
        table.found(Kind.FAILED, wanted, fault.message, fault.hint)
        return
    trouble = facts.troubles.get(wanted.name)
    if (
        trouble
        and trouble.retry_at
        and trouble.retry_at > now
        and (trouble.version, trouble.rule)
        == (
            wanted.version,
            wanted.rule,
        )
    ):
        table.found(Kind.QUARANTINED, wanted, trouble.message, trouble.hint)
        return
    if record is None:
        _unrecorded(table, wanted)
    elif not _owns(record, wanted) and wanted.name not in facts.passable:
        table.found(
            Kind.CONFLICT,
            wanted,
            f"{wanted.name} belongs to {record.ref} of job {record.job}",
            "give one of the two rules another `name`",
        )
    else:
        _recorded(table, wanted, _awake(table, wanted, record))


def _awake(table: _Table, wanted: Desired, record: Record) -> Record:
    """A wanted record has no tombstone, and passes to this job if its own no longer wants it."""
    awake = replace(record, absent_at=None, absent_for=timedelta(0), target=table.view.target)
    if record.job != wanted.job and wanted.name not in table.view.facts.kept_by and _owns(record, wanted):
        awake = replace(awake, job=wanted.job)
    if awake != record:
        table.note(awake)
    return awake


def _unrecorded(table: _Table, wanted: Desired) -> None:
    there = table.at(wanted.name)
    if there is None:
        _create(table, wanted, None)
        return
    _foreign(table, wanted, there, None)


def _foreign(table: _Table, wanted: Desired, there: RemoteSecret, record: Record | None) -> None:
    """A secret that is not ours has the name. It is left alone unless the job or a grant says adopt."""
    holder = table.holders.get(there.id)
    policies, facts = table.view.policies, table.view.facts
    if holder is not None:
        table.found(
            Kind.CONFLICT,
            wanted,
            f"{there.name} on the site is our secret {holder.name}, under another name",
            "it goes back to its own name first, or rename it at Wix",
        )
    elif there.name != wanted.name:
        table.found(
            Kind.CONFLICT,
            wanted,
            f"the site has {there.name}, which differs only in case",
            "rename or remove it at Wix, or give the rule another `name`",
        )
    elif policies.adopt or wanted.name in facts.grants:
        seed = record or Record(
            site=table.view.site,
            name=wanted.name,
            target=table.view.target,
            job=wanted.job,
            ref=wanted.ref,
        )
        taken = replace(
            seed, remote_id=there.id, pin=wanted.pin, adopted=True, unverified=True, pending=None, window=None
        )
        _update(table, wanted, taken, Reason.ADOPT)
    else:
        table.found(
            Kind.CONFLICT,
            wanted,
            "the site already has a secret of this name that syncd did not create",
            f"rename it at Wix, or take it over: syncd state adopt {wanted.name}, or conflict_policy: adopt",
        )


def _create(table: _Table, wanted: Desired, record: Record | None) -> None:
    if not table.believed:
        table.found(
            Kind.UNKNOWN,
            wanted,
            "the site lists less than half of what the ledger holds there, so nothing is created",
            "look at the site; the next cycle lists again",
            exit_code=5,
        )
        return
    if wanted.name in table.view.facts.uncreated:
        table.found(
            Kind.UNVERIFIED,
            wanted,
            "its creation lost its answer, and the site does not list it yet",
            "the next cycle looks again before it creates anything",
        )
        return
    if wanted.value is None:
        table.values.add(wanted.name)
    table.actions.append(Create(desired=wanted, record=record))


def _update(table: _Table, wanted: Desired, record: Record, reason: Reason, *, rename: bool = False) -> None:
    if wanted.value is None:
        table.values.add(wanted.name)
    restore = reason in {Reason.DRIFT, Reason.RENAMED}
    table.actions.append(Update(desired=wanted, record=record, reason=reason, rename=rename, restore=restore))


def _recorded(table: _Table, wanted: Desired, record: Record) -> None:
    if record.remote_id is None:
        there = table.at(wanted.name)
        if there is None:
            _create(table, wanted, record)
        else:
            _foreign(table, wanted, there, record)
        return
    there = table.ids.get(record.remote_id)
    if there is None:
        _unlisted(table, wanted, record)
    else:
        _listed(table, wanted, record, there)


def _unlisted(table: _Table, wanted: Desired, record: Record) -> None:
    other = table.at(wanted.name)
    if other is not None:
        _foreign(table, wanted, other, replace(record, remote_id=None))
        return
    changed = wanted.version != record.version or not _owns(record, wanted)
    if changed or not _lately(record.unlisted_tried_at, table.view.now):
        _update(table, wanted, record, Reason.UNLISTED)
    else:
        table.found(
            Kind.UNKNOWN,
            wanted,
            "the site does not list it, though it took a write within the hour",
            "it is looked for again in every cycle",
        )


def _listed(table: _Table, wanted: Desired, record: Record, there: RemoteSecret) -> None:
    """The record's id is on the site: the last rows of the truth table, most urgent first."""
    change = judge(record, there.updated_at)
    if change is Change.OURS and (record.window or record.pinned_at != there.updated_at):
        record = replace(record, window=None, pinned_at=there.updated_at)
        table.note(record)
    elif change is Change.UNTOLD and record.pinned_at is None and record.window is None and there.updated_at:
        record = replace(record, pinned_at=there.updated_at)
        table.note(record)
    if not _owns(record, wanted):
        _update(table, wanted, record, Reason.MOVED)
    elif record.unverified:
        _compare_first(table, wanted, record, there, Reason.UNVERIFIED)
    elif there.name != record.name:
        _renamed(table, wanted, record, there)
    elif wanted.version != record.version and wanted.fingerprint is None:
        _update(table, wanted, record, Reason.ROTATED)
    elif wanted.fingerprint is not None and wanted.fingerprint != record.fingerprint:
        reason = Reason.ROTATED if wanted.version != record.version else Reason.VERIFY
        _update(table, wanted, record, reason)
    else:
        if wanted.version != record.version:
            record = replace(record, version=wanted.version, source_updated_at=wanted.updated_at)
            table.note(record)
        _settled(table, wanted, record, there, change)


def _renamed(table: _Table, wanted: Desired, record: Record, there: RemoteSecret) -> None:
    squatter = table.at(wanted.name)
    if squatter is not None and squatter.id != there.id:
        table.found(
            Kind.CONFLICT,
            wanted,
            f"our secret was renamed to {there.name} at Wix and another one has its name now",
            "remove or rename one of the two at Wix",
        )
    elif _may_restore(table, wanted, record, f"renamed to {there.name} at Wix"):
        _update(table, wanted, record, Reason.RENAMED, rename=True)
    elif wanted.version != record.version:
        _update(table, wanted, record, Reason.ROTATED)


def _settled(table: _Table, wanted: Desired, record: Record, there: RemoteSecret, change: Change) -> None:
    """The site should hold this version already: drift, description, verification, or nothing."""
    now, policies = table.view.now, table.view.policies
    if change is Change.THEIRS and may_be_late_commit(record, now):
        _compare_first(table, wanted, record, there, Reason.LATE)
    elif change is Change.THEIRS:
        if _may_restore(table, wanted, record, "changed at Wix by somebody else"):
            _compare_first(table, wanted, record, there, Reason.DRIFT)
    elif wanted.description != record.description and record.job == wanted.job:
        table.actions.append(Update(desired=wanted, record=record, reason=Reason.DESCRIPTION, describe_only=True))
    elif policies.verify_every and _verification_is_due(record, policies.verify_every, now):
        _verify(table, wanted, record, there)
    else:
        table.found(Kind.UNCHANGED, wanted)


def _may_restore(table: _Table, wanted: Desired, record: Record, what: str) -> bool:
    lately = [at for at in record.restores if table.view.now - at < DAY]
    if not table.view.policies.restore:
        table.found(Kind.DRIFT, wanted, what, "drift_policy: restore writes our value again")
        return False
    if len(lately) >= MAX_RESTORES:
        table.found(
            Kind.CONTESTED,
            wanted,
            f"{what}; restored {len(lately)} times within a day, no longer fought over",
            f"find who writes it at Wix, or freeze it: syncd state freeze {wanted.name} --until DATE",
        )
        return False
    return True


def _compare_first(table: _Table, wanted: Desired, record: Record, there: RemoteSecret, reason: Reason) -> None:
    """Where the site's values may be read, write only what differs; elsewhere write."""
    told = table.view.facts.site_values.get(wanted.name)
    if wanted.fingerprint is not None and told == wanted.fingerprint and there.name == wanted.name:
        if there.description == wanted.description:
            table.note(_verified(record, wanted, there, table.view.now, late=reason is not Reason.LATE))
            table.found(Kind.UNCHANGED, wanted)
        else:
            table.actions.append(Update(desired=wanted, record=record, reason=reason, restore=reason is Reason.DRIFT))
        return
    if table.view.facts.readable and wanted.name not in table.view.facts.site_values:
        table.compares.add(wanted.name)
    _update(table, wanted, record, reason, rename=there.name != wanted.name)


def _verified(record: Record, wanted: Desired, there: RemoteSecret, now: datetime, *, late: bool) -> Record:
    """The row once the site was seen to hold what it should. `late`: an older lost write may still come."""
    return replace(
        record,
        version=wanted.version,
        fingerprint=wanted.fingerprint,
        description=there.description,
        source_updated_at=wanted.updated_at or record.source_updated_at,
        unverified=False,
        lost_at=record.lost_at if late and may_be_late_commit(record, now) else None,
        window=None,
        pinned_at=there.updated_at,
        verified_at=now,
        last_synced_at=record.last_synced_at or now,
    )


def _verification_is_due(record: Record, every: timedelta, now: datetime) -> bool:
    """Each secret at a moment of its own within the second half of the interval."""
    if record.verified_at is None:
        return True
    share = int(hashlib.sha256(record.name.encode()).hexdigest()[:4], 16) / 0xFFFF
    return now - record.verified_at >= every * (0.5 + 0.5 * share)


def _verify(table: _Table, wanted: Desired, record: Record, there: RemoteSecret) -> None:
    facts = table.view.facts
    if wanted.fingerprint is None:
        table.values.add(wanted.name)
    elif facts.readable and wanted.name not in facts.site_values:
        table.compares.add(wanted.name)
    elif there.description != record.description or facts.site_values.get(wanted.name) not in {
        None,
        wanted.fingerprint,
    }:
        _update(table, wanted, record, Reason.VERIFY)
        return
    else:
        table.note(replace(record, verified_at=table.view.now))
    table.found(Kind.UNCHANGED, wanted)


def _unwanted(table: _Table, record: Record) -> None:
    now, policies, facts = table.view.now, table.view.policies, table.view.facts
    if record.name in facts.ended:
        return
    if record.frozen_until and record.frozen_until > now:
        table.found(Kind.FROZEN, record, f"frozen until {record.frozen_until:%Y-%m-%d %H:%M} UTC")
        if record.absent_at is not None:
            table.note(replace(record, absent_at=None))
        return
    if record.remote_id and record.remote_id not in table.ids and not _lately(record.unlisted_tried_at, now):
        _seek(table, record)
    presence, why = facts.presence.get(record.name, (Presence.UNKNOWN, "not looked for"))
    if presence is Presence.UNKNOWN or record.name in facts.wanted_elsewhere:
        if record.absent_at is not None:
            table.note(replace(record, absent_at=None))
        if presence is Presence.UNKNOWN:
            table.found(Kind.UNKNOWN, record, why)
        else:
            table.found(Kind.UNCHANGED, record, "another job wants it")
        return
    if record.remote_id is None:
        table.found(Kind.UNVERIFIED, record, "its creation lost its answer; looked for in each listing")
        return
    there = table.ids.get(record.remote_id)
    kind = Kind.MISSING if presence is Presence.ABSENT else Kind.ORPHAN
    if not policies.delete:
        table.found(kind, record, f"{why}; kept (deletion_policy: keep)")
        return
    _tombstone(table, record, there, kind, why)


def _of_a_job_that_is_gone(table: _Table, record: Record) -> None:
    """It is an orphan that goes by command only; but the listing must not lack it for ever."""
    listed = record.remote_id in table.ids
    if record.remote_id and not listed and not _lately(record.unlisted_tried_at, table.view.now):
        _seek(table, record)
    if record.status != "orphan":
        table.note(replace(record, status="orphan"))


def _seek(table: _Table, record: Record) -> None:
    """Nobody wants it and the site does not list it: only a 404 to its id says that it is gone.

    Its own description is written again, which changes nothing where it is still there.
    """
    same = Desired(
        name=record.name, ref=record.ref, version=record.version, description=record.description, job=record.job
    )
    table.actions.append(Update(desired=same, record=record, reason=Reason.SOUGHT, describe_only=True))


def _lately(tried: datetime | None, now: datetime) -> bool:
    return tried is not None and timedelta(0) <= now - tried < UNLISTED_RETRY


def _tombstone(table: _Table, record: Record, there: RemoteSecret | None, kind: Kind, why: str) -> None:
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
    obstacle = obstacle_to_deletion(record, there, believed=table.believed)
    if obstacle:
        table.found(kind, record, f"{why}; not deleted: {obstacle}")
    else:
        table.actions.append(Delete(record=replace(record, absent_at=now, absent_for=seen), reason=why))


def _hours(left: timedelta) -> str:
    minutes = int(left.total_seconds() // 60) + 1
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m"  # noqa: PLR2004


def obstacle_to_deletion(record: Record, there: RemoteSecret | None, *, believed: bool) -> str:
    """Why an id may not be deleted now; empty if it is ours, listed, and as we left it."""
    if record.adopted:
        return "it was adopted, not created by syncd; delete it at Wix"
    if record.unverified or record.pending in {Pending.CREATE, Pending.UPDATE}:
        return "its content is not verified yet"
    if there is None or not believed:
        return "the site's listing does not show it (it is looked for by its id)"
    if there.name != record.name:
        return f"it was renamed to {there.name} at Wix"
    if there.description != record.description:
        return "its description was changed at Wix"
    untold = there.updated_at is None and record.pinned_at is None
    if judge(record, there.updated_at) is not Change.OURS and not untold:
        return "it was changed at Wix by somebody else"
    return ""
