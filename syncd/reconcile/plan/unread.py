"""Names whose present version at the source could not be read: they are behind, and not unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from syncd.domain import STATUSES, Action, Delete, Finding, FindingKind, Plan, SecretRef
from syncd.domain.plan import LOOKS_AGAIN, ref_of
from syncd.reconcile.observe.evidence import key_of
from syncd.reconcile.plan.pass_context import PassContext
from syncd.reconcile.record.statuses import STATUS, UNSURE
from syncd.reconcile.rules.gate import drift_behind

SAYS_MORE = frozenset(kind for kind, status in STATUS.items() if STATUSES.index(status) < UNSURE)
"""Kinds of findings whose status comes before `rolled_back`: they say more than that a version is unread.

A rollback is not among them: it may be what could not be read.
"""
DISPUTED = (
    "the source shows another secret under this path than was read last, made earlier by its date (a server that lags, "
    "or a clock that was ahead?); it is believed once several looks in a row have shown it"
)


def with_unread(final: Plan, unsendable: Sequence[Action], context: PassContext) -> Plan:
    """Return the plan with a `Behind` finding for each recorded name whose version or value could not be read.

    Nobody knows then that the site holds what the source has. `unsendable`: actions without their value.
    """
    source, recorded = context.observed.source, context.standing.handover.records
    # Each is made anew when it is asked for, and there are thousands of names.
    unread, older, disputed, lagging = source.evidence.unread, source.older, source.disputed, source.lagging
    doubted = unread | disputed
    # Of the very secret: another one that wants the name is another one's conflict.
    known = {(item.name, item.ref) for item in final.findings if item.kind in SAYS_MORE or item.rule}
    known.update((item.action.name, ref_of(item.action)) for item in final.held)
    behind: dict[str, Finding] = {}
    for desired in context.observed.desired.all:
        key = key_of(desired)
        is_told = not known.isdisjoint({(desired.name, desired.ref), (desired.name, None)})
        if desired.name not in recorded or is_told or key not in doubted:
            continue
        why = "the source's present version could not be read, so nobody knows that the site holds it"
        if key in disputed:
            why = DISPUTED
        elif key in older:
            why = "the source lists a newer version than can be read (a server that lags?); the site has an older one"
        found = _behind(desired.name, desired.ref, why)
        looks_again = key in disputed or desired.ref.path in lagging
        behind[desired.name] = replace(found, hint=LOOKS_AGAIN) if looks_again else found
    for action in unsendable:
        if not isinstance(action, Delete) and action.name not in behind and (action.name, ref_of(action)) not in known:
            why = "its value could not be read in this cycle"
            if key_of(action.desired) in older:
                why = "the source shows an older version than before (a server that lags?); it is not taken yet"
            behind[action.name] = _behind(action.name, action.desired.ref, why)
    drift = [finding for action in unsendable for finding in drift_behind(action)]
    rest = (
        finding for finding in final.findings if finding.kind is not FindingKind.UNCHANGED or finding.name not in behind
    )
    return replace(final, findings=(*(behind[name] for name in sorted(behind)), *drift, *rest))


def _behind(name: str, ref: SecretRef, why: str) -> Finding:
    return Finding(kind=FindingKind.BEHIND, name=name, ref=ref, message=why)
