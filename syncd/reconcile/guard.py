"""Is this plan safe to carry out? A class of actions over its limit is withheld whole. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from syncd.domain import Action, Create, Delete, Finding, FindingKind, Held, Plan, Update
from syncd.domain.allowance import allowing_command
from syncd.domain.job import Limit, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitBasis:
    """What the limits are measured on: the ids held, and what was sent in the last rolling day."""

    job_records: frozenset[str]
    site_records: frozenset[str]
    job_deleted: frozenset[str] = frozenset()
    """Ids that count as deleted in the last rolling day."""
    site_deleted: frozenset[str] = frozenset()
    """The same of every job on the site, with those that an earlier plan of this look would delete."""
    job_updated: tuple[tuple[str, str], ...] = ()
    """Updates of the last rolling day in the order of sending: the name, and the version that it got."""
    job_created: frozenset[str] = frozenset()
    """Names that were created in the last rolling day."""


Released = Callable[[Action, str], bool]
"""Did a person release this action, which the named limit withholds?"""


def guard(plan: Plan, basis: LimitBasis, limits: Limits, terms: GuardTerms) -> Plan:
    """Return the plan without the classes of actions that break their limit. These wait for a release.

    A `Withheld` finding says how to allow each class. What a person released or rolled back goes whatever the limit,
    and counts in it once it is sent.
    """
    plan = _deletes(plan, basis, limits.max_deletes, terms)
    # Off by default, unlike the limit of deletions: a mass rotation is legitimate.
    held = len(basis.job_records)
    if limits.max_updates is not None:
        updates = [action for action in plan.actions if isinstance(action, Update)]
        has, count = _versions_of_the_day(basis.job_updated)
        sent = set(basis.job_updated)
        new = {
            action.name
            for action in updates
            # A rollback that ends gives back what the site had that day; a person agreed to both.
            if has.get(action.name) != action.desired.version
            and not (action.record.status == "rolled_back" and (action.name, action.desired.version) in sent)
        }
        room = max(0, limits.max_updates.of(held) - count)
        plan = _writes(plan, updates, new, _Room(limits.max_updates, room), terms)
    if limits.max_creates is not None:
        creates = [action for action in plan.actions if isinstance(action, Create)]
        new = {action.name for action in creates} - basis.job_created
        room = max(0, limits.max_creates.of(held) - len(basis.job_created))
        plan = _writes(plan, creates, new, _Room(limits.max_creates, room), terms)
    return plan


def _versions_of_the_day(sent: Iterable[tuple[str, str]]) -> tuple[dict[str, str], int]:
    """Return the version that each name got last, and how often a name got another version than before.

    A second rotation is a second update, and so is the way back; the same version again (a lost answer, a restore) is
    not.
    """
    last, count = dict[str, str](), 0
    for name, version in sent:
        count += last.get(name) != version
        last[name] = version
    return last, count


@dataclass(frozen=True, slots=True)
class _Room:
    """A limit, and what it leaves of the rolling day."""

    limit: Limit
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardTerms:
    """The job and target that a plan is for, and what a person allowed beyond the limits."""

    place: tuple[str, str]
    """The job and the target, for the hint."""
    allowed_deletes: int = 0
    """How many deletions a person allows in this run; this number holds instead of the limit if it is larger."""
    is_released: Released = lambda _action, _cause: False
    is_taken_back: Callable[[Action], bool] = lambda _action: False
    """Does the action give the site back a version that it held before, as a person decided with a reason?"""


def _withhold(plan: Plan, kind: type[Create | Update | Delete], free: frozenset[str], message: str, hint: str) -> Plan:
    """Hold the actions of a kind back, but for those that are `free` (by name)."""
    verb = kind.__name__.lower()
    cause = f"max_{verb}s"
    held = [action for action in plan.actions if isinstance(action, kind) and action.name not in free]
    names = ", ".join(action.name for action in held[:20]) + (" and more" if len(held) > 20 else "")
    message = f"{message} ({names})"
    finding = Finding(kind=FindingKind.WITHHELD, name="", message=message, hint=hint, exit_code=6, verb=verb)
    names_held = {action.name for action in held}
    # This class of actions alone waits: a rotation is never held up by a deletion.
    kept = tuple(action for action in plan.actions if not (isinstance(action, kind) and action.name in names_held))
    # Each waits by name, too, so that none of them passes for synced.
    waiting = tuple(Held(action=action, cause=cause, why=_why(action)) for action in held)
    return replace(plan, actions=kept, findings=(*plan.findings, finding), held=(*plan.held, *waiting))


def _why(action: Action) -> str:
    return f"{action.reason}; withheld" if isinstance(action, Delete) else "withheld by a limit"


def _deletes(plan: Plan, basis: LimitBasis, limit: Limit, terms: GuardTerms) -> Plan:
    deletes = [action for action in plan.actions if isinstance(action, Delete)]
    free = frozenset(action.name for action in deletes if terms.is_released(action, "max_deletes"))
    # A deletion whose answer was lost counts already: sending it again takes no more room.
    count = sum(a.record.remote_id not in basis.site_deleted for a in deletes if a.name not in free)
    # The limit holds for the job and for the whole site: many small jobs may not empty a site together.
    job, target = terms.place
    allowed = terms.allowed_deletes
    # A share is of what there was before the day's deletions: else each one would make the limit smaller.
    job_room = limit.of(len(basis.job_records | basis.job_deleted)) - len(basis.job_deleted)
    site_room = limit.of(len(basis.site_records | basis.site_deleted)) - len(basis.site_deleted)
    room = max(0, min(job_room, site_room))
    # A person's number holds instead of the limit, not on top of it.
    if count == 0 or count <= max(room, allowed):
        return plan
    asked = f", --allow-deletes {allowed} is not enough" if allowed else ""
    return _withhold(
        plan,
        Delete,
        free,
        f"{_counted(count, 'deletions')} withheld: max_deletes {limit} leaves {room} in this rolling day{asked}",
        f"if they are meant: {allowing_command(job, {target: count})}",
    )


def _writes(
    plan: Plan, writes: Sequence[Create | Update], new: AbstractSet[str], room: _Room, terms: GuardTerms
) -> Plan:
    """Return the plan without these writes if they break their limit.

    `writes`: all of one kind. `new`: the names that take room; writing the same again takes none.
    """
    if not writes:
        return plan
    kind = type(writes[0])
    word = f"{kind.__name__.lower()}s"
    # A version that may have leaked does not wait for a day's room.
    free = frozenset(a.name for a in writes if terms.is_released(a, f"max_{word}") or terms.is_taken_back(a))
    count = len(new - free)
    if count <= room.left:
        return plan
    held = sum(action.name not in free for action in writes)
    counting = "" if count == held else f", and {count} of these {held} count"
    return _withhold(
        plan,
        kind,
        free,
        f"{_counted(held, word)} withheld: max_{word} {room.limit} leaves {room.left} in this rolling day{counting}",
        f"if they are meant: raise guard.max_{word} of the job, or release them: syncd held; "
        "there is room again a day after what took it was sent",
    )


def _counted(count: int, plural: str) -> str:
    return f"{count} {plural.removesuffix('s') if count == 1 else plural}"
