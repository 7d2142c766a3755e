"""Which rules the wanted secrets of one pass break; values are judged as they are read. Pure but for what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from syncd.domain import Action, Delete, DesiredSecret, PathState, Record, SecretRef
from syncd.domain.governance import FactKey, Facts, GovernanceRule, Hit, SiteNames, Subject
from syncd.reconcile.rules.judging import hits_of
from syncd.reconcile.rules.value_checks import judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the secrets of a pass go."""

    site: str
    target: str
    job: str
    labels: Mapping[str, str]
    called: SiteNames
    today: Callable[[Record], SecretRef]
    """A row's reference by the name that its source has now: what is gone is never listed by it."""


class JudgedNames:
    """What the rules say of each name; asked again and again while a plan is made, worked out once."""

    def __init__(self, rules: tuple[GovernanceRule, ...], place: Place, facts: Facts, now: datetime) -> None:
        self._rules, self._place, self._now = rules, place, now
        self._facts = dict(facts)
        self._known: dict[tuple[str, str, SecretRef], tuple[Hit, ...]] = {}
        self.fresh: dict[FactKey, str] = {}
        """What was judged in this pass, to be kept."""

    def judge_values(self, wanted: tuple[DesiredSecret, ...]) -> None:
        """Judge the values that were read, and remember what comes out."""
        checks = {rule.value_check for rule in self._rules if rule.value_check is not None}
        if not checks:
            return
        for desired in wanted:
            # Not read in this pass, so nothing new can be said; what was judged before stands.
            if desired.value is None:
                continue
            for check in checks:
                key = FactKey(desired.name, desired.ref, desired.version, check.digest)
                if key not in self._facts:
                    self._facts[key] = self.fresh[key] = judged(check, desired.name, desired.value)
                    # What was worked out before the value was read says `not judged yet`.
                    self._known.pop((desired.name, desired.version, desired.ref), None)

    def lacking(self, wanted: tuple[DesiredSecret, ...]) -> list[str]:
        """Names of which a rule needs a value that was not judged yet."""
        checks = {rule.value_check.digest for rule in self._rules if rule.value_check is not None}
        return [
            item.name
            for item in wanted
            if any(FactKey(item.name, item.ref, item.version, digest) not in self._facts for digest in checks)
        ]

    def of_wanted(self, desired: DesiredSecret, state: PathState | None) -> tuple[Hit, ...]:
        """The rules that a wanted secret breaks. `state`: what is known of its path."""
        key = (desired.name, desired.version, desired.ref)
        if key not in self._known:
            self._known[key] = hits_of(self._rules, self._subject(desired, state), self._facts, self._now)
        return self._known[key]

    def of_record(self, record: Record) -> tuple[Hit, ...]:
        """The rules about a secret that is to be deleted."""
        subject = Subject(
            name=record.name,
            site=self._place.site,
            target=self._place.target,
            job=record.job,
            ref=record.ref,
            jobs=frozenset({self._place.job}),
            sources=frozenset({self._place.today(record).source}),
            labels=self._place.labels,
            called=self._place.called,
            version=record.version,
        )
        return hits_of(self._rules, subject, self._facts, self._now)

    def of_action(self, action: Action, state: PathState | None) -> tuple[Hit, ...]:
        """The rules about what an action would leave at the site."""
        return self.of_record(action.record) if isinstance(action, Delete) else self.of_wanted(action.desired, state)

    def _subject(self, desired: DesiredSecret, state: PathState | None) -> Subject:
        return Subject(
            name=desired.name,
            site=self._place.site,
            target=self._place.target,
            job=desired.job,
            ref=desired.ref,
            labels=self._place.labels,
            called=self._place.called,
            version=desired.version,
            owner=state.owner if state else "",
            changed_at=desired.updated_at,
            seen_at=state.seen_at if state else None,
        )
