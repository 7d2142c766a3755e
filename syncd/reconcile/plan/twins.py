"""Names that differ only in case: one is deleted only where the other would be sent after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from syncd.domain import Action, Create, Delete, DesiredSecret, Plan
from syncd.reconcile.plan.builder import rests
from syncd.reconcile.plan.governing import Governing
from syncd.reconcile.plan.pass_context import PassContext


def with_their_twins(guarded: Plan, context: PassContext, governing: Governing) -> Plan:
    """A deletion that makes room for a name in another case goes only where that one would be sent after it.

    The site would have neither of the two else. What holds the new name waits for a release with the plan.
    """
    observed, now = context.observed, context.times.now
    wanted = _waiting(guarded, context)
    twins = [wanted[action.name.casefold()] for action in guarded.actions if _makes_room(action, wanted)]
    if not twins:
        return guarded
    sound = [
        item
        for item in twins
        # Only what was read is known to be sendable: a path that is refused now would leave the site with neither.
        if item.value is not None
        and item.key not in observed.desired.faults
        and not rests(observed.problems.get(item.name), item.version, item.rule, now)
    ]
    creates = [Create(desired=item) for item in sound]
    trial = governing.guarded(governing.passed(Plan(actions=tuple(creates))))
    # A release of them lasts: the next pass or cycle spends it.
    observed.planned = {**observed.planned, **{action.name: action for action in creates}}
    may_go = {action.name.casefold() for action in trial.actions}
    kept = (action for action in guarded.actions if not _makes_room(action, wanted) or action.name.casefold() in may_go)
    return replace(guarded, actions=tuple(kept), held=(*guarded.held, *trial.held))


def twins_in(guarded: Plan, context: PassContext) -> frozenset[str]:
    """Names for which a deletion of the plan makes room: their values are read before anything is deleted for them."""
    wanted = _waiting(guarded, context)
    return frozenset(wanted[action.name.casefold()].name for action in guarded.actions if _makes_room(action, wanted))


def _waiting(guarded: Plan, context: PassContext) -> dict[str, DesiredSecret]:
    """What is wanted and not sent by this plan, by its name in small letters."""
    sent = {action.name for action in guarded.actions if not isinstance(action, Delete)}
    return {item.name.casefold(): item for item in context.observed.desired.all if item.name not in sent}


def _makes_room(action: Action, wanted: Mapping[str, DesiredSecret]) -> bool:
    return isinstance(action, Delete) and action.name.casefold() in wanted
