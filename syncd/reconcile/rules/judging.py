"""What a rule makes of a secret. Pure: facts about values were noted when the values were read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.domain.governance import FactKey, Facts, GovernanceRule, Hit, Subject, Then
from syncd.domain.recency import happened_within

SELECTED = {
    Then.DENY: "forbidden here",
    Then.HOLD: "a change of it needs a release",
    Then.WARN: "is one that this rule is about",
}
"""The message for a secret that a rule without a check selects."""
NOT_JUDGED = "not judged yet: its value was not read since the rule was written or changed"


def hits_of(rules: Iterable[GovernanceRule], subject: Subject, facts: Facts, now: datetime) -> tuple[Hit, ...]:
    """Return a hit for each rule that one secret breaks, or of which it is not known.

    Rules about duplicates and unmanaged secrets are not among them: see `duplicates` and `unmanaged`.
    """
    return tuple(hit for rule in rules if (hit := _hit(rule, subject, facts, now)) is not None)


def _hit(rule: GovernanceRule, subject: Subject, facts: Facts, now: datetime) -> Hit | None:
    # These two are about the whole site, or all sites together: see `duplicates` and `unmanaged`.
    if rule.duplicate or rule.unmanaged or not rule.selects_it(subject):
        return None
    message, is_judged = _message(rule, subject, facts, now)
    if not message:
        return None
    exemption = rule.exemption_of(subject, now)
    return Hit(rule=rule, subject=subject, message=message, is_judged=is_judged, exemption=exemption)


def _message(rule: GovernanceRule, subject: Subject, facts: Facts, now: datetime) -> tuple[str, bool]:
    """What is wrong, and whether that is known; empty for nothing."""
    if rule.value is not None:
        fact = facts.get(FactKey(subject.name, subject.ref, subject.version, rule.value.digest))
        return (NOT_JUDGED, False) if fact is None else (fact, True)
    if rule.max_age is not None:
        return _too_old(rule, subject, now)
    if rule.require_owner or rule.require_name is not None:
        return _lacking(rule, subject), True
    return SELECTED[rule.then], True


def _too_old(rule: GovernanceRule, subject: Subject, now: datetime) -> tuple[str, bool]:
    age, since = rule.max_age, subject.changed_at or subject.seen_at
    if age is None or since is None:
        return "the age of its version is not known until it is verified", False
    # A date ahead of this clock is a new version by the source's clock, and no old one.
    if since > now or happened_within(since, now, age):
        return "", True
    least = "" if subject.changed_at else "at least "
    return f"its version is {least}{(now - since).days} days old, {age.days} are allowed", True


def _lacking(rule: GovernanceRule, subject: Subject) -> str:
    if rule.require_owner and not subject.owner:
        return "the source names no owner of it"
    if rule.require_name is not None and not rule.require_name.matches(subject.name):
        return f"its name is not of the form {rule.require_name}"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SameValue:
    """A secret that shares its value: `group` is the same for all that do, and tells nothing of the value."""

    group: int
    subject: Subject


def duplicates(rule: GovernanceRule, held: Sequence[SameValue], facts: Facts, now: datetime) -> Iterator[Hit]:
    """Yield a hit for each secret that shares its value where the rule allows none. `facts`: of all sites.

    One reference on several sites is one secret, unless the rule compares across a label.
    """
    check = rule.value_check
    groups: dict[int, list[Subject]] = {}
    for item in held:
        about = item.subject
        fact = facts.get(FactKey(about.name, about.ref, about.version, check.digest)) if check else None
        # Only what was seen to be long enough: short values are the same by chance.
        if rule.selects_it(item.subject) and fact == "":
            groups.setdefault(item.group, []).append(item.subject)
    for subjects in groups.values():
        for subject in subjects:
            others = [other for other in subjects if _clashes(rule.duplicate, subject, other)]
            if others:
                yield Hit(
                    rule=rule,
                    subject=subject,
                    message=same_value_message(others),
                    exemption=rule.exemption_of(subject, now),
                    others=tuple(others),
                )


def same_value_message(others: Sequence[Subject], named: Sequence[Subject] = ()) -> str:
    """Say how many other secrets hold the same value, and name those in `named`: the ones that the reader may know of.

    A finding is kept, and shown to whoever may see the one secret, so none is named there.
    """
    message = f"holds the same value as {len(others)} other secret{'s' if len(others) > 1 else ''}"
    names = sorted({f"{other.name} on {other.target}" for other in named})
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{message}: {', '.join(names[:3])}{more}" if names else message


def _clashes(across: str, subject: Subject, other: Subject) -> bool:
    if across == "names":
        return subject.ref != other.ref and (subject.name, subject.site) != (other.name, other.site)
    return subject.labels.get(across, "") != other.labels.get(across, "")


def unmanaged(rule: GovernanceRule, subjects: Iterable[Subject], now: datetime) -> Iterator[Hit]:
    """Secrets on a site that nobody manages. `subjects`: those that no ledger holds and that carry no mark of ours."""
    for subject in subjects:
        if rule.selects_it(subject):
            exemption = rule.exemption_of(subject, now)
            yield Hit(rule=rule, subject=subject, message="nobody manages it", exemption=exemption)
