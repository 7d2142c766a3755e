"""Observe, desired and plan: all that `syncd plan` does, and the first half of each pass of a cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta

from syncd.domain import Action, Delete, Finding, FindingKind, KnownId, OpenProblem, Plan, Record, RemoteSecret
from syncd.domain.audit import handed_over_entry, taken_back_entry
from syncd.domain.decisions import HeldAction, Rollback, by_name
from syncd.domain.job import Job
from syncd.domain.ports import NO_AUDIT, AuditBatch, Journal, Target, WhileWaiting
from syncd.errors import ConfigError
from syncd.reconcile.desired.desired_state import DesiredState, build_desired_state
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.observe.recovery import Found, Site, recover
from syncd.reconcile.observe.same_site import merged
from syncd.reconcile.observe.source_observer import SourceObserver
from syncd.reconcile.plan.comparisons import CycleState
from syncd.reconcile.plan.pass_context import Observed
from syncd.reconcile.plan.resolver import PlanResolver
from syncd.reconcile.runtime import Runtime


@dataclass(slots=True, kw_only=True)
class PlannedPass:
    """One look at source and site: the plan, and what it was made of."""

    plan: Plan
    records: tuple[Record, ...]
    """As the ledger has them; after a pass, as the pass left them."""
    remote: tuple[RemoteSecret, ...]
    source: SourceObserver
    desired: DesiredState
    problems: dict[str, OpenProblem] = field(default_factory=dict)
    """What kept failing before this pass, by name."""
    postponed: bool = False
    """Comparisons are left for another pass."""
    waits_for_settled_names: bool = False
    """Something waits for a name that this plan may settle."""
    waiting: tuple[HeldAction, ...] = ()
    """What waits for a release, in its batches."""
    released: Mapping[str, tuple[HeldAction, ...]] = field(default_factory=dict)
    """What goes because a person released it, by name: one release for each cause that held it."""
    rollbacks: tuple[Mapping[str, Rollback], Mapping[tuple[str, str], Rollback]] = field(default=({}, {}))
    """What was rolled back when the look began: by path of the job's source, and by secret."""
    is_still_due: Callable[[Delete], bool] = lambda _action: True
    """Is a deletion still due? Asked while it waits for its place in the rate limit. Raises `LedgerError`."""
    noticed: tuple[Finding, ...] = ()
    """Findings about rows that were taken back by their mark, handed over, or joined from another key of the site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look needs: the job, the target, and what it was asked for."""

    runtime: Runtime
    job: Job
    target_name: str
    holder: str = ""
    """The name of this process, as it is shown to others that wait for its lock."""
    hinted_paths: frozenset[str] = frozenset()
    """Source paths that an event named."""
    outside_window: bool = False
    """Does a person allow sending outside the job's windows?"""
    opens_for: Callable[[Action], bool] | None = None
    """The actions for which `outside_window` holds while the window is closed; None: all."""
    part: Callable[[Action], bool] | None = None
    """Tells which actions are to be sent; None: all. The others count for no limit and are held in no batch."""
    recheck: bool = False
    """Is every value read again that a rule was not judged on yet?"""

    @property
    def site(self) -> str:
        """The site's key."""
        return self.runtime.site_of(self.target_name)

    def plan(
        self,
        cache: ObservationCache,
        journal: Journal,
        state: CycleState,
        *,
        allowed_deletes: int = 0,
        is_second: bool = False,
    ) -> PlannedPass:
        """Look at source and site, read what is needed, and plan.

        `is_second`: is this the second look, made because the site's clock moved the end of pauses and rollbacks?
        Raises `SourceError`, `TargetError`, `LedgerError`; `ConfigError` where two configured keys are one site.
        """
        runtime, job = self.runtime, self.job
        target = runtime.target(self.target_name)
        # Before anything is seen: what is decided from here on makes another plan.
        rollbacks = self.rollbacks()
        source = SourceObserver(job.rules, runtime.access_to(job, journal), cache, self.hinted_paths)
        source.observe()
        remote = self._listed(cache, target)
        site_time = target.site_time()
        # Pauses and rollbacks end by the slower clock. What was read by the other one is looked at anew.
        moves = site_time is not None and runtime.store.clock_is_ahead(self.site, runtime.clock() - site_time)
        # Once: a site whose answers come from two clocks would be listed for ever.
        if moves and not is_second:
            return self.plan(cache, journal, state, allowed_deletes=allowed_deletes, is_second=True)
        if journal.is_writable:
            runtime.store.tell_what_ran_out()
        # Before anything is planned: which rows of the ledger are of this very site, whatever key they were kept
        # under.
        records, noticed = self._records_of_this_site(remote, journal)
        # Whatever row takes an id takes along what protects it, so that a forgotten row undoes no freeze or adoption.
        known_ids = runtime.store.known_ids(
            {secret.id for secret in remote} - {str(record.remote_id) for record in records}
        )
        desired = build_desired_state(source.evidence, runtime.naming(job.name, target.profile))
        found = self._recovered(desired, records, remote, known_ids, journal)
        noticed += (*map(_taken_back, found.taken_back), *map(_handed_over, found.handed_over))
        observed = Observed(
            source=source,
            desired=desired,
            records=found.applied_to(records),
            remote=remote,
            known_ids=known_ids,
            problems=runtime.store.known_problems(self.site, job.name),
            allowed_deletes=allowed_deletes,
            foreseen_deletes=frozenset(cache.foreseen[self.site]),
            outside_window=self.outside_window,
            part=self.part,
            recheck=self.recheck,
        )
        resolver = PlanResolver(runtime, job, target, observed, state)
        resolution = resolver.resolve()
        # Outcomes alone, never values: the next cycle need not read them again.
        if resolver.fresh_facts:
            journal.facts(resolver.fresh_facts)
        return PlannedPass(
            plan=resolution.plan,
            records=observed.records,
            remote=remote,
            source=source,
            desired=observed.desired,
            problems=dict(observed.problems),
            postponed=resolver.postponed,
            waits_for_settled_names=resolver.waits_for_settled_names,
            waiting=resolution.waiting,
            released=by_name(resolution.released),
            rollbacks=rollbacks,
            is_still_due=resolver.is_still_due,
            noticed=noticed,
        )

    def rollbacks(self) -> tuple[Mapping[str, Rollback], Mapping[tuple[str, str], Rollback]]:
        """What is rolled back at this moment. Raises `LedgerError`."""
        store = self.runtime.store
        return store.rollbacks(self.job.source), store.rollbacks_by_secret()

    def _recovered(
        self,
        desired: DesiredState,
        records: tuple[Record, ...],
        remote: tuple[RemoteSecret, ...],
        known_ids: Mapping[str, KnownId],
        journal: Journal,
    ) -> Found:
        """Find rows again by their marks in the listing, settle open ones, and write that down at once."""
        runtime, job = self.runtime, self.job.name
        place = Site(
            owner=runtime.owner,
            key=self.site,
            target=self.target_name,
            now=runtime.clock(),
            former=runtime.store.former_owners(),
        )
        # A killed process may have left an id at Wix that no row holds; its mark tells.
        found = recover(place, desired.all, records, remote, known_ids)
        if found.put or found.drop:
            taken = [taken_back_entry(record, job) for record in found.taken_back]
            taken += [handed_over_entry(record, job) for record in found.handed_over]
            journal.write(put=found.put, drop=found.drop, audit=AuditBatch(notes=tuple(taken)) if taken else NO_AUDIT)
        return found

    def _listed(self, cache: ObservationCache, target: Target) -> tuple[RemoteSecret, ...]:
        """The site's listing; jobs that come together share it while no row of the ledger shows a write."""
        runtime, site = self.runtime, self.site
        sharing = sum(runtime.site_of(name) == site for job in runtime.jobs.values() for name in job.targets)
        # Nobody shares it, so no rows have to be read to know whether it is still good.
        if sharing < 2:
            return target.list()
        rows = runtime.store.records(site)
        # The ledger tells of a write by whichever process: these columns change with each.
        state = tuple((r.name, r.remote_id, r.pending, r.last_synced_at, r.unverified, r.lost_writes) for r in rows)
        return cache.site(site, state, target.list)

    def _records_of_this_site(
        self, remote: Sequence[RemoteSecret], journal: Journal
    ) -> tuple[tuple[Record, ...], tuple[Finding, ...]]:
        """The site's rows, with those that the ledger keeps under another key of the same real site.

        An id at Wix is of one site: where another site of the ledger holds an id that is listed here, both are one.
        Raises `ConfigError` where both are configured, because nobody said which of them counts.
        """
        store, site = self.runtime.store, self.site
        listed = {secret.id: secret.name for secret in remote}
        records, joined = store.records(site), []
        for other in sorted(store.sites_holding(site, listed)):
            targets = [name for name in self.runtime.targets if self.runtime.site_of(name) == other]
            if targets:
                is_joined = other in store.aliases(site) or site in store.aliases(other)
                raise ConfigError(
                    f"targets {targets[0]} and {self.target_name} are one site at Wix under two keys "
                    f"({other} and {site}): the same secrets are listed",
                    hint="they were joined since this process started: restart it, or let it reload (SIGHUP)"
                    if is_joined
                    else f"say which key the ledger keeps: syncd state join-site {other} {site}",
                )
            with ExitStack() as stack:
                if journal.is_writable:  # whoever still works under the old key goes first
                    wait, stopped = timedelta(0), WhileWaiting(self.runtime.stopped)
                    stack.enter_context(store.lock(other, holder=self.holder, wait=wait, meanwhile=stopped))
                moving = store.records(other)
                records = tuple(merged(moving, records, site, listed))
                journal.follow(other, records)
            message = f"{len(moving)} secrets that the ledger kept under {other} are of this site, by their ids"
            joined.append(Finding(kind=FindingKind.JOINED, name="", message=message))
        return records, tuple(joined)


def _handed_over(record: Record) -> Finding:
    message = f"another syncd took it over: its mark is on id {record.remote_id}, which is left alone from now on"
    return Finding(kind=FindingKind.HANDED_OVER, name=record.name, ref=record.ref, message=message)


def _taken_back(record: Record) -> Finding:
    message = f"by its mark (id {record.remote_id})"
    return Finding(kind=FindingKind.TAKEN_BACK, name=record.name, ref=record.ref, message=message)
