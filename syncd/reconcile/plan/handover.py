"""When a name passes from one reference to another, and when an old name may go. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from syncd.domain import DesiredSecret, FindingKind, Record, SecretRef
from syncd.domain.plan import NOT_SETTLED
from syncd.reconcile.desired.desired_state import DesiredState
from syncd.reconcile.plan.builder import rows_for
from syncd.reconcile.plan.name_claims import NameClaims, Tags, TagsNow


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """Names that pass from their recorded reference to another one."""

    free: frozenset[str] = frozenset()
    blocked: Mapping[str, str]
    """By name, what a transfer waits for."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A name that another job gives to what it sees at its source now."""

    name: str
    ref: SecretRef
    secret: tuple[str, str] | None
    """Which secret that is (`places.secret_at`), by the place that was listed; None where that was not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover(NameClaims):
    """Says when a name passes on and when an old one may go: by the claims to it, and by what is settled at Wix."""

    def is_settled(self, name: str, ref: SecretRef, pin: str) -> bool:
        """Does the site hold this reference under this name, for all that the ledger knows?"""
        row = self.records.get(name)
        if row is None or row.ref != ref or row.pin != pin:
            return False
        # With a lost answer nobody knows whether the site holds it.
        return row.remote_id is not None and row.pending is None and not row.unverified

    def unsettled_name(self, record: Record, tags: Tags | None = None) -> str:
        """A name that some job's rule gives this record's reference now, and that is not settled at Wix.

        By the rules' patterns alone, unless the secret's `tags` are known.
        """
        for job in self.jobs.values():
            for name, pin, given in sorted(self.names_given(job, record, tags), key=lambda item: item[:2]):
                refs = {given, replace(given, source=record.ref.source)}
                # Another form of it under its own name takes its place, and follows nothing.
                if name == record.name and record.ref not in refs:
                    continue
                if not any(self.is_settled(name, ref, pin) for ref in refs):
                    return name or "a name that Wix takes"
        return ""

    def following_name(self, record: Record, tags_now: TagsNow) -> str:
        """`unsettled_name` by the tags that the secret has now, which are asked only where a pattern gives it one."""
        return self.unsettled_name(record) and self.unsettled_name(record, tags_now(record))

    def why_an_old_name_stays(self, record: Record, desired: DesiredState, tags_now: TagsNow) -> str:
        """Which other name of its path is not settled at Wix yet; empty if the old one may go."""
        of_its_path = [secret for secret in desired.all if self._is_of_one_secret(secret.ref, record.ref)]
        # A whole value that is split into fields is followed by all of them, not by one of its own reference.
        successors = [secret for secret in of_its_path if secret.ref.field == record.ref.field] or of_its_path
        unsettled = (secret.name for secret in successors if not self.is_settled(*secret.key))
        if following := next(unsettled, "") or self.following_name(record, tags_now):
            return NOT_SETTLED.format(following)
        failed = [finding.ref for finding in desired.findings if finding.ref and finding.kind is FindingKind.FAILED]
        # A path that failed as a whole may hold this very field; one whose new name is known does not.
        mapped = successors is not of_its_path
        if any(ref == record.ref or (self._is_of_one_secret(ref, record.ref) and not mapped) for ref in failed):
            return "its path's new name cannot be made"
        return ""

    def unsettled_wish(self, record: Record, wishes: Iterable[Wish]) -> str:
        """A name that another job gives this record's secret in any form, and that is not settled at Wix.

        Of the same form, if any job makes that; else of every other one.
        """
        secret = self._secret_of(record.ref)
        same = [
            wish
            for wish in wishes
            if wish.name.casefold() != record.name.casefold()
            if (wish.secret == secret if wish.secret and secret else wish.ref.path == record.ref.path)
        ]
        successors = [wish for wish in same if wish.ref.field == record.ref.field] or same
        return next((wish.name for wish in successors if not self._is_sent(wish)), "")

    def _is_sent(self, wish: Wish) -> bool:
        """Does the site hold this very secret in this form under this name, whoever sent it by whatever path?"""
        row = self.records.get(wish.name)
        if row is None or row.ref.field != wish.ref.field or not self.is_settled(row.name, row.ref, row.pin):
            return False
        return row.ref == wish.ref or (wish.secret is not None and self._secret_of(row.ref) == wish.secret)

    def _is_claimed_against(self, record: Record, ref: SecretRef) -> bool:
        """Does any rule give the record's name to something of its path that is not `ref` itself?"""
        return any(
            (name, pin) == (record.name, record.pin) and given != ref
            for job in self.jobs.values()
            for name, pin, given in self.names_given(job, record, any_field=True)
        )

    def transfers(
        self, desired: Sequence[DesiredSecret], is_gone: Callable[[Record], bool], tags_now: TagsNow
    ) -> Transfers:
        """Names that may pass from their recorded reference to another, and why others have to wait.

        A name passes when no rule gives it to the old reference any more, and what that reference is called
        now is settled at Wix; or when the old reference is gone at its source. Both questions are asked of the
        source only where the answer matters.
        """
        rows = rows_for(desired, self.records.values(), self.deleting_jobs)
        free, blocked = set(), {}
        for secret in desired:
            record = rows.get(secret.name)
            if record is None or (record.ref == secret.ref and record.pin == secret.pin):
                continue
            own = self.jobs.get(record.job, self.jobs[self.job])
            if own.name == self.job and (self.as_of_today(record, own), record.pin) == (secret.ref, secret.pin):
                # Its source has another name, and all else is as it was.
                free.add(secret.name)
                continue
            if self._is_claimed_against(record, secret.ref):
                # A pattern still claims it; only the source tells that it is gone, or has lost the rule's tags.
                if is_gone(record) or self._is_left_out(record, secret, tags_now):
                    free.add(secret.name)
                continue
            # Another pin of the same reference is the same secret, which has no new name to wait for.
            following = "" if record.ref == secret.ref else self.following_name(record, tags_now)
            if not following or is_gone(record):
                free.add(secret.name)
            else:
                blocked[secret.name] = f"waits until {following}, the new name of {record.ref}, is settled"
        return Transfers(free=frozenset(free), blocked=blocked)

    def _is_left_out(self, record: Record, secret: DesiredSecret, tags_now: TagsNow) -> bool:
        """Has the old reference tags that no rule which gives it this name asks for?

        Where it is the very secret, in another form or by another name of its source, what another job had: then this
        job's own rule is the one that takes it over, and says nothing.
        """
        tags = tags_now(record)
        is_taken_over = record.job != self.job and self._is_of_one_secret(record.ref, secret.ref)
        own = self.job if is_taken_over or self._is_the_same(record, secret) else ""
        return tags is not None and not self.is_claimed(record, tags, except_job=own)
