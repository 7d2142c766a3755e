"""What cycles work with: the configured jobs, and access to sources, targets and the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from syncd.domain import Rule, SecretRef, Snapshot
from syncd.domain.decisions import Labels
from syncd.domain.governance import GovernanceRule
from syncd.domain.job import Job
from syncd.domain.naming import selects_path
from syncd.domain.ports import (
    Clock,
    CycleObserver,
    Journal,
    ReadOnlyJournal,
    SilentObserver,
    Source,
    StateStore,
    Target,
    TellWait,
)
from syncd.errors import SourceError, SyncdError
from syncd.reconcile.desired.desired_state import Naming
from syncd.reconcile.observe.mounts import expected, without_conflicting_mount
from syncd.reconcile.observe.source_access import SourceAccess

WORKERS = 20
"""Requests to one site at the same time; up to as many more are journaled and wait for a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What cycles work with. Sources and targets are opened when first asked for."""

    owner: str
    jobs: Mapping[str, Job]
    source: Callable[[str], Source]
    target: Callable[[str], Target]
    site_of: Callable[[str], str]
    targets: Sequence[str] = ()
    """Every configured target."""
    store: StateStore
    fingerprint: Callable[[bytes], str]
    clock: Clock
    stopped: Callable[[], bool] = lambda: False
    observer: CycleObserver = field(default_factory=SilentObserver)
    pause: Callable[[float], object] = time.sleep
    """Wait so many seconds, or until stopped."""
    waits: TellWait = lambda *_: None
    """Called with what a cycle waits for, and for how many seconds at most."""
    workers: int = WORKERS
    rules: tuple[GovernanceRule, ...] = ()
    labels: Labels = field(default_factory=Labels)
    judges_values: bool = True
    """False where somebody chooses names and rules freely, and may learn nothing of values by what these hit."""
    paused: Callable[[str, str], str] = lambda _job, _target: ""
    """Why a job rests on a target at this moment; empty if it does not. Asked before each request."""

    def jobs_on(self, site: str) -> dict[str, Job]:
        """The jobs that send to a site, by name."""
        return {
            name: self.jobs[name]
            # In a fixed order: the same input gives the same plan.
            for name in sorted(self.jobs)
            if any(self.site_of(target) == site for target in self.jobs[name].targets)
        }

    def access_to(self, job: Job, journal: Journal | None = None) -> SourceAccess:
        """Return what an observer of the job's source works with. It keeps what it sees only with a `journal`."""
        return SourceAccess(
            source=self.source(job.source),
            job=job.name,
            takers=partial(self._takers, job),
            store=self.store,
            journal=journal or ReadOnlyJournal(),
            fingerprint=self.fingerprint,
            clock=self.clock,
            configured=frozenset(job.source for job in self.jobs.values()),
        )

    def found(self, source: str, rule: Rule, path: str, job: str) -> Snapshot:
        """Look directly at one path of a source, at the place that the ledger knows.

        `job`: whose secrets tell which place that is, if the source had another name before. Raises `SourceError`,
        also where the source leads to another place: what is found there says nothing of our secrets.
        """
        snapshot = self.source(source).find(rule, path)
        configured = {item.source for item in self.jobs.values()}
        taken_over = self.store.orphaned_mounts(source, configured, job)
        known = expected(self.store.known_mounts(source), taken_over, snapshot.mount, rule.path.prefix)
        checked = without_conflicting_mount(source, known, snapshot)
        if checked is not snapshot:
            failure = checked.failures[0]
            raise SourceError(f"source {source}: {failure.location}: {failure.message}", hint=failure.hint)
        return snapshot

    def _takers(self, asking: Job, paths: Collection[str]) -> list[str]:
        """The jobs that take any of these paths of a job's source, that one first."""
        # What was read is kept for the source: to a job that looks later it would be no news any more.
        others = [job for job in self.jobs.values() if job.source == asking.source and job.name != asking.name]
        taking = [job.name for job in others if any(selects_path(rule, path) for path in paths for rule in job.rules)]
        return [asking.name, *taking]

    def is_one_secret(self, one: SecretRef, other: SecretRef) -> bool:
        """Do both mean one secret, by whatever name of its source and in whichever spelling? Their fields may differ.

        Where a place was never learnt, only the same source and path mean it. Raises `LedgerError`.
        """
        if (one.source, one.path) == (other.source, other.path):
            return True
        first, second = (self.store.secret_at(ref.source, ref.path) for ref in (one, other))
        return first is not None and first == second

    def naming(self, job: str, profile: str) -> Naming:
        """For whom a job's names are made. `profile`: which names the site takes."""
        return Naming(job=job, owner=self.owner, profile=profile, fingerprint=self.fingerprint)

    def target_delay(self, name: str) -> float:
        """Seconds until a target's site may be asked again; 0 where that is not known."""
        try:
            return self.target(name).delay()
        # What is wrong with the target is told by its own cycle; this only puts the sites in order.
        except SyncdError:
            return 0.0
