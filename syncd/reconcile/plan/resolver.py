"""Plan with versions only, fetch the values which that plan asks for, and plan again until nothing is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from syncd.domain import Action, Delete, DesiredSecret, Plan, Presence, ReadRequests, Record, Update
from syncd.domain.governance import Facts
from syncd.domain.job import Job
from syncd.domain.ports import Target
from syncd.reconcile.desired.desired_state import build_desired_state
from syncd.reconcile.observe.evidence import key_of
from syncd.reconcile.plan.absence import empty_rules, presence_of
from syncd.reconcile.plan.comparisons import Comparisons, CycleState
from syncd.reconcile.plan.deletion_checks import LastLook
from syncd.reconcile.plan.governing import Governing, Resolution
from syncd.reconcile.plan.handover import Transfers
from syncd.reconcile.plan.inputs import Evidence, PlannerInput
from syncd.reconcile.plan.name_claims import Listed, Tags
from syncd.reconcile.plan.pass_context import Observed, PassContext
from syncd.reconcile.plan.planner import plan
from syncd.reconcile.plan.same_secret import Content, content_of, makes
from syncd.reconcile.plan.second_look import SecondLook
from syncd.reconcile.plan.site_claims import SiteClaims, claims_on_site
from syncd.reconcile.plan.successors import Successors, unmade_of, wishes_of
from syncd.reconcile.plan.unlisted_rules import why_unlisted
from syncd.reconcile.plan.unread import with_unread
from syncd.reconcile.runtime import Runtime


@dataclass(slots=True)
class _Confirmed:
    """What the last look before deletions said."""

    names: frozenset[str] = frozenset()
    """Whose deletion was looked at: no other is sent."""
    wanted_elsewhere: frozenset[str] = frozenset()
    objections: dict[str, str] = field(default_factory=dict)


class PlanResolver:
    """Makes the plan of one job for one site."""

    def __init__(self, runtime: Runtime, job: Job, target: Target, observed: Observed, state: CycleState) -> None:
        self._context = PassContext.of(runtime, job, target, observed)
        self._governing = Governing(self._context)
        self._comparisons = Comparisons(target, state, observed.remote, runtime.fingerprint, runtime.stopped)
        self._presence = self._presences()
        self._transfers = self._transferred()
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
        """The plan with its values, compared and confirmed where it matters, within rules, windows and limits."""
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
        """A write whose value could not be read waits, and so does a deletion that nobody looked at."""
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
        """Judge what was read; or, for whoever chose the names and rules, let nothing be told by it."""
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
            objections=self._confirmed.objections,
            rested_until=context.rested_until(),
            unobserved_since=context.unobserved_since(),
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

    def _presences(self) -> dict[str, tuple[Presence, str]]:
        """What is known of each record of the job that it no longer maps to its name."""
        context = self._context
        observed, evidence, handover = (
            context.observed,
            context.observed.source.evidence,
            context.standing.handover,
        )
        names = {desired.name for desired in observed.desired.all}
        successors = self._ours
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

    def _transferred(self) -> Transfers:
        context = self._context
        evidence = context.observed.source.evidence

        def is_gone(record: Record) -> bool:
            own = record.ref.source == context.job.source
            # A direct look tells of a path alone; only a reading of the job's own tells that a field is gone.
            lacks = own and evidence.lacks_field(record.ref.path, record.ref.field, record.pin)
            # It was read when its version was new, and a listing may lag behind the next one.
            if lacks:
                fields, _ = context.standing.checks.fields_now(context.job, record)
                lacks = fields is not None and record.ref.field not in fields
            return lacks or context.standing.checks.is_gone(record)

        def tags_now(record: Record) -> Tags | None:
            # What a person took back keeps its name meanwhile, whatever it is tagged with.
            checks = context.standing.checks
            return None if checks.is_rolled_back(record) else checks.tags_now(record)

        return context.standing.handover.transfers(
            context.observed.desired.all, is_gone, tags_now, self._what_follows, self._what_is_pinned
        )

    def _what_is_pinned(self, record: Record) -> str:
        """Which rule may make something of another version of what is gone, and did not show it; empty if none."""
        standing = self._context.standing
        # The usual case: no rule pins anything, and no other job has to be listed for it.
        if all(rule.pin == record.pin for job in standing.handover.jobs.values() for rule in job.rules):
            return ""
        return self._why_unlisted(record, *self._everybodys, of_other_pins=True)

    def _why_unlisted(
        self,
        record: Record,
        claims: SiteClaims,
        everybodys: Successors,
        content: Content | None = None,
        *,
        of_other_pins: bool = False,
    ) -> str:
        """Which rule may call a record's secret otherwise by now; empty if none, or if what follows it is at Wix."""
        if everybodys.is_followed(record):
            return ""
        standing = self._context.standing
        shown = {**claims.shown, self._context.job.name: self._listed}
        return why_unlisted(record, standing.handover, shown, standing.checks, content, of_other_pins=of_other_pins)

    def _what_follows(self, record: Record, wanted: DesiredSecret) -> str:
        """Why what stands under a name may not make place for what is wanted there; empty if it may."""
        context, handover = self._context, self._context.standing.handover
        # Of the same secret in another form only what is wanted as it was has to be elsewhere. Where another part of it
        # gets the name, what cannot be made may be the one that had it.
        is_kept = handover.is_of_one_secret(record.ref, wanted.ref)
        ours = self._ours
        is_of_another = not is_kept or record.ref.field != wanted.ref.field
        makes_it = any(makes(rule, content_of(record)) for rule in context.job.rules)
        why = ours.why_it_stays(record, same_content=is_kept)
        if why := why or (ours.why_it_cannot_be_made(record) if makes_it or is_of_another else ""):
            return why
        others = (job for name, job in handover.jobs.items() if name != context.job.name)
        # Other jobs are listed only where they may take it: a name that passes is rare.
        may_be_taken = any(handover.may_take(job, record.ref) for job in others)
        claims, everybodys = self._everybodys if may_be_taken else (SiteClaims(names=frozenset()), ours)
        if not is_kept and (taker := everybodys.taker_of_its_name(record)):
            return f"job {taker} gives the name to it"
        why = everybodys.why_it_stays(record, same_content=is_kept)
        if why := why or (everybodys.why_it_cannot_be_made(record) if is_of_another else ""):
            return why
        # What gets the very same of it is at Wix by now; else nobody knows what an unlisted rule makes of it.
        content = content_of(record) if is_kept else None
        if why := self._why_unlisted(record, claims, everybodys, content):
            return why
        if not is_kept:
            tags = context.standing.checks.tags_asked_for(record, handover)
            return claims.why_it_may_follow(record, handover, tags, self._listed)
        # Its own listing shows it, with its tags; only what could make the very content is waited for.
        tags = context.observed.tags_seen(wanted)
        return claims.why_it_may_follow(record, handover, tags, self._listed, content_of(record))

    @cached_property
    def _listed(self) -> Listed:
        """What this job lists."""
        evidence = self._context.observed.source.evidence
        return Listed.of(evidence)

    @cached_property
    def _ours(self) -> Successors:
        """What this job wants here, as the pass begins."""
        observed, handover = self._context.observed, self._context.standing.handover
        wanted = observed.desired
        return Successors(handover, observed.remote, wishes_of(wanted, handover), unmade_of(wanted, handover))

    @cached_property
    def _everybodys(self) -> tuple[SiteClaims, Successors]:
        """What all jobs want here."""
        context = self._context
        claims = claims_on_site(context.runtime, context.target, except_job=context.job.name)
        wishes = (*wishes_of(context.observed.desired, context.standing.handover), *claims.wishes)
        return claims, Successors(context.standing.handover, context.observed.remote, wishes, claims.unmade)

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
