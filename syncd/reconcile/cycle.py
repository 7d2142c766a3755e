"""One cycle of one job on one site: list, map, fetch, plan, guard, apply, record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd.domain import (
    ADOPTING,
    FAILING_KINDS,
    Action,
    Create,
    Delete,
    Finding,
    FindingKind,
    OpenProblem,
    Outcome,
    Plan,
    Record,
    RemoteSecret,
    SyncReport,
    Update,
    deletions_sent,
)
from syncd.domain.ports import Journal, Target
from syncd.errors import (
    ConfigError,
    PlanMoved,
    SourceError,
    SyncdError,
    TargetError,
    TargetUnavailable,
    worst,
)
from syncd.reconcile.apply.applier import Applier, ApplyResult
from syncd.reconcile.desired.desired_state import DesiredState
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.observe.recovery import recover
from syncd.reconcile.observe.same_site import merged
from syncd.reconcile.observe.source_observer import SourceObserver
from syncd.reconcile.plan.resolver import CycleState, PlanResolver
from syncd.reconcile.record.cycle_result import remember
from syncd.reconcile.runtime import Job, Runtime

APPLY_SECONDS = 60.0
"""After this long on one listing, list and plan again; whoever waits for the site gets its turn."""
MOST_WAIT = 180.0
"""Seconds that a cycle waits for a site that asks to slow down, without anything getting done."""
LOOKS = 4
"""Passes that may follow because something was not as listed."""


@dataclass(slots=True, kw_only=True)
class PlannedPass:
    """One look at the world: what a plan was made of."""

    plan: Plan
    records: tuple[Record, ...]
    """As the ledger has them; after a pass, as the pass left them."""
    remote: tuple[RemoteSecret, ...]
    gathering: SourceObserver
    wanted: DesiredState
    postponed: bool = False
    """Comparisons are left for another pass."""


class Cycle:
    """The work of one job on one target."""

    def __init__(
        self,
        world: Runtime,
        job: Job,
        target_name: str,
        *,
        allowed_deletes: int = 0,
        named: frozenset[str] = frozenset(),
    ) -> None:
        """`named`: source paths that an event told of."""
        self._named = named
        self._world = world
        self._job = job
        self._target_name = target_name
        self._site = world.site_of(target_name)
        self._allowed_deletes = allowed_deletes
        self._memory = CycleState()
        self._outcomes: list[Outcome] = []
        self._looks = 0
        self._holder, self._began = "", time.monotonic()
        self._waited, self._waited_at = 0.0, 0
        self._unsent = 0
        self._left_out: LeftOut = {}
        self._taken_back: list[Finding] = []
        self._troubles: Mapping[str, OpenProblem] = {}

    @property
    def noticed(self) -> tuple[Finding, ...]:
        """What was taken back by its mark, or follows from another key of the site."""
        return tuple(self._taken_back)

    def run(
        self,
        tick: ObservationCache,
        *,
        holder: str,
        wait: timedelta,
        chosen: Callable[[PlannedPass], Plan] | None = None,
    ) -> SyncReport:
        """Sync; never raises what a source, a target or the ledger does: the report holds it.

        `chosen` picks from the plan what is carried out (a kept plan); it may raise `PlanMoved`.
        """
        started, self._holder, self._began = self._world.clock(), holder, time.monotonic()
        picture: PlannedPass | None = None
        error: SyncdError | None = None
        seen: tuple[Record, ...] | None = None
        slow: float | None = None
        try:
            more = True
            while more:
                with self._world.store.lock(
                    self._site, holder=holder, wait=wait, stop=self._world.stopped, waits=self._world.waits
                ) as journal:
                    until = time.monotonic() + APPLY_SECONDS
                    tick = tick.fresh()
                    while more and time.monotonic() < until:
                        try:
                            picture, applied = self._pass(tick, journal, until, chosen)
                        except TargetUnavailable as failure:
                            slow = self.may_wait(failure)
                            if slow is None:
                                self._stop_tombstones(journal)
                                error, more, seen = failure, False, None
                        except (SourceError, TargetError, ConfigError, PlanMoved) as failure:
                            self._stop_tombstones(journal)
                            error, more, seen = failure, False, None
                        else:
                            error, more, seen = applied.broken, self._more(applied), picture.records
                            slow = self.may_wait(applied.slow_down) if applied.slow_down else None
                            if applied.slow_down and slow is None:
                                error, more = applied.slow_down, False
                        tick = ObservationCache()
                        if slow is not None:
                            break
                    if not more:
                        report = self._report(started, picture, error)
                        remember(journal, self._world.store, report, self._site, seen)
                        return report
                self._tell_slow(slow)
                self._world.pause(max(0.2, slow or 0.0))  # without the lock: whoever waits for the site takes it
                slow = None
        except SyncdError as failure:
            error = failure
        return self._report(started, picture, error)

    def may_wait(self, failure: TargetUnavailable) -> float | None:
        """Seconds to wait where the site asks for it; None once it has asked for long enough, or for nothing."""
        if failure.retry_after is None or not failure.asks_to_wait or self._world.stopped():
            return None
        if len(self._outcomes) > self._waited_at:
            self._waited, self._waited_at = 0.0, len(self._outcomes)
        self._waited += failure.retry_after
        return failure.retry_after if self._waited <= MOST_WAIT else None

    def pause(self, seconds: float) -> None:
        """Wait for a site that asks to slow down, or until stopped."""
        self._tell_slow(seconds)
        self._world.pause(seconds)

    def _tell_slow(self, seconds: float | None) -> None:
        self._world.waits(f"target {self._target_name} asks to slow down", seconds or 0.0)

    def _stop_tombstones(self, journal: Journal) -> None:
        """A cycle that could not look observes no absence."""
        records = self._world.store.records(self._site)
        running = [record for record in records if record.job == self._job.name and record.absent_at]
        journal.write(put=[replace(record, absent_at=None) for record in running])

    def _more(self, applied: ApplyResult) -> bool:
        if applied.broken or self._world.stopped():
            return False
        if applied.left_over:
            return True
        self._looks += 1
        return applied.look_again and self._looks < LOOKS

    def _pass(
        self, tick: ObservationCache, journal: Journal, until: float, chosen: Callable[[PlannedPass], Plan] | None
    ) -> tuple[PlannedPass, ApplyResult]:
        """Look, plan, and carry out what one listing is good for: writes first, deletions on their own."""
        picture = self.look(tick, journal)
        todo = chosen(picture) if chosen else picture.plan
        writes = [action for action in todo.actions if not isinstance(action, Delete)]
        deletes = [action for action in todo.actions if isinstance(action, Delete)]
        journal.write(put=todo.notes)
        applier = Applier(
            self._world.target(self._target_name),
            journal,
            self._world.clock,
            lambda outcome: self._world.observer.on_outcome(outcome, self._job.name, self._target_name),
            {secret.id for secret in picture.remote} | {str(record.remote_id) for record in picture.records},
            self._world.workers,
            self._is_consented,
            self._is_limited,
        )
        actions = writes or (deletes if self._outcomes or self._looks else [])
        self._world.observer.on_planned(len(actions))
        # A look that took all of the time would never be followed by an action: some time is always left for those.
        until = max(until, time.monotonic() + APPLY_SECONDS / 4)
        applied = applier.run(actions, stop=lambda: self._world.stopped() or time.monotonic() >= until)
        applied.left_over |= picture.postponed and applied.broken is None
        for outcome in applied.outcomes:
            self._memory.site_values.pop(outcome.action.name, None)
        self._memory.ended |= applied.ended
        self._memory.uncreated |= applied.uncreated
        self._outcomes += applied.outcomes
        self._unsent = applied.unsent if self._world.stopped() else 0
        rows: dict[str, Record | None] = {record.name: record for record in (*picture.records, *todo.notes)}
        rows |= applied.rows
        self._left_out = _not_carried_out(picture.plan, todo, applied, interrupted=self._world.stopped())
        if applied.broken or applied.slow_down or self._world.stopped() or chosen:
            # Whatever ends this cycle: the site does not hold what the source has.
            behind = [replace(row, status="behind") for row in _rows_of(self._left_out, rows) if row.status == "synced"]
            journal.write(put=behind)
            rows |= {row.name: row for row in behind}
        picture.records = tuple(row for row in rows.values() if row is not None)
        if deletes and not (actions and actions is deletes):
            applied.look_again = True  # a deletion has a listing made for it
        return picture, applied

    def _is_consented(self, action: Action) -> bool:
        """Asked in the moment of the deed: does what allowed to take over a secret still stand?"""
        if not (isinstance(action, Update) and action.reason in ADOPTING) or self._job.policies.adopt:
            return True
        grant = self._world.store.grants(self._site, self._world.clock()).get(action.name)
        return grant is not None and grant.remote_id == action.record.remote_id

    def _is_limited(self, action: Action) -> bool:
        """Does an action count for a limit from the moment it is sent?"""
        limits = self._job.limits
        kinds = {Create: limits.max_creates, Update: limits.max_updates, Delete: limits.max_deletes}
        return kinds[type(action)] is not None

    def _records_of_this_site(self, remote: Sequence[RemoteSecret], journal: Journal | None) -> tuple[Record, ...]:
        """The site's rows, with those that the ledger keeps under another key of the same real site.

        An id at Wix is of one site: where another site of the ledger holds an id that is listed here, both are one.
        Raises `ConfigError` where both are configured, because nobody said which of them counts.
        """
        store, site = self._world.store, self._site
        listed = frozenset(secret.id for secret in remote)
        records = store.records(site)
        for other in sorted(store.sites_holding(site, listed)):
            targets = [name for name in self._world.targets if self._world.site_of(name) == other]
            if targets:
                raise ConfigError(
                    f"targets {targets[0]} and {self._target_name} are one site at Wix under two keys "
                    f"({other} and {site}): the same secrets are listed",
                    hint=f"say which key the ledger keeps: syncd state join-site {other} {site}",
                )
            with ExitStack() as stack:
                if journal is not None:  # whoever still works under the old key goes first
                    wait, stop = timedelta(0), self._world.stopped
                    stack.enter_context(store.lock(other, holder=self._holder, wait=wait, stop=stop))
                moving = store.records(other)
                records = tuple(merged(moving, records, site, listed))
                if journal is not None:
                    journal.follow(other, records)
            message = f"{len(moving)} secrets that the ledger kept under {other} are of this site, by their ids"
            self._taken_back.append(Finding(kind=FindingKind.JOINED, name="", message=message))
        return records

    def _listed(self, tick: ObservationCache, target: Target) -> tuple[RemoteSecret, ...]:
        """The site's listing; jobs that come together share it while no row of the ledger shows a write."""
        world = self._world
        sharing = sum(world.site_of(name) == self._site for job in world.jobs.values() for name in job.targets)
        if sharing < 2:
            return target.list()
        rows = world.store.records(self._site)
        state = tuple((r.name, r.remote_id, r.pending, r.last_synced_at, r.unverified, r.lost_writes) for r in rows)
        return tick.site(self._site, state, target.list)

    def look(self, tick: ObservationCache, journal: Journal | None) -> PlannedPass:
        """See everything, read what is needed, and plan. `journal` None: write nothing.

        Raises `SourceError`, `TargetError`, `LedgerError`.
        """
        world, job = self._world, self._job
        target = world.target(self._target_name)
        gathering = SourceObserver(
            job.rules,
            world.source(job.source),
            tick,
            world.store,
            journal,
            world.fingerprint,
            world.clock(),
            self._named,
        )
        gathering.look()
        remote = self._listed(tick, target)
        records = self._records_of_this_site(remote, journal)
        known_ids = world.store.known_ids(
            {secret.id for secret in remote} - {str(record.remote_id) for record in records}
        )
        wanted = gathering.desired(job=job.name, owner=world.owner, profile=target.profile)
        found = recover(
            world.owner,
            wanted.all,
            records,
            remote,
            site=self._site,
            target=self._target_name,
            now=world.clock(),
            known_ids=known_ids,
        )
        if journal and (found.put or found.drop):
            journal.write(put=found.put, drop=found.drop)
        self._taken_back += [
            Finding(
                kind=FindingKind.TAKEN_BACK,
                name=record.name,
                ref=record.ref,
                message=f"by its mark, id {record.remote_id}",
            )
            for record in found.taken_back
        ]
        records = found.applied_to(records)
        self._troubles = world.store.known_troubles(self._site, job.name)
        decision = PlanResolver(
            world,
            job,
            target,
            gathering,
            records,
            remote,
            self._memory,
            self._troubles,
            wanted,
            allowed_deletes=max(0, self._allowed_deletes - deletions_sent(self._outcomes)),
            known_ids=known_ids,
        )
        final = decision.final()
        return PlannedPass(
            plan=final,
            records=records,
            remote=remote,
            gathering=gathering,
            wanted=decision.wanted,
            postponed=bool(decision.postponed),
        )

    def _report(self, started: datetime, picture: PlannedPass | None, error: SyncdError | None) -> SyncReport:
        findings = picture.plan.findings + tuple(picture.wanted.findings) if picture else ()
        failures = tuple(picture.gathering.failures) if picture else ()
        touched = {outcome.action.name for outcome in self._outcomes}
        findings = tuple(
            finding for finding in findings if finding.kind is not FindingKind.UNCHANGED or finding.name not in touched
        )
        left_out = [
            Finding(kind=FindingKind.BEHIND, name=action.name, ref=action.desired.ref, message=why)
            for action, why in self._left_out.values()
            if not isinstance(action, Delete)
        ]
        findings += (*self._taken_back, *self._after(findings), *left_out)
        codes = {finding.exit_code or int(finding.kind in FAILING_KINDS) for finding in findings}
        last = {outcome.action.name: outcome for outcome in self._outcomes}.values()
        codes |= {outcome.error.exit_code for outcome in last if isinstance(outcome.error, SyncdError)}
        codes |= {SourceError.exit_code} if failures else set()
        codes |= {error.exit_code} if error else set()
        report = SyncReport(
            job=self._job.name,
            target=self._target_name,
            started_at=started,
            finished_at=self._world.clock(),
            seconds=time.monotonic() - self._began,
            outcomes=tuple(self._outcomes),
            findings=findings,
            failures=failures,
            error=error,
            exit_code=worst(codes),
            unsent=self._unsent,
            listing_calls=picture.gathering.listing_calls if picture else 0,
            means=picture.gathering.means if picture else {},
            faulty=picture.wanted.faulty() if picture else {},
        )
        observer, place = self._world.observer, (self._job.name, self._target_name)
        for failure in failures:
            observer.on_failure(failure, *place)
        for finding in findings:
            observer.on_finding(finding, *place, known=finding in left_out or self._is_known(finding))
        return report

    def _is_known(self, finding: Finding) -> bool:
        """Did the cycle before say the same of this secret already?"""
        problem = self._troubles.get(finding.name)
        return problem is not None and problem.message == finding.message

    def _after(self, findings: Sequence[Finding]) -> Sequence[Finding]:
        """Names whose last write lost its answer: their content is not verified."""
        names = {finding.name for finding in findings}
        last = {outcome.action.name: outcome for outcome in self._outcomes}
        return [
            Finding(
                kind=FindingKind.UNVERIFIED,
                name=name,
                ref=outcome.action.record.ref if isinstance(outcome.action, Delete) else outcome.action.desired.ref,
                message=f"the answer to its write was lost: {outcome.error.message}",
                hint="the next cycle looks, and writes it again",
            )
            for name, outcome in last.items()
            if isinstance(outcome.error, TargetError) and outcome.error.maybe_done and name not in names
        ]


LeftOut = dict[str, tuple[Action, str]]
"""Actions of a plan that were not carried out, and why, by name."""


def _not_carried_out(plan: Plan, todo: Plan, applied: ApplyResult, *, interrupted: bool) -> LeftOut:
    """What the plan holds and nothing was sent for: silence about it would pass for `synced`."""
    chosen, ended = {action.name for action in todo.actions}, {outcome.action.name for outcome in applied.outcomes}
    if applied.broken is not None:
        why = "not sent: the site refused the ones before it"
    elif applied.slow_down is not None:
        why = "not sent: the site asks to slow down"
    elif interrupted:
        why = "not sent: interrupted; the next cycle sends it"
    else:
        why = "not sent yet; the next cycle sends it"
    return {
        action.name: (action, why if action.name in chosen else "not part of the kept plan; `syncd sync` sends it")
        for action in plan.actions
        if action.name not in ended
    }


def _rows_of(left_out: LeftOut, rows: Mapping[str, Record | None]) -> Iterator[Record]:
    for action, _ in left_out.values():
        row = rows.get(action.record.name) if action.record and not isinstance(action, Delete) else None
        if row is not None:
            yield row


def looked_at_patiently(cycle: Cycle, tick: ObservationCache) -> PlannedPass:
    """A look that writes nothing, repeated where the site asks to slow down. Raises what `Cycle.look` raises."""
    while True:
        try:
            return cycle.look(tick, None)
        except TargetUnavailable as failure:
            wait = cycle.may_wait(failure)
            if wait is None:
                raise
            cycle.pause(wait)
