"""What the site's listing tells of open journal entries and lost rows. Pure: it only looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd.marks import carries, mark_of
from syncd.models import Desired, Pending, Record, RemoteSecret

LATE_CREATE = timedelta(days=1)
"""As long a create whose answer was lost keeps its name reserved when nobody wants it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Rows to store and to drop before anything is planned."""

    put: tuple[Record, ...] = ()
    drop: tuple[Record, ...] = ()

    def applied_to(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """The rows as they are once this is stored."""
        rows = {record.name: record for record in records}
        rows.update({record.name: record for record in self.put})
        for record in self.drop:
            rows.pop(record.name, None)
        return tuple(rows[name] for name in sorted(rows))


def _resolve(record: Record, ours: RemoteSecret | None, listed: bool) -> Record | None:  # noqa: FBT001
    """One row against the listing; None drops it. `ours`: its name there, with its mark, under a free id."""
    if ours is not None:
        return replace(
            record,
            remote_id=ours.id,
            description=ours.description,
            pending=None,
            unverified=True,
            window=None,
            pinned_at=None,
            lost_at=record.pending_at if record.pending is Pending.CREATE else record.lost_at,
        )
    if record.remote_id is None:
        return record
    if record.pending is Pending.UPDATE:
        record = replace(record, pending=None, unverified=True, lost_at=record.pending_at)
    elif record.pending is Pending.DELETE:
        record = replace(record, pending=None, lost_at=record.pending_at)
    return replace(record, unlisted_tried_at=None) if listed else record


def recover(
    owner: str,
    desired: Sequence[Desired],
    records: Sequence[Record],
    remote: Sequence[RemoteSecret],
    *,
    site: str,
    target: str,
    now: datetime,
) -> Found:
    """Take ids for pending creates and lost rows whose mark fits, settle what else the listing tells.

    A wrong or missing mark is nobody we know: a pending create of that name is dropped, and the planner
    reports the conflict.
    """
    by_name = {secret.name: secret for secret in remote}
    ids = {secret.id for secret in remote}
    held = {record.remote_id for record in records if record.remote_id}
    put: list[Record] = []
    drop: list[Record] = []
    wanting: dict[str, list[Desired]] = {}
    for wanted in desired:
        wanting.setdefault(wanted.name, []).append(wanted)

    def free_and_ours(record: Record) -> RemoteSecret | None:
        there = by_name.get(record.name)
        if there is None or there.id in held or (record.remote_id in ids and record.remote_id):
            return None
        refs = {record.ref, *(wanted.ref for wanted in wanting.get(record.name, ()))}
        ours = any(carries(there.description, mark_of(owner, record.name, ref)) for ref in refs)
        return there if ours else None

    for record in records:
        ours = free_and_ours(record)
        settled = _resolve(record, ours, record.remote_id in ids)
        if record.remote_id is None and ours is None and record.name in by_name:
            settled = None  # somebody else's secret has the name that we had reserved
        elif _never_came(record, now) and record.name not in wanting and ours is None:
            settled = None
        if settled is None:
            drop.append(record)
        elif settled != record:
            put.append(settled)

    known = {record.name for record in records}
    for wanted in desired:
        renamed = _in_another_case(wanted, records, wanting)
        if renamed is not None and wanted.name not in known:
            known.add(wanted.name)
            drop.append(renamed)
            put = [record for record in put if record.name != renamed.name]
            put.append(replace(renamed, name=wanted.name, pending=None, unverified=True))
    for wanted in desired:
        name = wanted.name
        there = by_name.get(name)
        if name in known or there is None or there.id in held:
            continue
        if carries(there.description, mark_of(owner, name, wanted.ref)):
            known.add(name)
            put.append(
                Record(
                    site=site,
                    name=name,
                    target=target,
                    job=wanted.job,
                    ref=wanted.ref,
                    pin=wanted.pin,
                    remote_id=there.id,
                    description=there.description,
                    unverified=True,
                    verified_at=now,
                )
            )
    return Found(put=tuple(put), drop=tuple(drop))


def _in_another_case(wanted: Desired, records: Sequence[Record], wanting: Mapping[str, object]) -> Record | None:
    """Our own secret under a name that differs from the wanted one in case alone: renamed, not created anew."""
    for record in records:
        same = record.ref == wanted.ref and record.pin == wanted.pin and record.name not in wanting
        if same and record.remote_id and record.name != wanted.name:
            if record.name.casefold() == wanted.name.casefold():
                return record
    return None


def _never_came(record: Record, now: datetime) -> bool:
    if record.remote_id is not None:
        return False
    since = record.lost_at or record.pending_at
    return since is None or now - since > LATE_CREATE
