"""Is this plan safe to carry out? A class of actions over its limit is withheld whole. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from syncd.domain import Action, Create, Delete, Finding, FindingKind, Plan, Update
from syncd.domain.allowance import allowing_command
from syncd.domain.job import Limit, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitBasis:
    """What the limits are measured on: the ids held, and what was sent in the last rolling day."""

    job_records: frozenset[str]
    site_records: frozenset[str]
    job_deleted: frozenset[str] = frozenset()
    """Ids."""
    site_deleted: frozenset[str] = frozenset()
    """Ids."""
    job_updated: frozenset[str] = frozenset()
    """Names."""
    job_created: frozenset[str] = frozenset()
    """Names."""


def guard(plan: Plan, basis: LimitBasis, limits: Limits, *, place: tuple[str, str], allowed_deletes: int = 0) -> Plan:
    """The plan without the classes that break their limit; a `Withheld` finding says how to allow each.

    `place`: the job and the target, for the hint.
    """
    plan = _deletes(plan, basis, limits.max_deletes, place, allowed_deletes)
    if limits.max_updates is not None:
        plan = _writes(plan, Update, limits.max_updates, len(basis.job_records), basis.job_updated)
    if limits.max_creates is not None:
        plan = _writes(plan, Create, limits.max_creates, len(basis.job_records), basis.job_created)
    return plan


def _withhold(plan: Plan, kind: type[Create | Update | Delete], message: str, hint: str) -> Plan:
    held = [action for action in plan.actions if isinstance(action, kind)]
    names = ", ".join(action.name for action in held[:20]) + (" and more" if len(held) > 20 else "")
    verb, message = kind.__name__.lower(), f"{message} ({names})"
    finding = Finding(kind=FindingKind.WITHHELD, name="", message=message, hint=hint, exit_code=6, verb=verb)
    kept = tuple(action for action in plan.actions if not isinstance(action, kind))
    return replace(plan, actions=kept, findings=(*plan.findings, finding, *map(_of_one, held)))


def _of_one(action: Action) -> Finding:
    """What is withheld, by name: it is not as its source says, and does not pass for that."""
    if isinstance(action, Delete):
        return Finding(kind=action.kind, name=action.name, ref=action.record.ref, message=f"{action.reason}; withheld")
    return Finding(kind=FindingKind.BEHIND, name=action.name, ref=action.desired.ref, message="withheld by a limit")


def _deletes(plan: Plan, basis: LimitBasis, limit: Limit, place: tuple[str, str], allowed: int) -> Plan:
    # A deletion whose answer was lost counts already: sending it again takes no more room.
    count = sum(isinstance(a, Delete) and a.record.remote_id not in basis.site_deleted for a in plan.actions)
    job, target = place
    job_room = limit.of(len(basis.job_records | basis.job_deleted)) - len(basis.job_deleted)
    site_room = limit.of(len(basis.site_records | basis.site_deleted)) - len(basis.site_deleted)
    room = max(0, min(job_room, site_room))
    if count == 0 or count <= max(room, allowed):
        return plan
    asked = f", --allow-deletes {allowed} is not enough" if allowed else ""
    return _withhold(
        plan,
        Delete,
        f"{count} deletions withheld: max_deletes {limit} leaves {room} in this rolling day{asked}",
        f"if they are meant: {allowing_command(job, {target: count})}",
    )


def _writes(plan: Plan, kind: type[Create | Update], limit: Limit, held: int, sent: frozenset[str]) -> Plan:
    # Writing the same name again takes no more room.
    word = f"{kind.__name__.lower()}s"
    count = sum(isinstance(action, kind) and action.name not in sent for action in plan.actions)
    room = max(0, limit.of(held) - len(sent))
    if count <= room:
        return plan
    return _withhold(
        plan,
        kind,
        f"{count} {word} withheld: max_{word} {limit} leaves {room} in this rolling day",
        f"if they are meant: raise guard.max_{word} of the job",
    )
