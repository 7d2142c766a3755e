"""Which job a name belongs to: by its rules, its record, and what jobs and sources are called by now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from syncd.domain import DesiredSecret, Record, Rule, SecretRef
from syncd.domain.job import Job
from syncd.domain.naming import selects, taken_as, wix_name
from syncd.domain.records import GIVEN_UP
from syncd.domain.value_templates import form_in, form_of
from syncd.errors import BadName
from syncd.reconcile.desired.desired_state import DesiredState
from syncd.reconcile.observe.evidence import ListingEvidence
from syncd.reconcile.plan.builder import rows_for
from syncd.reconcile.plan.same_secret import KnownSecrets

Tags = AbstractSet[tuple[str, str]]
TagsSeen = Callable[[DesiredSecret], Tags | None]
"""Gives the tags of a wanted secret, as the job's own listing shows them; None if that does not show it."""
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a job lists."""

    paths: frozenset[str] = frozenset()
    """All listed paths, also those of secrets that have nothing to send."""
    mounts: Mapping[str, str] = field(default_factory=dict)
    """By mount (or account) of a listing, its id."""
    known_by_rule: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """By rule index, the listed paths of which is known what the rule makes."""

    @classmethod
    def of(cls, evidence: ListingEvidence) -> Listed:
        """What one look showed."""
        return cls(evidence.paths_listed, evidence.mounts, evidence.known_by_rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameClaims(KnownSecrets):
    """The jobs that send to one site, what they name, and what the ledger holds there."""

    profile: str
    records: Mapping[str, Record]
    """By name."""
    worked_at: Mapping[str, datetime] = field(default_factory=dict)
    """When each job ended its last cycle on this site; without those that never worked there."""

    @property
    def deleting_jobs(self) -> frozenset[str]:
        """The jobs that delete what they want no more."""
        return frozenset(name for name, job in self.jobs.items() if job.policies.delete)

    def names_given(
        self, job: Job, record: Record, tags: Tags | None = None, *, any_field: bool = False
    ) -> set[tuple[str, str, SecretRef]]:
        """Return the names that a job's rules give a record's reference, each with its pin and the reference it is of.

        The rules' patterns decide alone, unless the secret's `tags` are known. An empty name stands for one that Wix
        does not take. With `any_field`, names of any other field of the path, or of all of it, count as well.
        """
        return {(name, rule.pin, given) for rule, name, given in self._given(job, record, tags, any_field)}

    def _given(
        self, job: Job, record: Record, tags: Tags | None, any_field: bool
    ) -> Iterator[tuple[Rule, str, SecretRef]]:
        """`names_given`, with the rule that gives each."""
        ref = self.as_of_today(record, job)
        if job.source != ref.source:
            return
        mounts = (mount for mount in self.mounts.get(ref.source, ()) if ref.path.startswith(mount))
        mount = max(mounts, key=len, default="").strip("/")
        is_arn = any(text.startswith("arn:") for text in (ref.path, *(rule.path.text for rule in job.rules)))
        # Only a secret at AWS has two spellings at one source; this is asked of every row.
        called = self.called_by(job, ref) if is_arn else frozenset({ref.path})
        for rule in job.rules:
            path = taken_as(rule, called)
            if path is None or (tags is not None and not set(rule.tags) <= tags):
                continue
            ref = replace(ref, path=path)
            given = ref if rule.field in {"*", ref.field} else replace(ref, field=rule.field)
            if given != ref and not any_field:
                continue
            if not selects(rule, given):
                continue
            try:
                name = wix_name(rule, given, mount, self.profile)
            except BadName:
                # A name that Wix does not take is still a claim: the old name may not go before the rule is mended.
                name = ""
            yield rule, name, given

    def is_claimed_by(self, job: Job, record: Record, tags: Tags | None = None) -> bool:
        """Does any rule of this job map the record's reference, or any other of its path, to its name?"""
        given = self.names_given(job, record, tags, any_field=True)
        return (record.name, record.pin) in {(name, pin) for name, pin, _ in given}

    def is_claimed(self, record: Record, tags: Tags | None = None, *, except_job: str = "") -> bool:
        """Does any job but one map the record's reference to its name?"""
        others = (job for name, job in self.jobs.items() if name != except_job)
        return any(self.is_claimed_by(job, record, tags) for job in others)

    def claimed_by_own_job(self, desired: Iterable[DesiredSecret], tags_seen: TagsSeen) -> frozenset[str]:
        """Return the names that other jobs have the records of and still want: the records stay with those jobs.

        Where this job sees the secret under that name, the secret's tags tell which jobs want it. Else the rules'
        patterns tell; but a record that its own job's last cycle found gone or left out is not wanted by that job any
        more.
        """
        others = [record for record in self.records.values() if record.job != self.job]
        here = {secret.name.casefold(): secret for secret in desired} if others else {}
        found = set()
        for record in others:
            secret = here.get(record.name.casefold())
            is_given_up = record.status in GIVEN_UP
            # In another form it is the same secret; but what its own job gave up stays so until the very same is back.
            is_seen = secret is not None and (
                self._is_the_same(record, secret) or (not is_given_up and self.is_of_one_secret(record.ref, secret.ref))
            )
            owner = self._owner(record, record, tags_seen(secret) if secret and is_seen else None)
            if owner not in {None, self.job} and (is_seen or not is_given_up):
                found.add(record.name)
        return frozenset(found)

    def _owner(self, record: Record, wanted: Record, tags: Tags | None = None) -> str | None:
        """Return the job that a record belongs to, if that job's rules want `wanted`; None if no job's do.

        If the record's job is gone, the record passes to a job that wants it and has not worked here since that one
        did: first to one that makes the same of the secret, then to one that never worked here, then to the one that
        was away for longest. If that job makes something else of the secret, a job that has worked here since and
        makes the same goes before it.
        """
        if record.job in self.jobs:
            return record.job if self.is_claimed_by(self.jobs[record.job], wanted, tags) else None
        ended = self.worked_at.get(record.job)
        away = {name: self.worked_at.get(name, NEVER) for name in self.jobs}
        heirs = {name: at for name, at in away.items() if at is NEVER or (ended is not None and at < ended)}
        claiming = [name for name in heirs if self.is_claimed_by(self.jobs[name], wanted, tags)]
        heir = min(claiming, key=lambda name: (not self._makes(name, wanted), heirs[name], name), default=None)
        if heir is None or self._makes(heir, wanted):
            return heir
        # A job that sent the very same all along goes on, before a new one makes something else of it.
        return next((name for name in sorted(away.keys() - heirs) if self._makes(name, wanted)), heir)

    def _makes(self, job: str, wanted: Record) -> bool:
        """Does the job give the name to the secret in the form that was sent, with the same template or encoding?"""
        given = self._given(self.jobs[job], wanted, None, any_field=False)
        form = form_in(wanted.version)
        return any(name == wanted.name and form_of(rule.value, binary=rule.binary) == form for rule, name, _ in given)

    def _of_other_jobs(self, desired: Sequence[DesiredSecret]) -> Iterator[tuple[DesiredSecret, Record]]:
        """Yield what this job wants while another job has its row, each with that row."""
        # The usual case: the site is one job's, and nothing has to be joined.
        if all(record.job == self.job for record in self.records.values()):
            return
        rows = rows_for(desired, self.records.values(), self.deleting_jobs)
        yield from (
            (secret, rows[secret.name])
            for secret in desired
            if secret.name in rows and rows[secret.name].job != self.job
        )

    def sent_by_another(self, desired: Sequence[DesiredSecret], tags_seen: TagsSeen) -> dict[str, str]:
        """Return, by wanted name, the other job that has, or takes over, its row and sends the very same secret.

        The wanted reference is asked for, not the recorded one: the row keeps its old reference while its own job
        waits.
        """
        found = {}
        for secret, record in self._of_other_jobs(desired):
            wanted = replace(record, name=secret.name, ref=secret.ref, pin=secret.pin)
            owner = self._owner(record, wanted, tags_seen(secret))
            # Of another field of its path the name is another secret's, and nobody's to wait for.
            if owner is not None and owner != self.job and self._gives(self.jobs[owner], wanted):
                found[secret.name] = owner
        return found

    def _gives(self, job: Job, wanted: Record) -> bool:
        """Does any rule of this job give the name to this very field of the secret, or to all of it as here?"""
        return (wanted.name, wanted.pin) in {(name, pin) for name, pin, _ in self.names_given(job, wanted)}

    def wanted_by_others(self, desired: Sequence[DesiredSecret]) -> frozenset[str]:
        """Return the names recorded for gone jobs, which this job wants and other jobs' rules give as well."""
        found = set()
        for secret, record in self._of_other_jobs(desired):
            if record.job not in self.jobs:
                wanted = replace(record, name=secret.name, ref=secret.ref, pin=secret.pin)
                found |= {secret.name} if self.is_claimed(wanted, except_job=self.job) else set()
        return frozenset(found)

    def is_asked_for_tags(self, ref: SecretRef) -> bool:
        """Does any rule that takes this secret ask for tags?"""
        asking = ((job, rule) for job in self.jobs.values() for rule in job.rules if rule.tags)
        return any(taken_as(rule, self.called_by(job, ref)) for job, rule in asking)

    def of_gone_jobs(self, desired: DesiredState) -> tuple[frozenset[str], frozenset[str]]:
        """Return the names of gone jobs: those that a configured job takes over, and those that this job reports.

        This job takes over what it wants now, with its tags. Other jobs count by their patterns, until each has had a
        cycle since: if it did not take the name then, that was for its tags.
        """
        wanted, taken_over, left_behind = {secret.name for secret in desired.all}, set(), set()
        for record in self.records.values():
            if record.job in self.jobs:
                continue
            claiming = {name for name, job in self.jobs.items() if self.is_claimed_by(job, record)}
            if record.name in wanted or any(self._may_take_over(name, record) for name in claiming - {self.job}):
                taken_over.add(record.name)
            # What nobody takes over is told once a site: by the first job whose pattern fits it, else by the first.
            elif self.job == min(claiming or self.jobs, default=""):
                left_behind.add(record.name)
        return frozenset(taken_over), frozenset(left_behind)

    def _may_take_over(self, job: str, record: Record) -> bool:
        """Has this job had no cycle here since the last one of the record's own job, which is gone?"""
        ended, worked = self.worked_at.get(record.job), self.worked_at.get(job)
        return worked is None or (ended is not None and worked <= ended)
