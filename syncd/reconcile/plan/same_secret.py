"""Which secret a reference means, whatever its source is called by now and however its path is spelled. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from syncd.domain import DesiredSecret, Record, Rule, SecretRef
from syncd.domain.job import Job
from syncd.domain.naming import taken_as
from syncd.domain.places import place_of, secret_at, spellings
from syncd.domain.value_templates import form_in, form_of

Content = tuple[str | None, str, str]
"""What of a secret a name holds: which field (None: the whole), which pinned version, in which form."""


def content_of(record: Record) -> Content:
    """Which part of its secret a row holds: field, form, pinned version."""
    return record.ref.field, record.pin, form_in(record.version)


def makes(rule: Rule, content: Content) -> bool:
    """May a rule make this of a secret?"""
    of_field = content[0] is not None if rule.field == "*" else rule.field == content[0]
    return of_field and (rule.pin, form_of(rule.value, binary=rule.binary)) == content[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSecrets:
    """What jobs and sources are called by now, and where each source leads."""

    job: str
    """The job whose plan is made."""
    jobs: Mapping[str, Job]
    """All jobs that send to this site, by name."""
    mounts: Mapping[str, Mapping[str, str]]
    """The known mounts of each source, and which mount (or account) each is."""
    sources: frozenset[str] = frozenset()
    """The sources of all configured jobs, for whichever site."""

    def as_of_today(self, record: Record, job: Job) -> SecretRef:
        """Return a record's reference under the name of the source by which a job reads the same place today.

        That is the job's source where both are known to be one place. Where that is not known, it is the job's source
        if the job has the record, if the record's job is gone, or if no configured source has the old name.
        """
        ref = record.ref
        own = job.name == record.job or record.job not in self.jobs
        is_known = not self.sources or ref.source in self.sources
        is_same = self._is_one_place(ref.source, job.source, ref.path)
        # Two Vaults may have one path, and are two secrets; where a place is not known, the job tells.
        if is_same is False:
            return ref
        return replace(ref, source=job.source) if is_same or own or not is_known else ref

    def as_selected(self, record: Record) -> Record:
        """Return a row of this job under the name that the job's source has now, as the job's rules have to see it.

        A row keeps the old name of its source until a listing shows it under the new one (the source was renamed, or
        the job was given another entry for the same place); it is no orphan for that. Where the source is known to be
        another place, the row stays as it is, and the rules select nothing of it.
        """
        source, ref = self.jobs[self.job].source, record.ref
        is_elsewhere = self._is_one_place(ref.source, source, ref.path) is False
        return record if is_elsewhere else replace(record, ref=replace(ref, source=source))

    def where_it_is(self, record: Record) -> SecretRef:
        """Return a record's reference, with the source to ask about it.

        That is the source of the record's job, where it leads to the same place; else the record's own source, or what
        that is called now.
        """
        own = self.jobs.get(record.job, self.jobs[self.job])
        # Its own name may lead elsewhere by now, where the job does not look.
        if self._is_one_place(record.ref.source, own.source, record.ref.path):
            return replace(record.ref, source=own.source)
        if not self.sources or record.ref.source in self.sources:
            return record.ref
        return self.as_of_today(record, own)

    def _is_one_place(self, source: str, other: str, path: str) -> bool | None:
        """Do two sources lead to one mount or account for this path? None where that is not known of both."""
        first, second = (place_of(self.mounts.get(name, {}), path) for name in (source, other))
        return first == second if first and second else None

    def leads_anywhere(self, ref: SecretRef, job: Job) -> bool:
        """Does a job read another source than a reference's, while nobody knows whether both lead to one place?"""
        if job.source == ref.source or ref.source not in self.sources:
            return False
        return self._is_one_place(ref.source, job.source, ref.path) is None

    def secret_of(self, ref: SecretRef) -> tuple[str, str] | None:
        """Which secret a reference means, in whatever form; None where its place was never learnt."""
        return secret_at(self.mounts.get(ref.source, {}), ref.path)

    def may_take(self, job: Job, ref: SecretRef) -> bool:
        """May any rule of a job take this secret, by whatever spelling and with whatever tags?"""
        # A source that no cycle has used may lead anywhere, and name its mounts otherwise.
        known, called = self.mounts.get(job.source, {}), self.called_by(job, ref)
        return any(taken_as(rule, called) or not place_of(known, rule.path.prefix) for rule in job.rules)

    def called_by(self, job: Job, ref: SecretRef, told: Mapping[str, str] | None = None) -> frozenset[str]:
        """Return what a secret may be called at a job's source.

        `told`: the mounts that its listing showed, besides the known ones.
        """
        texts = (rule.path.text for rule in job.rules)
        mounts = {**self.mounts.get(job.source, {}), **(told or {})}
        return spellings(ref.path, self.secret_of(ref), mounts, texts)

    def is_of_one_secret(self, one: SecretRef, other: SecretRef) -> bool:
        """Do both mean one secret, however they spell or reach it? Where a place was never learnt the path tells."""
        first, second = self.secret_of(one), self.secret_of(other)
        return first == second if first and second else one.path == other.path

    def _is_the_same(self, record: Record, secret: DesiredSecret) -> bool:
        """Is it the very secret, perhaps by another name of its source, or in another spelling?"""
        ref, known = secret.ref, self.secret_of(record.ref)
        if (record.ref.field, record.pin) != (ref.field, secret.pin):
            return False
        return record.ref == ref or (known is not None and known == self.secret_of(ref))
