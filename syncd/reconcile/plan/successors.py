"""The new names of a secret that is to leave its old name, which goes once those are at Wix. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from syncd.domain import DesiredSecret, Record, RemoteSecret, SecretRef, is_at_least, is_fingerprint
from syncd.domain.plan import NOT_SETTLED
from syncd.domain.value_templates import form_in
from syncd.domain.write_window import is_as_left
from syncd.reconcile.desired.desired_state import DesiredState
from syncd.reconcile.plan.name_claims import NameClaims
from syncd.reconcile.plan.same_secret import Content, content_of

Secret = tuple[str, str]
"""Which secret a path means; see `places.secret_at`."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A name that a job gives to what it sees at its source now."""

    job: str
    name: str
    ref: SecretRef
    pin: str
    version: str
    """As a token, with its form."""
    secret: Secret | None
    """Which secret it is of, by the place that was listed; None where that was not told."""
    rolled_back: bool = False
    """Does a person want this older version?"""

    @classmethod
    def of(cls, wanted: DesiredSecret, secret: Secret | None) -> Wish:
        """Return the wish for a desired secret. `secret`: which secret it is of."""
        return cls(wanted.job, wanted.name, wanted.ref, wanted.pin, wanted.version, secret, wanted.rolled_back)

    @property
    def content(self) -> Content:
        """Which part of the secret the name holds."""
        return self.ref.field, self.pin, form_in(self.version)


Unmade = tuple[Secret | None, str]
"""A secret of which some name cannot be made, and its path."""


def wishes_of(desired: DesiredState, claims: NameClaims) -> tuple[Wish, ...]:
    """The names that the planned job wants."""
    return tuple(Wish.of(wanted, claims.secret_of(wanted.ref)) for wanted in desired.all)


def unmade_of(desired: DesiredState, claims: NameClaims) -> frozenset[Unmade]:
    """Secrets that the planned job selects and cannot make a name or value of."""
    return frozenset((claims.secret_of(ref), ref.path) for ref in desired.unmade)


class Successors:
    """What jobs want on a site, by secret, and what the site holds of it."""

    def __init__(
        self,
        claims: NameClaims,
        remote: Iterable[RemoteSecret],
        wishes: Iterable[Wish],
        unmade: Iterable[Unmade] = (),
    ) -> None:
        self._claims, self._unmade = claims, frozenset(unmade)
        self._unmade_secrets = {secret for secret, _ in self._unmade}
        self._listed: Mapping[str, RemoteSecret] = {secret.id: secret for secret in remote}
        self._by_secret, self._by_path = defaultdict[Secret, list[Wish]](list), defaultdict[str, list[Wish]](list)
        for wish in wishes:
            self._by_path[wish.ref.path].append(wish)
            if wish.secret is not None:
                self._by_secret[wish.secret].append(wish)

    def why_it_stays(self, record: Record, *, same_content: bool = False) -> str:
        """Return which new name of the record's secret is not at Wix yet; empty if the old name may go.

        The names that hold the same part of the secret count; where there is none, all that hold any part of it. With
        `same_content` only the former count, without those that had it all along.
        """
        of_it = [wish for wish in self._wishes_of(record) if wish.name.casefold() != record.name.casefold()]
        content = content_of(record)
        successors = [wish for wish in of_it if wish.content == content] or ([] if same_content else of_it)
        if same_content:
            # What had the same all along stands beside it, and takes nothing over.
            successors = [wish for wish in successors if not self._has_it(wish)]
        unsettled = (wish.name for wish in successors if not self._is_settled(wish, record))
        return next((NOT_SETTLED.format(name) for name in unsettled), "")

    def taker_of_its_name(self, record: Record) -> str:
        """The other job that now gives this very secret the record's name, in any case; empty for none."""
        takers = (wish.job for wish in self._wishes_of(record) if wish.name.casefold() == record.name.casefold())
        return next((job for job in takers if job != self._claims.job), "")

    def why_it_cannot_be_made(self, record: Record) -> str:
        """Return why a new name of the secret may be missing: some name of it cannot be made; else empty."""
        wishes = [wish for wish in self._wishes_of(record) if wish.name.casefold() != record.name.casefold()]
        # One whose new name is known is judged by that.
        if any(wish.content == content_of(record) for wish in wishes):
            return ""
        secret, path = self._claims.secret_of(record.ref), record.ref.path
        # Where either place was never learnt, the path tells.
        by_path = (None, path) in self._unmade or (secret is None and any(path == other for _, other in self._unmade))
        is_unmade = by_path or (secret is not None and secret in self._unmade_secrets)
        return "its path's new name cannot be made" if is_unmade else ""

    def _wishes_of(self, record: Record) -> list[Wish]:
        """What is wanted of a record's secret, in any form."""
        secret, by_path = self._claims.secret_of(record.ref), self._by_path[record.ref.path]
        if secret is None:
            return by_path
        # Where both places are known, they tell, however the path is spelled.
        return [*self._by_secret[secret], *(wish for wish in by_path if wish.secret is None)]

    def _is_settled(self, wish: Wish, record: Record) -> bool:
        """Does the site hold what is wished under this name, as new as what is to go, and as we left it?"""
        row = self._claims.records.get(wish.name)
        if row is None or not self._has_it(wish):
            return False
        # With a lost answer nobody knows whether the site holds it.
        is_known = row.pending is None and not row.unverified
        # What a person took back is that very version.
        is_new = row.version == wish.version or (not wish.rolled_back and _is_as_new(row, record))
        return is_known and is_new and is_as_left(row, self._listed.get(str(row.remote_id)))

    def _has_it(self, wish: Wish) -> bool:
        """Did the name get what is wished of the secret, in whatever version, by what the ledger knows?"""
        row = self._claims.records.get(wish.name)
        if row is None or row.remote_id is None or content_of(row) != wish.content:
            return False
        return row.ref == wish.ref or (wish.secret is not None and self._claims.secret_of(row.ref) == wish.secret)


def _is_as_new(row: Record, record: Record) -> bool:
    """Does a row hold the version that another row of the same secret has, or one that is known to be later?"""
    if is_at_least(row.version, record.version):
        return True
    # AWS's ids have no order, but each version has its date.
    if row.version.startswith("aws:"):
        made, then = row.source_updated_at, record.source_updated_at
        return made is not None and then is not None and made > then
    # KV v1 has neither, and nobody takes it back: each value that was sent was the newest of its time.
    sent, before = row.verified_at, record.last_synced_at
    return is_fingerprint(row.version) and sent is not None and before is not None and sent >= before
