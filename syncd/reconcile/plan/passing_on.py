"""Names that pass from one secret to another: what has to be at the site, or gone, before."""

from __future__ import annotations

from functools import cached_property

from syncd.domain import DesiredSecret, Record
from syncd.reconcile.plan.handover import Transfers
from syncd.reconcile.plan.name_claims import Listed, Tags
from syncd.reconcile.plan.pass_context import PassContext
from syncd.reconcile.plan.same_secret import Content, content_of, makes
from syncd.reconcile.plan.site_claims import SiteClaims, claims_on_site
from syncd.reconcile.plan.successors import Successors, unmade_of, wishes_of
from syncd.reconcile.plan.unlisted_rules import Known, why_unlisted


class PassingOn:
    """Tells, as a pass begins, which names of other secrets may pass to what the job wants under them."""

    def __init__(self, context: PassContext) -> None:
        self._context = context

    def transfers(self) -> Transfers:
        """The names that are free for another secret, and those that wait. Raises `LedgerError`."""
        handover, wanted = self._context.standing.handover, self._context.observed.desired.all
        return handover.transfers(wanted, self._is_gone, self._tags_now, self._what_follows, self._what_is_pinned)

    def _is_gone(self, record: Record) -> bool:
        context = self._context
        evidence, checks = context.observed.source.evidence, context.standing.checks
        own = record.ref.source == context.job.source
        # A direct look tells of a path alone; only a reading of the job's own tells that a field is gone.
        lacks = own and evidence.lacks_field(record.ref.path, record.ref.field, record.pin)
        # It was read when its version was new, and a listing may lag behind the next one.
        if lacks:
            fields, _ = checks.fields_now(context.job, record)
            lacks = fields is not None and record.ref.field not in fields
        return lacks or checks.is_gone(record)

    def _tags_now(self, record: Record) -> Tags | None:
        # What a person took back keeps its name meanwhile, whatever it is tagged with.
        checks = self._context.standing.checks
        return None if checks.is_rolled_back(record) else checks.tags_now(record)

    def _what_is_pinned(self, record: Record) -> str:
        """Return which rule may make something of another version of a gone secret and did not show it; else empty."""
        standing = self._context.standing
        # The usual case: no rule pins anything, and no other job has to be listed for it.
        if all(rule.pin == record.pin for job in standing.handover.jobs.values() for rule in job.rules):
            return ""
        return self._why_unlisted(record, self._everybodys[0], of_other_pins=True)

    def _why_unlisted(
        self,
        record: Record,
        claims: SiteClaims,
        content: Content | None = None,
        *,
        of_other_pins: bool = False,
    ) -> str:
        """Return which rule may give a record's secret another name by now and did not show it; empty if none may."""
        standing = self._context.standing
        shown = {**claims.shown, self._context.job.name: self._listed}
        known = Known(standing.handover, shown, standing.checks)
        return why_unlisted(record, known, content, of_other_pins=of_other_pins)

    def _what_follows(self, record: Record, wanted: DesiredSecret) -> str:
        """Return why the secret under a name may not make room for what is wanted there; empty if it may."""
        context, handover = self._context, self._context.standing.handover
        # Of the same secret in another form only what is wanted as it was has to be elsewhere. Where another part of it
        # gets the name, what cannot be made may be the one that had it.
        is_kept = handover.is_of_one_secret(record.ref, wanted.ref)
        ours = self.ours
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
        # What follows is at Wix by now, as far as it is known: nobody knows what an unlisted rule makes of it.
        content = content_of(record) if is_kept else None
        if why := self._why_unlisted(record, claims, content):
            return why
        if not is_kept:
            tags = context.standing.checks.tags_asked_for(record, handover)
            return claims.why_it_may_follow(record, handover, tags)
        # Its own listing shows it, with its tags; only what could make the very content is waited for.
        tags = context.observed.tags_seen(wanted)
        return claims.why_it_may_follow(record, handover, tags, content_of(record))

    @cached_property
    def _listed(self) -> Listed:
        """What this job lists."""
        return Listed.of(self._context.observed.source.evidence)

    @cached_property
    def ours(self) -> Successors:
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
