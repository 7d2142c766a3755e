"""What a company asks of its secrets: rules, what they select, what they check. Pure types."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from syncd.domain.arn import name_in
from syncd.domain.matching import Glob
from syncd.domain.source import SecretRef

SHORT = 8
"""Values of fewer characters are not compared with others: they are the same by chance."""


class Then(StrEnum):
    """What follows from a hit."""

    WARN = "warn"
    """A finding; everything goes on."""
    DENY = "deny"
    """It is not sent; what is at Wix stays."""
    HOLD = "hold"
    """It waits until a person releases it."""


@dataclass(frozen=True, slots=True)
class SiteNames:
    """What one site is called: by every key that it is configured or was known under, and by its targets."""

    keys: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()

    def known_as(self, keys: frozenset[str]) -> SiteNames:
        """Return these names with more keys of the same site."""
        return SiteNames(self.keys | keys, self.targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One secret on one site, as a rule looks at it."""

    name: str
    """The name at Wix."""
    site: str
    target: str
    called: SiteNames = field(default_factory=SiteNames)
    """All that the site is called; rules may name it by any."""
    job: str = ""
    ref: SecretRef | None = None
    """None for a secret that nobody manages."""
    jobs: frozenset[str] = frozenset()
    """Names that its job has now, where the record still has an earlier name of it; a rule may use either."""
    sources: frozenset[str] = frozenset()
    """Names that its source has now, where the record still has an earlier name of it; a rule may use either."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The labels of the target."""
    version: str = ""
    """The source's version, as a token."""
    owner: str = ""
    """The owner that the source names; empty where it names none."""
    changed_at: datetime | None = None
    """When the source's version was made, by the source's word."""
    seen_at: datetime | None = None
    """When syncd first saw that version, where the source has no date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which secrets: each field that is given must match; a field with several globs matches if one of them does."""

    source: tuple[Glob, ...] = ()
    path: tuple[Glob, ...] = ()
    name: tuple[Glob, ...] = ()
    job: tuple[Glob, ...] = ()
    target: tuple[Glob, ...] = ()
    site: tuple[Glob, ...] = ()
    label: tuple[tuple[str, tuple[Glob, ...]], ...] = ()

    def matches(self, subject: Subject) -> bool:
        """Does the selector match this secret? One without a reference has no source and no path to match."""
        if not all(_any(globs, subject.labels.get(key, "")) for key, globs in self.label):
            return False
        # A rule about a target or a site is about the real site: neither a second target of it nor another of its keys
        # is a way around the rule.
        ref = subject.ref
        return (
            (not self.target or any(_any(self.target, name) for name in {subject.target, *subject.called.targets}))
            and (not self.job or any(_any(self.job, name) for name in {subject.job, *subject.jobs}))
            and (not self.site or any(_any(self.site, key) for key in {subject.site, *subject.called.keys}))
            and (
                not self.source
                or (ref is not None and any(_any(self.source, name) for name in {ref.source, *subject.sources}))
            )
            # In any case: names that differ in it alone are one name at Wix, whose id may get the other spelling.
            and (not self.name or any(glob.in_any_case().matches(subject.name.casefold()) for glob in self.name))
            and (not self.path or (ref is not None and any(_any(self.path, path) for path in _spelled(ref.path))))
        )


def _spelled(path: str) -> set[str]:
    """A path, and the name within it where it is an ARN: a rule about the name is about both."""
    return {path, name_in(path)}


def _any(globs: tuple[Glob, ...], text: str) -> bool:
    return any(glob.matches(text) for glob in globs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCheck:
    """What a value must be like. Judged when a version is read; only the outcome is kept."""

    min_length: int | None = None
    max_length: int | None = None
    placeholder: bool = False
    """Is a placeholder (a text that somebody meant to replace) forbidden?"""
    comparable: bool = False
    """Must it be long enough to be compared with others?"""
    digest: str = field(init=False, compare=False)
    """8 hex digits of the check: another check judges values anew. Made once, because a cycle asks 10,000 times."""

    def __post_init__(self) -> None:
        """Work the digest out."""
        checks = (self.min_length, self.max_length, self.placeholder, self.comparable)
        # The class is frozen, and what is asked for so often is worked out once.
        object.__setattr__(self, "digest", hashlib.sha256(repr(checks).encode()).hexdigest()[:8])


COMPARABLE = ValueCheck(comparable=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """Secrets that a rule leaves alone for a while, and why."""

    selector: Selector
    until: date
    """The last day on which it holds, in UTC."""
    reason: str
    label: str
    """The selector as it was written, for people."""

    def covers(self, subject: Subject, now: datetime) -> bool:
        """Is this secret left alone at this moment?"""
        return now.date() <= self.until and self.selector.matches(subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernanceRule:
    """One rule: selectors, at most one kind of check, and what follows. Without a check, what it selects is a hit."""

    id: str
    then: Then
    selects: Selector
    leaves_out: Selector | None = None
    """The selector under `not:`, whose secrets the rule leaves out."""
    value: ValueCheck | None = None
    max_age: timedelta | None = None
    duplicate: str = ""
    """Where one value may not be twice: under two `names`, or on targets that differ in this label; empty: no check."""
    require_owner: bool = False
    require_name: Glob | None = None
    unmanaged: bool = False
    exemptions: tuple[Exemption, ...] = ()

    def selects_it(self, subject: Subject) -> bool:
        """Is the secret one that this rule is about?"""
        left_out = self.leaves_out is not None and self.leaves_out.matches(subject)
        return not left_out and self.selects.matches(subject)

    def exemption_of(self, subject: Subject, now: datetime) -> Exemption | None:
        """Return the exemption that covers this secret now; None if there is none."""
        return next((item for item in self.exemptions if item.covers(subject, now)), None)

    @property
    def value_check(self) -> ValueCheck | None:
        """The check that a value has to be read for; None if the rule needs no value.

        It is the rule's own check or, for a rule about duplicates, whether the value is long enough to be compared.
        """
        # Equal short values are chance: whether one is long enough is known only when it is read.
        return self.value or (COMPARABLE if self.duplicate else None)


class FactKey(NamedTuple):
    """Which value was judged, and by which check: one field's, in one version, for one name."""

    # A placeholder may be the secret's own name, so the same value under another name is judged anew.
    name: str
    ref: SecretRef | None
    version: str
    digest: str


Facts = Mapping[FactKey, str]
"""What is wrong with each value that was judged; an empty text: nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A rule that a secret breaks, or of which it is not known yet whether it does (`is_judged`)."""

    rule: GovernanceRule
    subject: Subject
    message: str
    is_judged: bool = True
    """False: nobody knows yet whether the secret breaks the rule.

    Its value was not read since the rule was written or changed, or the age of its version is not known.
    """
    exemption: Exemption | None = None
    """The exemption that leaves the secret alone for now; None: there is none."""
    others: tuple[Subject, ...] = ()
    """The secrets that it shares its value with."""

    @property
    def counts(self) -> bool:
        """Does it have consequences: is it judged, and not exempted?"""
        return self.is_judged and self.exemption is None
