"""When a name passes from one reference to another, and when an old name may go. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from syncd.domain import DesiredSecret, FindingKind, Record, SecretRef
from syncd.domain.plan import NOT_SETTLED
from syncd.reconcile.desired.desired_state import DesiredState
from syncd.reconcile.plan.builder import rows_for
from syncd.reconcile.plan.name_claims import NameClaims, Tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """Names that pass from their recorded reference to another one."""

    free: frozenset[str] = frozenset()
    blocked: Mapping[str, str]
    """By name, what a transfer waits for."""


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

    def why_an_old_name_stays(self, record: Record, desired: DesiredState) -> str:
        """Which other name of its path is not settled at Wix yet; empty if the old one may go."""
        of_its_path = [secret for secret in desired.all if secret.ref.path == record.ref.path]
        # A whole value that is split into fields is followed by all of them, not by one of its own reference.
        successors = [secret for secret in of_its_path if secret.ref == record.ref] or of_its_path
        unsettled = (secret.name for secret in successors if not self.is_settled(*secret.key))
        if following := next(unsettled, "") or self.unsettled_name(record):
            return NOT_SETTLED.format(following)
        failed = [finding.ref for finding in desired.findings if finding.ref and finding.kind is FindingKind.FAILED]
        # A path that failed as a whole may hold this very field; one whose new name is known does not.
        mapped = successors is not of_its_path
        if any(ref == record.ref or (ref.path == record.ref.path and not mapped) for ref in failed):
            return "its path's new name cannot be made"
        return ""

    def _is_claimed_against(self, record: Record, ref: SecretRef) -> bool:
        """Does any rule give the record's name to something of its path that is not `ref` itself?"""
        return any(
            (name, pin) == (record.name, record.pin) and given != ref
            for job in self.jobs.values()
            for name, pin, given in self.names_given(job, record, any_field=True)
        )

    def _is_the_same(self, record: Record, secret: DesiredSecret) -> bool:
        """Is it the very secret, by another name of its source?"""
        ref = secret.ref
        same = (replace(record.ref, source=ref.source), record.pin) == (ref, secret.pin)
        return same and self._is_one_place(record.ref.source, ref.source, ref.path) is True

    def transfers(
        self,
        desired: Sequence[DesiredSecret],
        is_gone: Callable[[Record], bool],
        is_left_out_by_tags: Callable[[Record], bool],
        is_left_by_others: Callable[[Record], bool] = lambda _: False,
    ) -> Transfers:
        """Names that may pass from their recorded reference to another, and why others have to wait.

        A name passes when no rule gives it to the old reference any more, and what that reference is called
        now is settled at Wix; or when the old reference is gone at its source. Both questions are asked of the
        source only where the answer matters. `is_left_out_by_tags`: is a record, by all rules?
        `is_left_by_others`: by all but this job's?
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
                if (
                    is_gone(record)
                    or is_left_out_by_tags(record)
                    or (self._is_the_same(record, secret) and is_left_by_others(record))
                ):
                    free.add(secret.name)
                continue
            # Another pin of the same reference is the same secret, which has no new name to wait for.
            following = "" if record.ref == secret.ref else self.unsettled_name(record)
            if not following or is_gone(record):
                free.add(secret.name)
            else:
                blocked[secret.name] = f"waits until {following}, the new name of {record.ref}, is settled"
        return Transfers(free=frozenset(free), blocked=blocked)
