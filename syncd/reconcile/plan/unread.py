"""What the source holds in a version that could not be read: it is behind, and does not pass for unchanged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from syncd.domain import Action, Delete, Finding, FindingKind, Plan, SecretRef
from syncd.domain.plan import LOOKS_AGAIN
from syncd.reconcile.observe.evidence import key_of
from syncd.reconcile.plan.pass_context import PassContext


def with_unread(final: Plan, unsendable: Iterable[Action], context: PassContext) -> Plan:
    """What the source holds in a version that could not be read is not known to be at the site."""
    source, recorded = context.observed.source, context.standing.handover.records
    unread, older = source.evidence.unread, source.older
    behind: dict[str, Finding] = {}
    for desired in context.observed.desired.all:
        if key_of(desired) in unread and desired.name in recorded:
            why = "the source's present version could not be read; the site holds the one before"
            if key_of(desired) in older:
                why = (
                    "the source lists a newer version than can be read (a server that lags?); the site has an older one"
                )
            found = _behind(desired.name, desired.ref, why)
            behind[desired.name] = replace(found, hint=LOOKS_AGAIN) if desired.ref.path in source.lagging else found
    for action in unsendable:
        if not isinstance(action, Delete) and action.name not in behind:
            why = "its value could not be read in this cycle"
            if key_of(action.desired) in older:
                why = "the source shows an older version than before (a server that lags?); it is not taken yet"
            behind[action.name] = _behind(action.name, action.desired.ref, why)
    rest = (
        finding for finding in final.findings if finding.kind is not FindingKind.UNCHANGED or finding.name not in behind
    )
    return replace(final, findings=(*(behind[name] for name in sorted(behind)), *rest)) if behind else final


def _behind(name: str, ref: SecretRef, why: str) -> Finding:
    return Finding(kind=FindingKind.BEHIND, name=name, ref=ref, message=why)
