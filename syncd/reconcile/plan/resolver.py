"""Plan with versions only, fetch the values which that plan asks for, and plan again until nothing is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from syncd.domain import Action, Delete, Plan, Presence, ReadRequests, Update
from syncd.domain.governance import Facts
from syncd.domain.job import Job
from syncd.domain.ports import Target
from syncd.reconcile.desired.desired_state import build_desired_state, idle_rules
from syncd.reconcile.observe.evidence import key_of
from syncd.reconcile.plan.absence import empty_rules, presence_of
from syncd.reconcile.plan.comparisons import Comparisons, CycleState
from syncd.reconcile.plan.deletion_checks import LastLook
from syncd.reconcile.plan.governing import Governing, Resolution
from syncd.reconcile.plan.inputs import Evidence, PlannerInput
from syncd.reconcile.plan.pass_context import Observed, PassContext
from syncd.reconcile.plan.passing_on import PassingOn
from syncd.reconcile.plan.planner import plan
from syncd.reconcile.plan.second_look import SecondLook
from syncd.reconcile.plan.site_claims import SiteClaims
from syncd.reconcile.plan.successors import Successors
from syncd.reconcile.plan.unread import with_unread
from syncd.reconcile.runtime import Runtime


@dataclass(slots=True)
class _Confirmed:
    """What the last look before deletions said."""

    names: frozenset[str] = frozenset()
    """Names whose deletion was looked at; no other deletion is sent."""
    wanted_elsewhere: frozenset[str] = frozenset()
    objections: dict[str, str] = field(default_factory=dict)


class PlanResolver:
    """Makes the plan of one job for one site."""

    def __init__(self, runtime: Runtime, job: Job, target: Target, observed: Observed, state: CycleState) -> None:
        self._context = PassContext.of(runtime, job, target, observed)
        self._governing = Governing(self._context)
        self._comparisons = Comparisons(target, state, observed.remote, runtime.fingerprint, runtime.stopped)
        passing_on = PassingOn(self._context)
        self._presence = self._presences(passing_on.ours)
        self._transfers = passing_on.transfers()
        self._confirmed = _Confirmed()
        self._second_look: SecondLook | None = None

    @property
    def postponed(self) -> bool:
        """Are comparisons left for another pass?"""
        return bool(self._comparisons.postponed)

    @property
    def waits_for_settled_names(self) -> bool:
        """Does anything wait for a name that this very plan may settle?"""
        return bool(self._transfers.blocked)

    def is_still_due(self, action: Delete) -> bool:
        """Asked of a deletion of this plan that waits: is it confirmed still? Raises `LedgerError`."""
        return self._second_look is not None and self._second_look.is_due(action)

    @property
    def fresh_facts(self) -> Facts:
        """What was judged of values that this pass read."""
        return self._context.standing.rules.fresh

    def resolve(self) -> Resolution:
        """Make the plan: with its values, compared and confirmed where it matters, within rules, windows and limits.

        Raises `SourceError`, `TargetError`, `LedgerError`.
        """
        # Paths with news are read by now: rules judge their values before the first plan is made.
        self._look_at_values()
        provisional, asked = self._governing.governed(self._plan()), ReadRequests()
        # Each round may ask for more (a value that differs has to be compared); one that asks for the same again is
        # stuck.
        while provisional.read_requests not in (ReadRequests(), asked):
            asked = provisional.read_requests
            self._learn(asked)
            provisional = self._governing.governed(self._plan())
        guarded = self._governing.guarded(provisional)
        # Only what the limits let through is looked at: each look costs requests at the source.
        is_in_part = self._context.observed.is_in_part
        deletes = [action for action in guarded.actions if isinstance(action, Delete) and is_in_part(action)]
        if deletes:
            self._confirm(deletes)
            # What was seen by the last look may change the plan: it is made anew, with all that is known now.
            guarded = self._governing.guarded(self._governing.governed(self._plan()))
        sendable = tuple(action for action in guarded.actions if self._is_sendable(action))
        waiting = [action for action in guarded.actions if not _has_its_value(action)]
        final = with_unread(replace(guarded, actions=sendable), waiting, self._context)
        return self._governing.resolved(final, self._comparisons.state.failed_names)

    def _is_sendable(self, action: Action) -> bool:
        """May the action be sent? Not a write without its value, and not a deletion that nobody looked at."""
        if isinstance(action, Delete):
            return action.name in self._confirmed.names or not self._context.observed.is_in_part(action)
        return _has_its_value(action)

    def _learn(self, requests: ReadRequests) -> None:
        """Read what the provisional plan asks for."""
        context = self._context
        observed = context.observed
        if requests.values:
            keys = {desired.name: key_of(desired) for desired in observed.desired.all}
            observed.source.read(sorted({keys[name] for name in requests.values if name in keys}))
            naming = context.runtime.naming(context.job.name, context.target.profile)
            # A version that was read may have other fields than the one before, and so other names.
            observed.desired = build_desired_state(observed.source.evidence, naming)
            self._look_at_values()
        if requests.compares:
            self._comparisons.compare(sorted(requests.compares))

    def _look_at_values(self) -> None:
        """Judge the values that were read; or hide them from whoever chose the names and rules (`judges_values`)."""
        wanted = self._context.observed.desired
        if self._context.runtime.judges_values:
            self._context.standing.rules.judge_values(wanted.all)
        else:
            wanted.hide_values()

    def _plan(self) -> Plan:
        context = self._context
        observed, state, standing = context.observed, self._comparisons.state, context.standing
        evidence = Evidence(
            presence=self._presence,
            lists_all=observed.source.evidence.complete,
            transferable=self._transfers.free,
            blocked_transfers=self._transfers.blocked,
            jobs=frozenset(context.standing.handover.jobs),
            deleting_jobs=context.standing.handover.deleting_jobs,
            taken_over=standing.taken_over,
            left_behind=standing.left_behind,
            wanted_by_others=context.standing.wanted_by_others,
            sent_by_another=context.standing.sent_by_another,
            resting=context.standing.resting,
            claimed_by_own_job=context.standing.claimed,
            wanted_elsewhere=self._confirmed.wanted_elsewhere,
            objections={**self._slips(), **self._confirmed.objections},
            rested_until=context.rested_until(),
            unobserved_since=context.unobserved_since(),
            yet_to_look=context.standing.yet_to_look,
            grants=context.standing.grants,
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
                owner=context.runtime.owner,
                site=context.target.site,
                target=context.target.name,
                desired=observed.desired.all,
                records=observed.records,
                remote=observed.remote,
                policies=context.job.policies,
                evidence=evidence,
                now=context.times.now,
                site_now=context.times.site_now,
            )
        )

    def _presences(self, successors: Successors) -> dict[str, tuple[Presence, str]]:
        """Return, by name, what is known of each of the job's records that it no longer maps to its name, and why."""
        context = self._context
        observed, evidence, handover = (
            context.observed,
            context.observed.source.evidence,
            context.standing.handover,
        )
        names = {desired.name for desired in observed.desired.all}
        presences = {}
        for record in observed.records:
            if record.job != context.job.name or record.name in names:
                continue
            seen = handover.as_selected(record)
            for rule in empty_rules(seen, evidence):
                observed.source.report_suspicious_empty_rule(rule)
            presence, why = presence_of(seen, evidence)
            # The old name of a secret that got a new one stays until the new one is settled.
            stays = presence is Presence.ORPHAN and (
                successors.why_it_stays(record) or successors.why_it_cannot_be_made(record)
            )
            presences[record.name] = (Presence.UNKNOWN, stays) if stays else (presence, why)
        return presences

    def _slips(self) -> dict[str, str]:
        """Return, by name, why a record may be unwanted only by a slip; found before any deletion is due.

        A rule of the job gives the old name to another path, and makes nothing of that path.
        """
        observed, profile = self._context.observed, self._context.target.profile
        unwanted = [record for record in observed.records if record.name in self._presence]
        idle = idle_rules(observed.source.evidence, observed.desired) if unwanted else ()
        claims = SiteClaims(names=frozenset(), profile=profile)
        return {record.name: why for record in unwanted if (why := claims.why_it_may_be_asked_for(record, idle))}

    def _confirm(self, deletes: Sequence[Delete]) -> None:
        """Ask source and site once more of each deletion that is due; what they do not confirm is kept back."""
        context = self._context
        look = LastLook(
            context.runtime,
            context.job,
            context.target,
            context.standing.handover,
            context.standing.checks,
        )
        observed = context.observed
        evidence = observed.source.evidence
        seen, objections, wanted = look.confirm(deletes, evidence, self._presence, observed.remote, observed.desired)
        self._presence |= seen
        names = frozenset(action.name for action in deletes)
        self._confirmed = _Confirmed(names=names, wanted_elsewhere=wanted, objections=objections)
        self._second_look = SecondLook(context, deletes, self._presence)


def _has_its_value(action: Action) -> bool:
    if isinstance(action, Delete) or (isinstance(action, Update) and action.describe_only):
        return True
    return action.desired.value is not None
