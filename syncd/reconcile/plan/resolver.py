"""Plan with versions only, fetch the values which that plan asks for, and plan again until nothing is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from syncd.domain import (
    Action,
    Create,
    Delete,
    DesiredSecret,
    Finding,
    FindingKind,
    Grant,
    Held,
    KnownId,
    OpenProblem,
    PathState,
    Plan,
    Presence,
    ReadRequests,
    Record,
    RemoteSecret,
    SecretRef,
    Update,
)
from syncd.domain.decisions import HeldAction, batched
from syncd.domain.governance import Facts, Hit
from syncd.domain.job import DAY, Job
from syncd.domain.ports import Target
from syncd.domain.recency import TOLERANCE, Since
from syncd.domain.windows import Windows
from syncd.reconcile.desired.desired_state import DesiredState, build_desired_state
from syncd.reconcile.guard import GuardTerms, LimitBasis, guard
from syncd.reconcile.observe.evidence import key_of
from syncd.reconcile.observe.source_observer import SourceObserver
from syncd.reconcile.plan.absence import empty_rules, presence_of
from syncd.reconcile.plan.builder import rests
from syncd.reconcile.plan.comparisons import Comparisons, CycleState
from syncd.reconcile.plan.deletion_checks import LastLook, PathChecks
from syncd.reconcile.plan.handover import Handover, Transfers
from syncd.reconcile.plan.inputs import Evidence, PlannerInput
from syncd.reconcile.plan.planner import plan
from syncd.reconcile.rules.across_sites import SiteSeen, across_sites
from syncd.reconcile.rules.gate import Gate, Releases, held_action, is_finishing, rule_findings
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
    """Deletions that a person allows beyond the limit."""
    outside_window: bool = False
    """Does a person let it send outside the job's windows?"""
    recheck: bool = False
    """Is every value read again that a rule was not judged on yet?"""
    planned: Mapping[str, Action] = field(default_factory=dict)
    """What the newest plan wants, by name: before rules, windows, limits, and values that could not be read."""


@dataclass(slots=True)
class _Confirmed:
    """What the last look before deletions said."""

    names: frozenset[str] = frozenset()
    """Whose deletion was looked at: no other is sent."""
    wanted_elsewhere: frozenset[str] = frozenset()
    objections: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Times:
    """One moment for the whole plan: what comes due meanwhile was not looked at."""

    now: datetime
    site_now: datetime
    """By the site's clock, where its answers tell it: absence is measured by that one."""

    @classmethod
    def of(cls, now: datetime, site_time: datetime | None) -> _Times:
        return cls(now, site_time or now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """What holds for the whole pass: whose names are whose, and what a person allowed."""

    handover: Handover
    checks: PathChecks
    claimed: frozenset[str]
    """Names of other jobs that still want them."""
    taken_over: frozenset[str]
    """Names of jobs that are gone, which a configured job's rules give to the same secret."""
    left_behind: frozenset[str]
    """Names of jobs that are gone, which nobody takes over."""
    grants: Mapping[str, Grant]
    held: tuple[HeldAction, ...]
    """What waited for a release before this pass, and what was released."""
    rules: JudgedNames


@dataclass(frozen=True, slots=True)
class Resolution:
    """A plan that may be carried out, and what waits for a person's release, in its batches."""

    plan: Plan
    waiting: tuple[HeldAction, ...] = ()
    released: tuple[HeldAction, ...] = ()
    """What goes because a person released it."""


class PlanResolver:
    """Makes the plan of one job for one site."""

    def __init__(self, runtime: Runtime, job: Job, target: Target, observed: Observed, state: CycleState) -> None:
        self._runtime, self._job, self._target = runtime, job, target
        self._observed = observed
        self._times = _Times.of(runtime.clock(), target.site_time())
        self._comparisons = Comparisons(target, state, observed.remote, runtime.fingerprint, runtime.stopped)
        self._standing = self._stand()
        self._presence = self._presences()
        self._transfers = self._transferred()
        self._confirmed = _Confirmed()

    def _stand(self) -> _Standing:
        runtime, job, site = self._runtime, self._job, self._target.site
        jobs = runtime.jobs_on(site)
        handover = Handover(
            job=job.name,
            jobs=jobs,
            mounts={name: tuple(runtime.store.known_mounts(name)) for name in {item.source for item in jobs.values()}},
            profile=self._target.profile,
            records={record.name: record for record in self._observed.records},
        )
        taken_over, left_behind = handover.of_gone_jobs(self._observed.desired)
        return _Standing(
            handover=handover,
            checks=PathChecks(runtime),
            claimed=handover.claimed_by_own_job(),
            taken_over=taken_over,
            left_behind=left_behind,
            grants=runtime.store.grants(site, self._times.now),
            held=runtime.store.held(site, job.name),
            rules=JudgedNames(
                runtime.rules,
                Place(
                    site=site,
                    target=self._target.name,
                    job=job.name,
                    labels=runtime.labels.of(self._target.name),
                    called=runtime.labels.names_of(site).known_as(runtime.store.aliases(site)),
                ),
                runtime.store.facts(site) if runtime.rules else {},
                self._times.now,
            ),
        )

    @property
    def postponed(self) -> bool:
        """Are comparisons left for another pass?"""
        return bool(self._comparisons.postponed)

    @property
    def waits_for_settled_names(self) -> bool:
        """Does anything wait for a name that this very plan may settle?"""
        return bool(self._transfers.blocked)

    @property
    def fresh_facts(self) -> Facts:
        """What was judged of values that this pass read."""
        return self._standing.rules.fresh

    def resolve(self) -> Resolution:
        """The plan with its values, compared and confirmed where it matters, within rules, windows and limits."""
        # Paths with news are read by now: rules judge their values before the first plan is made.
        self._look_at_values()
        provisional, asked = self._governed(self._plan()), ReadRequests()
        # Each round may ask for more (a value that differs has to be compared); one that asks for the same again is
        # stuck.
        while provisional.read_requests not in (ReadRequests(), asked):
            asked = provisional.read_requests
            self._learn(asked)
            provisional = self._governed(self._plan())
        guarded = self._guarded(provisional)
        # Only what the limits let through is looked at: each look costs requests at the source.
        deletes = [action for action in guarded.actions if isinstance(action, Delete)]
        if deletes:
            self._confirm(deletes)
            # What was seen by the last look may change the plan: it is made anew, with all that is known now.
            guarded = self._guarded(self._governed(self._plan()))
        guarded = self._with_their_twins(guarded)
        sendable = tuple(action for action in guarded.actions if self._is_sendable(action))
        waiting = [action for action in guarded.actions if not _has_its_value(action)]
        return self._with_rules(self._with_unread(replace(guarded, actions=sendable), waiting))

    def _governed(self, provisional: Plan) -> Plan:
        """The plan without what rules deny or hold, and what the job's windows keep back; nothing is read for that."""
        self._observed.planned = {action.name: action for action in provisional.actions}
        passed = self._gate().passed(provisional)
        stopped = {action.name for action in provisional.actions} - {action.name for action in passed.actions}
        asked = provisional.read_requests
        # A value that may not be sent is not read either, so that an idle cycle stays quiet under rules; but once, when
        # it begins to wait: the new version of a path may have left this field as it was, and then nothing waits.
        known = {item.identity for item in self._standing.held}
        begins = {
            item.action.name
            for item in passed.held
            if held_action(item.action, item.cause, self._place).identity not in known
        }
        values = asked.values - (stopped - begins)
        if self._observed.recheck and self._runtime.judges_values:
            values |= frozenset(self._standing.rules.lacking(self._observed.desired.all))
        return replace(passed, read_requests=ReadRequests(values=values, compares=asked.compares - stopped))

    def _gate(self) -> Gate:
        return Gate(
            place=self._place,
            hits=self._hits_of,
            releases=Releases(actions=self._standing.held, now=self._times.now),
            windows=Windows() if self._observed.outside_window else self._job.windows,
            now=self._times.now,
            rolled_back=self._rolled_back_names(),
            had_before=self._had_before,
        )

    def _had_before(self, action: Update) -> bool:
        desired, remote_id = action.desired, action.record.remote_id or ""
        return self._runtime.store.arrived(remote_id, action.name, desired.ref, desired.version)

    @property
    def _place(self) -> tuple[str, str, str]:
        return self._target.site, self._job.name, self._target.name

    def _hits_of(self, action: Action) -> tuple[Hit, ...]:
        if not self._runtime.rules:
            return ()
        state = None if isinstance(action, Delete) else self._path_of(action.desired)
        return self._standing.rules.of_action(action, state)

    def _path_of(self, desired: DesiredSecret) -> PathState | None:
        return self._observed.source.evidence_paths.get(key_of(desired))

    def _rolled_back_names(self) -> dict[str, str]:
        rolled_back = self._observed.source.rolled_back
        if not rolled_back:
            return {}
        return {item.name: rolled_back[item.ref.path] for item in self._observed.desired.all if item.rolled_back}

    def _with_rules(self, final: Plan) -> Resolution:
        """The batches that wait for a release, and what breaks a rule without being stopped by it."""
        waiting = {id(item): held_action(item.action, item.cause, self._place) for item in final.held}
        batched_ones = batched(waiting.values(), self._standing.held, self._times.now)
        batches = {action.identity: action for action in batched_ones}
        findings = [_of_held(item, batches[waiting[id(item)].identity]) for item in final.held]
        if self._runtime.rules:
            findings += self._of_rules(final)
        whole = replace(final, findings=(*final.findings, *findings))
        still = tuple(batches[action.identity] for action in waiting.values())
        released = self._still_released()
        return Resolution(whole, still + released, released)

    def _still_released(self) -> tuple[HeldAction, ...]:
        """The releases of what is wanted still, whatever keeps it back now, and of what failed and comes again."""
        going, failed = self._observed.planned, self._comparisons.state.failed_names

        def is_under_way(item: HeldAction) -> bool:
            action = going.get(item.name)
            if action is None:
                # A name that failed is in no later plan of its cycle; the try does not use its release up.
                return item.name in failed
            return item.covers(held_action(action, item.cause, self._place), finishing=is_finishing(action))

        held = self._standing.held
        return tuple(item for item in held if item.is_released(self._times.now) and is_under_way(item))

    def _of_rules(self, final: Plan) -> Iterator[Finding]:
        rules, refused = self._standing.rules, frozenset(f.name for f in final.findings if f.kind is FindingKind.DENIED)
        wanted = self._observed.desired.all
        hits = {item.name: found for item in wanted if (found := rules.of_wanted(item, self._path_of(item)))}
        yield from rule_findings(hits, refused)
        yield from rule_findings(self._across_the_site(), frozenset())

    def _across_the_site(self) -> dict[str, tuple[Hit, ...]]:
        """Hits of the rules about all secrets together: one value in two places, and what nobody manages."""
        seen = SiteSeen(self._observed.records, self._observed.remote)
        return across_sites(self._runtime, self._target, seen, self._times.now)

    def _with_their_twins(self, guarded: Plan) -> Plan:
        """A deletion that makes room for a name in another case goes only where that one would be sent after it.

        The site would have neither of the two else. What holds the new name waits for a release with the plan.
        """
        observed = self._observed
        sent = {action.name for action in guarded.actions if not isinstance(action, Delete)}
        wanted = {item.name.casefold(): item for item in observed.desired.all if item.name not in sent}
        twins = [wanted[action.name.casefold()] for action in guarded.actions if self._makes_room(action, wanted)]
        if not twins:
            return guarded
        sound = [
            item
            for item in twins
            if item.key not in observed.desired.faults
            and not rests(observed.problems.get(item.name), item.version, item.rule, self._times.now)
        ]
        creates = [Create(desired=item) for item in sound]
        trial = self._guarded(self._gate().passed(Plan(actions=tuple(creates))))
        # A release of them lasts: the next pass or cycle spends it.
        observed.planned = {**observed.planned, **{action.name: action for action in creates}}
        may_go = {action.name.casefold() for action in trial.actions}
        kept = (
            action
            for action in guarded.actions
            if not self._makes_room(action, wanted) or action.name.casefold() in may_go
        )
        return replace(guarded, actions=tuple(kept), held=(*guarded.held, *trial.held))

    def _makes_room(self, action: Action, wanted: Mapping[str, DesiredSecret]) -> bool:
        return isinstance(action, Delete) and action.name.casefold() in wanted

    def _is_sendable(self, action: Action) -> bool:
        """A write whose value could not be read waits, and so does a deletion that nobody looked at."""
        return action.name in self._confirmed.names if isinstance(action, Delete) else _has_its_value(action)

    def _with_unread(self, final: Plan, unsendable: Sequence[Action]) -> Plan:
        """What the source holds in a version that could not be read is not known to be at the site."""
        source, recorded = self._observed.source, self._standing.handover.records
        unread, older = source.evidence.unread, source.older
        behind: dict[str, Finding] = {}
        for desired in self._observed.desired.all:
            if key_of(desired) in unread and desired.name in recorded:
                why = "the source's present version could not be read; the site holds the one before"
                behind[desired.name] = _behind(desired.name, desired.ref, why)
        for action in unsendable:
            if not isinstance(action, Delete) and action.name not in behind:
                why = "its value could not be read in this cycle"
                if key_of(action.desired) in older:
                    why = "the source shows an older version than before (a server that lags?); it is not taken yet"
                behind[action.name] = _behind(action.name, action.desired.ref, why)
        rest = (
            finding
            for finding in final.findings
            if finding.kind is not FindingKind.UNCHANGED or finding.name not in behind
        )
        return replace(final, findings=(*(behind[name] for name in sorted(behind)), *rest)) if behind else final

    def _learn(self, requests: ReadRequests) -> None:
        """Read what the provisional plan asks for."""
        observed = self._observed
        if requests.values:
            keys = {desired.name: key_of(desired) for desired in observed.desired.all}
            observed.source.read(sorted({keys[name] for name in requests.values if name in keys}))
            naming = self._runtime.naming(self._job.name, self._target.profile)
            # A version that was read may have other fields than the one before, and so other names.
            observed.desired = build_desired_state(observed.source.evidence, naming)
            self._look_at_values()
        if requests.compares:
            self._comparisons.compare(sorted(requests.compares))

    def _look_at_values(self) -> None:
        """Judge what was read; or, for whoever chose the names and rules, let nothing be told by it."""
        wanted = self._observed.desired
        if self._runtime.judges_values:
            self._standing.rules.judge_values(wanted.all)
        else:
            wanted.hide_values()

    def _plan(self) -> Plan:
        observed, state, standing = self._observed, self._comparisons.state, self._standing
        evidence = Evidence(
            presence=self._presence,
            transferable=self._transfers.free,
            blocked_transfers=self._transfers.blocked,
            jobs=frozenset(self._standing.handover.jobs),
            taken_over=standing.taken_over,
            left_behind=standing.left_behind,
            claimed_by_own_job=self._standing.claimed,
            wanted_elsewhere=self._confirmed.wanted_elsewhere,
            objections=self._confirmed.objections or {},
            rested_until=self._rested_until(),
            unobserved_since=self._unobserved_since(),
            grants=self._standing.grants,
            known_ids=observed.known_ids,
            problems=observed.problems,
            faults=observed.desired.faults,
            site_values=state.site_values,
            uncompared=frozenset(state.uncompared),
            postponed=self._comparisons.postponed,
            failed_names=frozenset(state.failed_names),
            unconfirmed_creates=frozenset(state.unconfirmed_creates),
            site_values_readable=state.site_values_readable,
        )
        return plan(
            PlannerInput(
                owner=self._runtime.owner,
                site=self._target.site,
                target=self._target.name,
                desired=observed.desired.all,
                records=observed.records,
                remote=observed.remote,
                policies=self._job.policies,
                evidence=evidence,
                now=self._times.now,
                site_now=self._times.site_now,
            )
        )

    def _rested_until(self) -> datetime | None:
        """By the site's clock, as absence is measured."""
        ended = self._runtime.store.rested_until(self._job.name, self._target.name, self._target.site)
        return None if ended is None else ended + (self._times.site_now - self._times.now)

    def _unobserved_since(self) -> timedelta:
        """How long ago this job last worked on this site, by this machine's clock; without end where that jumped."""
        last = self._runtime.store.last_run(self._target.site, self._job.name)
        # A job that never worked here has observed nothing yet.
        if last is None:
            return timedelta(0)
        span = self._times.now - last.started_at
        # Where this clock went back it says nothing, and the site's alone counts.
        return timedelta.max if span < -TOLERANCE else span

    def _guarded(self, provisional: Plan) -> Plan:
        job, limits, records = self._job, self._job.limits, self._observed.records
        since = Since(DAY, self._times.site_now, self._times.now)
        store, site = self._runtime.store, self._target.site
        basis = LimitBasis(
            job_records=frozenset(r.remote_id for r in records if r.remote_id and r.job == job.name),
            site_records=frozenset(r.remote_id for r in records if r.remote_id),
            job_deleted=store.deletions(site, job.name, since),
            site_deleted=store.deletions(site, None, since),
            job_updated=self._sent("update", since) if limits.max_updates else frozenset(),
            job_created=self._sent("create", since) if limits.max_creates else frozenset(),
        )
        terms = GuardTerms(
            place=(job.name, self._target.name),
            allowed_deletes=self._observed.allowed_deletes,
            is_released=self._is_released,
        )
        return guard(provisional, basis, limits, terms)

    def _is_released(self, action: Action, cause: str) -> bool:
        releases = Releases(actions=self._standing.held, now=self._times.now)
        return releases.allows(held_action(action, cause, self._place), finishing=False)

    def _sent(self, action: str, since: Since) -> frozenset[str]:
        return self._runtime.store.names_sent(self._target.site, self._job.name, action, since)

    def _presences(self) -> dict[str, tuple[Presence, str]]:
        """What is known of each record of the job that it no longer maps to its name."""
        observed, evidence, handover = self._observed, self._observed.source.evidence, self._standing.handover
        names = {desired.name for desired in observed.desired.all}
        presences = {}
        for record in observed.records:
            if record.job != self._job.name or record.name in names:
                continue
            for rule in empty_rules(record, evidence):
                observed.source.report_suspicious_empty_rule(rule)
            presence, why = presence_of(record, evidence)
            # The old name of a secret that got a new one stays until the new one is settled.
            stays = presence is Presence.ORPHAN and handover.why_an_old_name_stays(record, observed.desired)
            presences[record.name] = (Presence.UNKNOWN, stays) if stays else (presence, why)
        return presences

    def _transferred(self) -> Transfers:
        evidence = self._observed.source.evidence

        def is_gone(record: Record) -> bool:
            own = record.ref.source == self._job.source
            # A direct look tells of a path alone; only a reading of the job's own tells that a field is gone.
            lacks = own and evidence.lacks_field(record.ref.path, record.ref.field, record.pin)
            return lacks or self._standing.checks.is_gone(record)

        def is_left_out_by_tags(record: Record) -> bool:
            return self._standing.checks.is_left_out_by_tags(record, self._standing.handover)

        return self._standing.handover.transfers(self._observed.desired.all, is_gone, is_left_out_by_tags)

    def _confirm(self, deletes: Sequence[Delete]) -> None:
        """Look at each deletion that is due, just before it is sent."""
        look = LastLook(self._runtime, self._job, self._target, self._standing.handover, self._standing.checks)
        observed = self._observed
        seen, objections, wanted = look.confirm(deletes, observed.source.evidence, self._presence, observed.remote)
        self._presence |= seen
        names = frozenset(action.name for action in deletes)
        self._confirmed = _Confirmed(names=names, wanted_elsewhere=wanted, objections=objections)


def _of_held(held: Held, waiting: HeldAction) -> Finding:
    """What waits, by name: it is not as its source says, and does not pass for that."""
    action = held.action
    return Finding(
        kind=FindingKind.HELD,
        name=action.name,
        ref=action.record.ref if isinstance(action, Delete) else action.desired.ref,
        message=f"{waiting.action} waits: {held.why}; held in batch {waiting.batch}",
        hint=f"if it is meant: syncd release {waiting.batch} --reason '…'",
        exit_code=6,
        rule=held.cause.removeprefix("rule ") if held.cause.startswith("rule ") else "",
    )


def _behind(name: str, ref: SecretRef, why: str) -> Finding:
    return Finding(kind=FindingKind.BEHIND, name=name, ref=ref, message=why)


def _has_its_value(action: Action) -> bool:
    if isinstance(action, Delete) or (isinstance(action, Update) and action.describe_only):
        return True
    return action.desired.value is not None
