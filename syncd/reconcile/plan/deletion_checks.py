"""The last look before a deletion: at the path itself, at the job's own rules, at every other job on the site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncd.domain import Delete, Existence, Presence, Record, RemoteSecret, Rule
from syncd.domain.job import Job
from syncd.domain.naming import could_name, selects, selects_path
from syncd.domain.ports import Target
from syncd.errors import SyncdError
from syncd.reconcile.desired.desired_state import DesiredState, idle_rules
from syncd.reconcile.observe.evidence import ListingEvidence
from syncd.reconcile.plan.handover import Handover
from syncd.reconcile.plan.name_claims import Listed
from syncd.reconcile.plan.path_checks import PathChecks
from syncd.reconcile.plan.site_claims import SiteClaims, claims_on_site
from syncd.reconcile.plan.successors import Successors, unmade_of, wishes_of
from syncd.reconcile.plan.unlisted_rules import Known, why_unlisted
from syncd.reconcile.runtime import Runtime

Judged = tuple[Presence, str]
"""What is known of a record's reference, and why."""


class LastLook:
    """The last look at source and site, which each due deletion has to pass just before it is sent."""

    def __init__(self, runtime: Runtime, job: Job, target: Target, handover: Handover, checks: PathChecks) -> None:
        self._runtime, self._job, self._target = runtime, job, target
        self._handover, self._checks = handover, checks

    def confirm(
        self,
        deletes: Sequence[Delete],
        evidence: ListingEvidence,
        presence: Mapping[str, Judged],
        remote: Sequence[RemoteSecret],
        wanted: DesiredState,
    ) -> tuple[dict[str, Judged], dict[str, str], frozenset[str]]:
        """Look at each path directly, and ask every other job on the site. `wanted`: what this job wants.

        Returns: by name, what is known of each reference now; by name, why a deletion has to wait; and the names,
        casefolded, that other jobs want.
        """
        claims = claims_on_site(self._runtime, self._target, except_job=self._job.name)
        wishes = (*wishes_of(wanted, self._handover), *claims.wishes)
        unmade = unmade_of(wanted, self._handover) | claims.unmade
        successors = Successors(self._handover, remote, wishes, unmade)
        listed = Listed.of(evidence)
        other_key = unlisted_keys(self._runtime, self._target.site, remote)
        open_rules, idle = self._open_rules(evidence), idle_rules(evidence, wanted)
        seen: dict[str, Judged] = {}
        objections: dict[str, str] = {}
        for record in (action.record for action in deletes):
            objection = other_key or self._own_objection(record.name, evidence, open_rules)
            if objection := objection or claims.objection(record.name, record.ref.path):
                objections[record.name] = objection
                continue
            # The listing said so minutes ago, perhaps through a standby that lags; the path itself is asked now.
            judged = presence[record.name]
            if judged[0] is Presence.ABSENT and (record.ref.path, record.pin) not in evidence.listed:
                judged = self._at_its_path(record, judged)
            # The path is listed, so it is the field that is said to be gone: the document itself is asked.
            elif judged[0] is Presence.ABSENT:
                judged = self._in_its_document(record, judged)
            seen[record.name] = judged
            objection = claims.why_it_may_be_asked_for(record, idle)
            if judged[0] is Presence.ORPHAN:
                objection = self._objection_of_any(record, claims, successors, listed) or objection
            if objection:
                objections[record.name] = objection
        return seen, objections, claims.names

    def _objection_of_any(self, record: Record, claims: SiteClaims, successors: Successors, listed: Listed) -> str:
        """Why an orphan stays: another rule gives it this name, what follows it is not at Wix, or nobody can tell."""
        tags = self._checks.tags_asked_for(record, self._handover)
        # The job of that rule may not have seen it yet: where its tags cannot be told, the pattern is enough.
        if self._handover.is_claimed(record, tags, except_job=self._job.name):
            return "another job's rule gives it this name"
        if follows := successors.why_it_stays(record) or successors.why_it_cannot_be_made(record):
            return follows
        # What follows is at Wix by now, as far as it is known: nobody knows what an unlisted rule makes of it.
        known = Known(self._handover, {**claims.shown, self._job.name: listed}, self._checks)
        if unlisted := why_unlisted(record, known):
            return unlisted
        # What is gone has no tags that a listing could lag behind.
        tags = frozenset() if tags is None and self._checks.is_gone(record) else tags
        return claims.why_it_may_follow(record, self._handover, tags)

    def _at_its_path(self, record: Record, judged: Judged) -> Judged:
        """Judge an absent record by a direct look at its path.

        Only "gone" is an absence. What is found is an orphan if no rule of its job takes it with its tags; else its
        presence is unknown.
        """
        check, why = self._checks.check(record)
        if check is None:
            return Presence.UNKNOWN, f"not listed, but {why}"
        if check.existence is Existence.GONE:
            return judged
        ref = self._handover.as_selected(record).ref
        if any(selects(rule, ref) and set(rule.tags) <= check.tags for rule in self._job.rules):
            return Presence.UNKNOWN, "not listed, but a direct look still finds it"
        return Presence.ORPHAN, "it is at its source, and no rule of its job takes its tags any more"

    def _in_its_document(self, record: Record, judged: Judged) -> Judged:
        """Judge a record whose field is gone by reading its document again.

        The known fields are those of the version that was read last; a listing may lag behind the next one.
        """
        if not any(selects(rule, self._handover.as_selected(record).ref) for rule in self._job.rules):
            return judged
        fields, why = self._checks.fields_now(self._job, record)
        if fields is None:
            return Presence.UNKNOWN, f"its field is gone, but {why}"
        return (Presence.UNKNOWN, "a direct look still finds its field") if record.ref.field in fields else judged

    def _open_rules(self, evidence: ListingEvidence) -> tuple[Rule, ...]:
        """Rules of the job itself that could not be read completely."""
        incomplete = [rule for rule in self._job.rules if not evidence.is_complete(rule)]
        rows = [self._handover.as_selected(row) for row in self._handover.records.values()] if incomplete else []
        # A glob that lists nothing is believed where the ledger holds nothing of it.
        return tuple(
            rule
            for rule in incomplete
            if not evidence.snapshots[rule.index].complete or any(selects(rule, row.ref) for row in rows)
        )

    def _own_objection(self, name: str, evidence: ListingEvidence, open_rules: Sequence[Rule]) -> str:
        """Return which rule of the job itself could not be read completely and could want this name; else empty."""
        profile = self._target.profile
        for rule in self._job.rules:
            mount = evidence.snapshots[rule.index].mount.strip("/")
            if rule in open_rules and could_name(rule, name, None, mount, profile):
                return f"rule {rule.path} of its own job could not be listed completely, and may want the name"
            paths = (path for path, pin in evidence.not_known if pin == rule.pin and selects_path(rule, path))
            if unread := next((path for path in sorted(paths) if could_name(rule, name, path, mount, profile)), None):
                return f"{unread} of its own job was not read in its newest version, and may want the name"
        return ""


def unlisted_keys(runtime: Runtime, site: str, remote: Sequence[RemoteSecret]) -> str:
    """Return why another configured key may be this same site, whose jobs nobody has asked; empty if none can.

    A key under which the ledger holds an id is another site: a shared id would have ended the cycle. The sites of all
    other keys are listed here and compared by their ids.
    """
    mine = {secret.id for secret in remote}
    known_sites = runtime.store.sites_with_ids() | {site}
    for name in runtime.targets:
        if runtime.site_of(name) in known_sites:
            continue
        try:
            listed = {secret.id for secret in runtime.target(name).list()}
        except SyncdError as error:
            return f"target {name} was never listed, and may be this site under another key ({error.message})"
        if mine & listed:
            return f"target {name} is this site under another key; see: syncd sync"
    return ""
