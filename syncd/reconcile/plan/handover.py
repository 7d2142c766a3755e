"""When a name passes from one reference to another. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from syncd.domain import DesiredSecret, Record
from syncd.domain.value_templates import form_in
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
    """Decides when a name may pass to another reference, by the claims of the jobs to it."""

    def _is_claimed_against(self, record: Record, wanted: DesiredSecret, tags: Tags | None = None) -> bool:
        """Does any rule give the record's name to something of its path that is not what is wanted?

        Another version of the same secret, which a rule pins, is something else as well.
        """
        ref = wanted.ref
        return any(
            (name.casefold(), pin) == (record.name.casefold(), record.pin)
            and not (pin == wanted.pin and given.field == ref.field and self.is_of_one_secret(given, ref))
            for job in self.jobs.values()
            for name, pin, given in self.names_given(job, record, tags, any_field=True)
        )

    def transfers(
        self,
        desired: Sequence[DesiredSecret],
        is_gone: Callable[[Record], bool],
        tags_now: Callable[[Record], Tags | None],
        what_follows: Callable[[Record, DesiredSecret], str],
        what_is_pinned: Callable[[Record], str] = lambda _record: "",
    ) -> Transfers:
        """Return the names that may pass from their recorded reference to another, and why others have to wait.

        A name passes when no rule gives it to the old reference any more, and what that reference is called now is at
        Wix; or when the old reference is gone at its source. The callables are asked only where the answer matters.
        `tags_now`: the tags of what a record comes from; None where its source cannot tell. `what_follows`: why the
        secret under a name may not make room for another yet; empty if it may. `what_is_pinned`: why a secret that is
        gone at its source may not either, because of another version of it; empty if it may.
        """
        rows = rows_for(desired, self.records.values(), self.deleting_jobs)
        free, blocked = set(), {}
        for secret in desired:
            record = rows.get(secret.name)
            if record is None or (record.ref == secret.ref and _is_as_it_was(record, secret)):
                continue
            own = self.jobs.get(record.job, self.jobs[self.job])
            is_renamed = own.name == self.job and self.as_of_today(record, own) == secret.ref
            if (is_renamed or self._is_the_same(record, secret)) and _is_as_it_was(record, secret):
                # Its source has another name, or another entry leads there, and all else is as it was.
                free.add(secret.name)
                continue
            if self._is_claimed_against(record, secret) and not is_gone(record):
                # A pattern still claims it; only the source tells that it has lost the rule's tags.
                tags = tags_now(record)
                if tags is None or self._is_claimed_against(record, secret, tags):
                    continue
            why = what_follows(record, secret)
            if why and is_gone(record):
                why = what_is_pinned(record)
            if why:
                blocked[secret.name] = f"waits: {record.ref} had the name, and {why}"
            else:
                free.add(secret.name)
        return Transfers(free=frozenset(free), blocked=blocked)


def _is_as_it_was(record: Record, secret: DesiredSecret) -> bool:
    """Is the same pinned version wanted in the same form? A row that names no version has nothing at Wix."""
    return record.pin == secret.pin and (not record.version or form_in(record.version) == form_in(secret.version))
