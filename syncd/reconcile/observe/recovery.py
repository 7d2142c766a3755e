"""What the site's listing tells of open journal entries and lost rows. Pure: it only looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd.domain import DesiredSecret, KnownId, LostWrite, Pending, Record, RemoteSecret, SecretRef
from syncd.domain.ownership import carries, mark_in, mark_of, other_owner, owner_in
from syncd.domain.recency import happened_within
from syncd.domain.write_window import Change, judge

LATE_CREATE = timedelta(days=1)
"""How long a create whose answer was lost keeps its name reserved when no job wants the name any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Rows to store and to drop before anything is planned."""

    put: tuple[Record, ...] = ()
    drop: tuple[Record, ...] = ()
    taken_back: tuple[Record, ...] = ()
    """Those of `put` that the ledger did not know at all."""
    handed_over: tuple[Record, ...] = ()
    """Those of `drop` that carry another installation's mark by now."""

    def applied_to(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """The rows as they are once this is stored."""
        rows = {record.name: record for record in records}
        rows.update({record.name: record for record in self.put})
        for record in self.drop:
            rows.pop(record.name, None)
        return tuple(rows[name] for name in sorted(rows))


def with_known(record: Record, known: KnownId | None) -> Record:
    """Return the row with what is known to protect its id: a row that takes an id takes that along."""
    return record.protected(adopted=known.adopted, frozen_until=known.frozen_until) if known else record


def _resolve(record: Record, ours: RemoteSecret | None, known: Mapping[str, KnownId], *, listed: bool) -> Record:
    """Settle one row by the listing.

    `ours`: the listed secret of its name that has its mark, under an id that no row holds; None if there is none.
    `listed`: does the site list the row's own id?
    """
    if ours is not None:
        return replace(
            with_known(record, known.get(ours.id)),
            remote_id=ours.id,
            description=ours.description,
            pending=None,
            # A listing shows no value: what the id holds is compared, or written again.
            unverified=True,
            window=None,
            pinned_at=None,
            # A creation is sent once and is there now: nothing of it can come late and pass for a person's change.
            lost_writes=() if record.pending is Pending.CREATE else record.lost_writes,
        )
    if record.remote_id is None:
        return record
    if record.pending is Pending.UPDATE:
        record = replace(record, pending=None, unverified=True, lost_writes=_with_pending(record))
    elif record.pending in {Pending.DELETE, Pending.DESCRIBE}:
        # Recovery deletes nothing: whether it is still unwanted is for this pass's plan to say.
        record = replace(record, pending=None)
    # It is listed again, so the hour of waiting is over for the next time that it is not.
    return replace(record, unlisted_tried_at=None) if listed and record.unlisted_tried_at else record


def _with_pending(record: Record) -> tuple[LostWrite, ...]:
    return (*record.lost_writes, LostWrite(record.pending_at)) if record.pending_at else record.lost_writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where and when the listing was made, and for whom."""

    owner: str
    """The name of this installation in its marks at Wix."""
    key: str
    target: str
    now: datetime
    former: frozenset[str] = frozenset()
    """Names that this installation had before."""


def recover(
    site: Site,
    desired: Sequence[DesiredSecret],
    records: Sequence[Record],
    remote: Sequence[RemoteSecret],
    known_ids: Mapping[str, KnownId],
) -> Found:
    """Find the ids of pending creates and lost rows by their marks, and settle what else the listing shows.

    A secret with a wrong or missing mark is not known to be ours: a pending create of that name is dropped, and the
    planner reports the conflict. An adoption that was not answered is ours only where the listing shows our mark.
    `known_ids`: what the ledger knows of ids that no row of the site holds. Returns: the rows to store and to drop.
    """
    listing = _Listing(site, remote, records, desired)
    put: dict[str, Record] = {}
    drop: list[Record] = []
    taken: list[Record] = []
    handed_over = [record for record in records if listing.is_of_another(record)]
    # It is another's now, and is never ours to delete should it come back.
    drop += [replace(record, adopted=True) for record in handed_over]
    others = {record.name for record in handed_over}
    for record in records:
        if record.name in others:
            continue
        settled = _looked_up(record, listing, known_ids, site.now)
        if settled is None:
            drop.append(record)
        elif settled is not record and settled != record:
            put[record.name] = settled
    known = {record.name for record in records}
    for secret in desired:
        if secret.name in known:
            continue
        listed = listing.ours(secret.name, secret.ref)
        # It may be listed in another case, under which it has a row already.
        if listed is not None and listed.name not in known:
            put[listed.name] = _taken_back(secret, listed, known_ids.get(listed.id), site)
            taken.append(put[listed.name])
            known.add(listed.name)
    return Found(put=tuple(put.values()), drop=tuple(drop), taken_back=tuple(taken), handed_over=tuple(handed_over))


class _Listing:
    """The site as listed, seen with the ledger and the wanted names beside it."""

    def __init__(
        self, site: Site, remote: Sequence[RemoteSecret], records: Sequence[Record], desired: Sequence[DesiredSecret]
    ) -> None:
        self.owner, self._former = site.owner, site.former
        self.by_id = {secret.id: secret for secret in remote}
        self.by_name = {secret.name: secret for secret in remote}
        self._in_another_case = {secret.name.casefold(): secret for secret in remote}
        self._held = {record.remote_id for record in records if record.remote_id}
        self.wanting: dict[str, set[SecretRef]] = {}
        for wanted in desired:
            self.wanting.setdefault(wanted.name, set()).add(wanted.ref)

    def is_of_another(self, record: Record) -> bool:
        """Does the listing show another installation's mark under our id? A person handed it over there."""
        listed = self.by_id.get(record.remote_id or "")
        # What is not taken over yet has the other's mark still, and a listing that lags shows what we wrote over.
        if listed is None or record.pending is Pending.ADOPT or judge(record, listed.updated_at) is Change.EARLIER:
            return False
        # Letter by letter as we wrote it: a text of ours from before marks were broken in it may quote one.
        if listed.description == record.description:
            return False
        other = other_owner(listed.description, self.owner)
        # Marks of the name that this installation had before are its own.
        unanswered = record.unverified or record.lost_writes or record.pending is not None
        # What is known to have had our mark of today got this one from somebody who is called so now.
        if other in self._former and (unanswered or owner_in(record.description) != self.owner):
            # As this installation left it, or meant to when the answer was lost: a former name may be somebody else's
            # by now.
            names = {record.name, listed.name}
            refs = {record.ref}.union(*(self.wanting.get(name, ()) for name in names))
            marks = {mark_of(other, name, ref) for name in names for ref in refs} | {mark_in(record.description)}
            return not any(carries(listed.description, mark) for mark in marks - {""})
        return bool(other) and other != owner_in(record.description)

    def ours(self, name: str, *refs: SecretRef, sent: str = "") -> RemoteSecret | None:
        """Return the listed secret of this name if it may be taken as ours; else None.

        It may if no record holds its id and its mark is of one of `refs`, or is the one in `sent`: the description of
        a create that was not answered.
        """
        listed = self.by_name.get(name) or self._in_another_case.get(name.casefold())
        # A secret in another case is left to whoever wants it under its exact name.
        if listed is None or listed.id in self._held or (listed.name != name and listed.name in self.wanting):
            return None
        marks = [mark_of(self.owner, listed.name, ref) for ref in refs]
        # A source may have got another name since: then no reference of today makes the mark that went to Wix.
        marks += [mark_in(sent)] if owner_in(sent) == self.owner and listed.name == name else []
        # With another owner's mark in it, too, it is a conflict, and a person decides.
        is_disputed = bool(other_owner(listed.description, self.owner))
        fits = not is_disputed and any(carries(listed.description, mark) for mark in marks)
        if fits:
            self._held.add(listed.id)  # a listing that shows an id twice gives it away once
        return listed if fits else None


def _looked_up(record: Record, listing: _Listing, ids: Mapping[str, KnownId], now: datetime) -> Record | None:
    """One row as the listing settles it; None drops it."""
    if record.pending is Pending.ADOPT:
        listed = listing.by_id.get(record.remote_id or "")
        if listed is None or not carries(listed.description, mark_of(listing.owner, record.name, record.ref)):
            return None  # what is not confirmed is not ours; the consent is asked for anew
        return replace(
            record,
            pending=None,
            unverified=True,
            description=listed.description,
            lost_writes=_with_pending(record),
        )
    if record.remote_id is not None:
        return _resolve(record, None, ids, listed=record.remote_id in listing.by_id)
    # The name may have another reference by now: the mark of the one that was sent counts as well.
    sent = record.description if record.pending is Pending.CREATE else ""
    ours = listing.ours(record.name, record.ref, *listing.wanting.get(record.name, ()), sent=sent)
    if ours is None:
        if record.name in listing.by_name:
            return None  # somebody else's secret has the name that we had reserved
        # An adopted row stays, though it has no id: its secret may come back, and never becomes ours to delete.
        if _never_came(record, now) and record.name not in listing.wanting and not record.adopted:
            return None
    return _resolve(record, ours, ids, listed=False)


def _taken_back(wanted: DesiredSecret, listed: RemoteSecret, known: KnownId | None, site: Site) -> Record:
    """A row for a secret that the ledger lost, with what it knows of the id; its content is not verified."""
    taken = Record(
        site=site.key,
        name=listed.name,
        target=site.target,
        job=wanted.job,
        ref=wanted.ref,
        pin=wanted.pin,
        remote_id=listed.id,
        description=listed.description,
        unverified=True,
        verified_at=site.now,
    )
    return with_known(taken, known)


def _never_came(record: Record, now: datetime) -> bool:
    if record.remote_id is not None:
        return False
    since = max((write.at for write in record.lost_writes), default=record.pending_at)
    return not happened_within(since, now, LATE_CREATE)
