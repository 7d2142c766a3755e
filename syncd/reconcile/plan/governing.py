"""What may go of a plan, and who has to agree: rules, releases, windows, and the limits of a rolling day."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace

from syncd.domain import Action, Delete, Finding, FindingKind, Held, Plan, ReadRequests, Update
from syncd.domain.decisions import HeldAction, batched
from syncd.domain.governance import Hit
from syncd.domain.job import DAY
from syncd.domain.recency import Since
from syncd.domain.windows import Windows
from syncd.reconcile.guard import GuardTerms, LimitBasis, guard
from syncd.reconcile.plan.pass_context import PassContext
from syncd.reconcile.rules.across_sites import SiteSeen, across_sites
from syncd.reconcile.rules.gate import Gate, Releases, drift_behind, held_action, is_finishing, not_there, rule_findings

UNDECIDED = {
    FindingKind.UNKNOWN, FindingKind.UNVERIFIED, FindingKind.FAILED, FindingKind.MISSING, FindingKind.ORPHAN,
    FindingKind.FROZEN, FindingKind.QUARANTINED, FindingKind.CONFLICT, FindingKind.BEHIND,
}  # fmt: skip
"""Findings of a name for which nothing is planned, and which may be planned again as it was.

They use up no release.
"""


@dataclass(frozen=True, slots=True)
class Resolution:
    """A plan that may be carried out, and what waits for a person's release, in its batches."""

    plan: Plan
    waiting: tuple[HeldAction, ...] = ()
    released: tuple[HeldAction, ...] = ()
    """Held actions that a person released and that are still wanted."""


class Governing:
    """Applies rules, releases, windows and limits to the plans of one pass."""

    def __init__(self, context: PassContext) -> None:
        self._context = context
        self._releases = Releases(actions=context.standing.held, moments=context.times.moments)

    def governed(self, provisional: Plan) -> Plan:
        """Return the plan without what rules deny or hold, and without what the job's windows keep back.

        No value is read for those, except once when an action begins to wait for a release. With `recheck` the values
        are read that a rule was not judged on yet.
        """
        self._context.observed.planned = {action.name: action for action in provisional.actions}
        passed = self.passed(provisional)
        stopped = {action.name for action in provisional.actions} - {action.name for action in passed.actions}
        asked = provisional.read_requests
        # A value that may not be sent is not read either, so that an idle cycle stays quiet under rules; but once, when
        # it begins to wait: the new version of a path may have left this field as it was, and then nothing waits.
        known = {item.identity for item in self._context.standing.held}
        begins = {
            item.action.name
            for item in passed.held
            if held_action(item.action, item.cause, self._context.place).identity not in known
        }
        values = asked.values - (stopped - begins)
        if self._context.observed.recheck and self._context.runtime.judges_values:
            values |= frozenset(self._context.standing.rules.lacking(self._context.observed.desired.all))
        return replace(passed, read_requests=ReadRequests(values=values, compares=asked.compares - stopped))

    def passed(self, plan: Plan) -> Plan:
        """The plan without what rules, windows and rollbacks keep back."""
        return self._gate().passed(plan)

    def _gate(self) -> Gate:
        return Gate(
            place=self._context.place,
            hits=self._hits_of,
            releases=self._releases,
            windows=Windows() if self._context.observed.outside_window else self._context.job.windows,
            now=self._context.times.now,
            is_one_secret=self._context.runtime.is_one_secret,
            rolled_back=self._rolled_back_names(),
            had_before=self._had_before,
        )

    def _had_before(self, action: Update) -> bool:
        runtime, desired, had = self._context.runtime, action.desired, action.record.ref
        is_same = had.field == desired.ref.field and runtime.is_one_secret(had, desired.ref)
        refs = {desired.ref, had} if is_same else {desired.ref}
        return runtime.store.arrived(action.record.remote_id or "", action.name, refs, desired.version)

    def _hits_of(self, action: Action) -> tuple[Hit, ...]:
        if not self._context.runtime.rules:
            return ()
        state = None if isinstance(action, Delete) else self._context.path_of(action.desired)
        return self._context.standing.rules.of_action(action, state)

    def _rolled_back_names(self) -> dict[str, str]:
        rolled_back = self._context.observed.source.rolled_back
        if not rolled_back:
            return {}
        return {
            item.name: rolled_back[item.ref.path] for item in self._context.observed.desired.all if item.rolled_back
        }

    def resolved(self, final: Plan, failed: Iterable[str]) -> Resolution:
        """Sort what is held into batches, and add findings for what waits and for rules that are broken all the same.

        `failed`: names that failed in this cycle; their releases are kept.
        """
        waiting = {id(item): held_action(item.action, item.cause, self._context.place) for item in final.held}
        batched_ones = batched(waiting.values(), self._context.standing.held, self._context.times.now)
        batches = {action.identity: action for action in batched_ones}
        findings = [_of_held(item, batches[waiting[id(item)].identity]) for item in final.held]
        findings += [finding for item in final.held for finding in drift_behind(item.action)]
        if self._context.runtime.rules:
            findings += self._of_rules(final)
        # What a limit withholds has not been taken back yet.
        waits = {item.action.name for item in final.held}
        known = (item for item in final.findings if item.kind is not FindingKind.ROLLED_BACK or item.name not in waits)
        whole = replace(final, findings=(*known, *findings))
        still = tuple(batches[action.identity] for action in waiting.values())
        undecided = {finding.name for finding in final.findings if finding.kind in UNDECIDED}
        released = self._still_released(undecided.union(failed))
        return Resolution(whole, still + released, released)

    def _still_released(self, undecided: Container[str]) -> tuple[HeldAction, ...]:
        """Return the released actions that are still wanted, or that were not decided this time.

        Whatever else keeps them back now uses up no release.
        """
        going = self._context.observed.planned

        def is_under_way(item: HeldAction) -> bool:
            action = going.get(item.name)
            if action is None:
                # A name that failed is in no later plan of its cycle, and an objection to a deletion may be of this
                # moment: neither uses a release up.
                return item.name in undecided
            return item.covers(held_action(action, item.cause, self._context.place), finishing=is_finishing(action))

        held = self._context.standing.held
        return tuple(item for item in held if self._releases.holds(item) and is_under_way(item))

    def _of_rules(self, final: Plan) -> Iterator[Finding]:
        rules = self._context.standing.rules
        refused = frozenset(finding.name for finding in final.findings if finding.kind is FindingKind.DENIED)
        wanted = self._context.observed.desired.all
        hits = {item.name: found for item in wanted if (found := rules.of_wanted(item, self._context.path_of(item)))}
        yield from rule_findings(hits, refused)
        yield from rule_findings(self._across_the_site(), frozenset())

    def _across_the_site(self) -> dict[str, tuple[Hit, ...]]:
        """Hits of the rules about all secrets together: one value in two places, and what nobody manages."""
        seen = SiteSeen(self._context.observed.records, self._context.observed.remote)
        found = across_sites(self._context.runtime, self._context.target, seen, self._context.times.now)
        # Another job's secrets are for its own cycle to tell; what nobody manages is of none.
        mine = {"", self._context.job.name}
        return {name: own for name, hits in found.items() if (own := tuple(h for h in hits if h.subject.job in mine))}

    def guarded(self, provisional: Plan) -> Plan:
        """Return the plan without what exceeds a limit of the rolling day.

        Actions outside the part that is to be sent count for no limit.
        """
        is_in_part = self._context.observed.is_in_part
        if apart := tuple(action for action in provisional.actions if not is_in_part(action)):
            whole = self.guarded(replace(provisional, actions=tuple(filter(is_in_part, provisional.actions))))
            return replace(whole, actions=(*whole.actions, *apart))
        job, limits, records = self._context.job, self._context.job.limits, self._context.observed.records
        since = Since(DAY, self._context.times.site_now, self._context.times.now)
        store, site = self._context.runtime.store, self._context.target.site
        basis = LimitBasis(
            job_records=frozenset(r.remote_id for r in records if r.remote_id and r.job == job.name),
            site_records=frozenset(r.remote_id for r in records if r.remote_id),
            # A job that was renamed goes on in its own day: nobody empties a site by giving it name after name.
            job_deleted=store.deletions(site, job.name, since, self._context.runtime.jobs),
            site_deleted=store.deletions(site, None, since) | self._context.observed.foreseen_deletes,
            job_updated=self._sent("update", since) if limits.max_updates else (),
            job_created=frozenset(dict(self._sent("create", since))) if limits.max_creates else frozenset(),
        )
        terms = GuardTerms(
            place=(job.name, self._context.target.name),
            allowed_deletes=self._context.observed.allowed_deletes,
            is_released=self._is_released,
            is_taken_back=self._gate().is_taken_back,
        )
        return guard(provisional, basis, limits, terms)

    def _is_released(self, action: Action, cause: str) -> bool:
        return self._releases.allows(held_action(action, cause, self._context.place), finishing=False)

    def _sent(self, action: str, since: Since) -> tuple[tuple[str, str], ...]:
        """Return names and versions that count as sent since then; those of each name in the order of sending."""
        runtime, job, site = self._context.runtime, self._context.job.name, self._context.target.site
        own = runtime.store.names_sent(site, job, action, since)
        sent = runtime.store.names_sent(site, job, action, since, runtime.jobs)
        # A job that is gone may be this one under its old name: what it sent counts where this one wants it now.
        mine = {desired.name for desired in self._context.observed.desired.all}
        return (*(item for item in own if item[0] not in mine), *(item for item in sent if item[0] in mine))


def _of_held(held: Held, waiting: HeldAction) -> Finding:
    """Return the finding for a held action: its name is not as the source says, and must not pass for that."""
    action = held.action
    return Finding(
        kind=FindingKind.HELD,
        name=action.name,
        ref=action.record.ref if isinstance(action, Delete) else action.desired.ref,
        message=f"{waiting.action} waits: {held.why}{not_there(action)}; held in batch {waiting.batch}",
        hint=f"if it is meant: syncd release {waiting.batch} --reason '…'",
        exit_code=6,
        rule=held.cause.removeprefix("rule ") if held.cause.startswith("rule ") else "",
    )
