"""What one pass of the planner works with: the observations, one moment, and the owner of each name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncd.domain import Action, DesiredSecret, Grant, KnownId, OpenProblem, PathState, Record, RemoteSecret
from syncd.domain.decisions import HeldAction, RestingOwner
from syncd.domain.job import Job
from syncd.domain.ports import Target
from syncd.domain.recency import TOLERANCE
from syncd.reconcile.desired.desired_state import DesiredState
from syncd.reconcile.observe.evidence import key_of
from syncd.reconcile.observe.source_observer import SourceObserver
from syncd.reconcile.plan.handover import Handover
from syncd.reconcile.plan.path_checks import PathChecks
from syncd.reconcile.rules.judged_names import JudgedNames, Place
from syncd.reconcile.runtime import Runtime


@dataclass(slots=True, kw_only=True)
class Observed:
    """What one pass has to plan with."""

    source: SourceObserver
    desired: DesiredState
    records: tuple[Record, ...]
    remote: tuple[RemoteSecret, ...]
    known_ids: Mapping[str, KnownId]
    """What is known of listed ids that no row holds."""
    problems: Mapping[str, OpenProblem]
    """What keeps failing, by name."""
    allowed_deletes: int = 0
    """How many deletions a person allows in this run; this number holds instead of the limit if it is larger."""
    foreseen_deletes: frozenset[str] = frozenset()
    """Ids that plans of other jobs on this site would delete before."""
    outside_window: bool = False
    """Does a person allow sending outside the job's windows?"""
    part: Callable[[Action], bool] | None = None
    """Tells which actions are to be sent; None: all."""
    recheck: bool = False
    """Is every value read again that a rule was not judged on yet?"""
    planned: Mapping[str, Action] = field(default_factory=dict)
    """What the newest plan wants, by name: before rules, windows, limits, and values that could not be read."""

    def is_in_part(self, action: Action) -> bool:
        """Is the action in the part that is to be sent?"""
        return self.part is None or self.part(action)

    def tags_seen(self, wanted: DesiredSecret) -> AbstractSet[tuple[str, str]] | None:
        """Return the tags of a wanted secret in this cycle's listing; None if that does not show it."""
        return self.source.tags_of(key_of(wanted))


@dataclass(frozen=True, slots=True)
class Times:
    """The moment that a whole plan is made for, by two clocks: what comes due later was not looked at."""

    now: datetime
    site_now: datetime
    """By the site's clock, where its answers tell it, else by this machine's: absence is measured by it."""

    @classmethod
    def of(cls, now: datetime, site_time: datetime | None) -> Times:
        """The moment by both clocks. `site_time`: None for a site whose answers tell no time."""
        return cls(now, site_time or now)

    @property
    def moments(self) -> tuple[datetime, datetime]:
        """The present by each clock. What a person allowed holds only by both: a wrong clock prolongs no consent."""
        return self.now, self.site_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds for the whole pass: which job owns which name, and what a person allowed."""

    handover: Handover
    checks: PathChecks
    claimed: frozenset[str]
    """Names that other jobs have the records of and still want."""
    taken_over: frozenset[str]
    """Names recorded for jobs that are gone, which a configured job's rules give to the same secret."""
    left_behind: frozenset[str]
    """Names of jobs that are gone, which nobody takes over."""
    wanted_by_others: frozenset[str]
    """Names recorded for jobs that are gone, which this job wants and other jobs' rules want as well."""
    sent_by_another: Mapping[str, str]
    """By wanted name, the other job that has, or takes over, its row and sends the same secret."""
    resting: Mapping[str, RestingOwner]
    """Other jobs that a person paused and of which the ledger has rows on this site, by the job's name."""
    yet_to_look: frozenset[str]
    """Other jobs on this site that have not looked at all of their source yet, as far as this ledger knows."""
    grants: Mapping[str, Grant]
    held: tuple[HeldAction, ...]
    """What waited for a release before this pass, and what was released."""
    rules: JudgedNames


@dataclass(frozen=True, slots=True)
class PassContext:
    """One job on one site, for one pass."""

    runtime: Runtime
    job: Job
    target: Target
    observed: Observed
    times: Times
    standing: Standing

    @classmethod
    def of(cls, runtime: Runtime, job: Job, target: Target, observed: Observed) -> PassContext:
        """The context of a pass that begins now. Raises `LedgerError`."""
        times = Times.of(runtime.clock(), target.site_time())
        return cls(runtime, job, target, observed, times, _standing(runtime, job, target, observed, times))

    @property
    def place(self) -> tuple[str, str, str]:
        """The site, the job and the target, as what waits for a release is kept by."""
        return self.target.site, self.job.name, self.target.name

    def path_of(self, desired: DesiredSecret) -> PathState | None:
        """What is known of the path that a secret comes from."""
        return self.observed.source.evidence_paths.get(key_of(desired))

    def rested_until(self) -> datetime | None:
        """The end of this job's last pause on this site, by the site's clock, which absence uses too; None for none."""
        ended = self.runtime.store.rested_until(self.job.name, self.target.name, self.target.site)
        return None if ended is None else ended + (self.times.site_now - self.times.now)

    def unobserved_since(self) -> timedelta:
        """Return how long ago this job last worked on this site, by this machine's clock; zero if it never did.

        Where the clock went back, it says nothing: then the span is without end.
        """
        last = self.runtime.store.last_run(self.target.site, self.job.name)
        # A job that never worked here has observed nothing yet.
        if last is None:
            return timedelta(0)
        span = self.times.now - last.started_at
        # Where this clock went back it says nothing, and the site's alone counts.
        return timedelta.max if span < -TOLERANCE else span


def _standing(runtime: Runtime, job: Job, target: Target, observed: Observed, times: Times) -> Standing:
    site = target.site
    jobs = runtime.jobs_on(site)
    sources = frozenset(item.source for item in runtime.jobs.values())
    runs = [run for run in runtime.store.runs() if run.site == site]
    handover = Handover(
        job=job.name,
        jobs=jobs,
        mounts={
            name: runtime.store.known_mounts(name) for name in sources | {row.ref.source for row in observed.records}
        },
        profile=target.profile,
        records={record.name: record for record in observed.records},
        sources=sources,
        worked_at={run.job: run.finished_at for run in runs},
    )
    taken_over, left_behind = handover.of_gone_jobs(observed.desired)
    checks = PathChecks(runtime, handover.where_it_is)
    return Standing(
        handover=handover,
        checks=checks,
        claimed=handover.claimed_by_own_job(observed.desired.all, observed.tags_seen),
        wanted_by_others=handover.wanted_by_others(observed.desired.all),
        sent_by_another=handover.sent_by_another(observed.desired.all, observed.tags_seen),
        taken_over=taken_over,
        left_behind=left_behind,
        resting=runtime.store.resting_owners(
            site, job.name, {record.job for record in observed.records if record.job != job.name}
        ),
        yet_to_look=frozenset(jobs) - {job.name} - {run.job for run in runs if run.read_all},
        grants=_by_all(runtime.store.grants(site, moment) for moment in times.moments),
        held=runtime.store.held(site, job.name),
        rules=JudgedNames(
            runtime.rules,
            Place(
                site=site,
                target=target.name,
                job=job.name,
                labels=runtime.labels.of(target.name),
                called=runtime.labels.names_of(site).known_as(runtime.store.aliases(site)),
                today=lambda record: handover.as_selected(record).ref,
            ),
            runtime.store.facts(site) if runtime.rules else {},
            max(times.moments),
        ),
    )


def _by_all(given: Iterable[Mapping[str, Grant]]) -> Mapping[str, Grant]:
    """The permissions that still hold by every one of the clocks."""
    first, *others = given
    return {name: grant for name, grant in first.items() if all(name in other for other in others)}
