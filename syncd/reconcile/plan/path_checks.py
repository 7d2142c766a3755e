"""Ask sources directly for the path of a row: is it gone, what are its tags, which fields has it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cached_property

from syncd.domain import Existence, PathCheck, Record, SecretRef
from syncd.domain.job import Job
from syncd.domain.naming import selects
from syncd.domain.places import secret_at
from syncd.domain.values import fields_of
from syncd.errors import SourceUnavailable, SyncdError
from syncd.reconcile.observe.mounts import as_accepted, conflicting_mount
from syncd.reconcile.plan.handover import Handover
from syncd.reconcile.runtime import Runtime


class PathChecks:
    """Asks sources directly for the paths that rows come from, once each; only mounts that the ledger knows count."""

    def __init__(self, runtime: Runtime, as_of_today: Callable[[Record], SecretRef]) -> None:
        """`as_of_today`: gives a record's reference under the name that its source has in the configuration now."""
        self._runtime, self._today = runtime, as_of_today
        self._known: dict[tuple[str, ...], tuple[PathCheck | None, str]] = {}
        self._silent: dict[str, str] = {}
        """Sources that do not answer at all, and why. They are not asked again: each path would wait for a timeout."""
        self._held: dict[str, tuple[AbstractSet[str], Mapping[str, str]]] = {}

    def check(self, record: Record) -> tuple[PathCheck | None, str]:
        """Return what the source answers for a record's path; None and the reason if it cannot tell."""
        today = self._today(record)
        key = (today.source, today.path, record.ref.source, record.pin)
        if key not in self._known:
            self._known[key] = self._asked(record, today)
        return self._known[key]

    def _asked(self, record: Record, today: SecretRef) -> tuple[PathCheck | None, str]:
        if why := self._silent.get(today.source, ""):
            return None, why
        try:
            check = self._runtime.source(today.source).check_path(today.path, record.pin)
        except SyncdError as error:
            if isinstance(error, SourceUnavailable) and (error.whole or error.stalled):
                self._silent[today.source] = error.message
            return None, error.message
        # That another mount has no such path says nothing of the secret on ours.
        for name in {today.source, record.ref.source}:
            if conflicting_mount(as_accepted(self._runtime.store.known_mounts(name)), check.mount, check.mount_id):
                return None, "its mount is another than the one that the ledger knows"
        return check, ""

    def is_gone(self, record: Record) -> bool:
        """Does the source say that it is gone? What is rolled back is not, whatever became of its newest version."""
        if self.is_rolled_back(record):
            return False
        check, _ = self.check(record)
        return check is not None and check.existence is Existence.GONE

    def is_rolled_back(self, record: Record) -> bool:
        """Does a rollback hold what the record comes from?"""
        if record.pin:
            return False
        names = {record.ref.source, self._today(record).source}
        return any(self._is_held(name, record.ref.path) for name in names)

    def _is_held(self, source: str, path: str) -> bool:
        """Does a rollback hold this path, or the same secret? Asked once: a later rollback makes another plan."""
        if source not in self._held:
            self._held[source] = (
                frozenset(self._runtime.store.rollbacks(source)),
                self._runtime.store.known_mounts(source),
            )
        paths, mounts = self._held[source]
        return path in paths or secret_at(mounts, path) in self._held_secrets

    @cached_property
    def _held_secrets(self) -> AbstractSet[tuple[str, str] | None]:
        return frozenset(self._runtime.store.rollbacks_by_secret())

    def tags_now(self, record: Record) -> AbstractSet[tuple[str, str]] | None:
        """The tags that the secret carries at this moment; None where it is not there, or the source cannot tell."""
        check, _ = self.check(record)
        return check.tags if check is not None and check.existence is Existence.THERE else None

    def tags_asked_for(self, record: Record, handover: Handover) -> AbstractSet[tuple[str, str]] | None:
        """Return `tags_now` if any rule that takes the secret asks for tags; else no tags, and nothing is asked."""
        return self.tags_now(record) if handover.is_asked_for_tags(record.ref) else frozenset()

    def fields_now(self, job: Job, record: Record) -> tuple[tuple[str, ...] | None, str]:
        """Return the fields that the record's path has at this moment; None and the reason if that cannot be told."""
        ref = replace(record.ref, source=job.source)
        rule = next((rule for rule in job.rules if selects(rule, ref)), None)
        if rule is None:
            return None, "no rule of its job selects it any more"
        try:
            source = self._runtime.source(job.source)
            found = self._runtime.found(job.source, rule, record.ref.path, job.name)
            entries = [entry for entry in found.entries if entry.pin == record.pin]
            fields = [fields_of(result.document) for result in source.read(entries) if result.document is not None]
        except SyncdError as error:
            return None, error.message
        return (fields[0] if fields else None), "its path could not be read just now"
