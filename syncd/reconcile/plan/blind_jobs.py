"""A job that cannot be listed completely: what it may want, as far as the ledger knows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from syncd.domain import Rule
from syncd.domain.naming import could_name, selects_path, taken_as
from syncd.domain.places import spellings
from syncd.reconcile.plan.name_claims import Tags
from syncd.reconcile.plan.same_secret import Content, makes
from syncd.reconcile.plan.successors import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindJob:
    """A job that could not be listed completely: judged by what the ledger knows of it."""

    job: str
    cause: str
    names: frozenset[str]
    """Names that its rules give to paths that it lists or that the ledger knows."""
    rules: tuple[Rule, ...]
    unknown_rules: tuple[Rule, ...]
    """Rules of which the ledger knows no path: each name that they could give may be wanted."""
    unread: tuple[tuple[Rule, str], ...] = ()
    """Listed paths whose newest version was not read, each with its rule: their fields may be any."""
    gone: frozenset[str] = frozenset()
    """Paths that its source, asked for each, says are gone."""
    open_rules: tuple[Rule, ...] = ()
    """Rules that could not be listed completely."""
    told: frozenset[str] = frozenset()
    """Listed paths of which it is known what the job makes of them."""
    doubtful: frozenset[str] = frozenset()
    """Paths that it lists or expects, and that could not be read in their newest version or given a name."""
    mounts: Mapping[str, str] = field(default_factory=dict)
    """The known mounts of its source, each with its id."""

    def may_rename(self, path: str, secret: Secret | None, tags: Tags | None, content: Content | None = None) -> bool:
        """Could the job give this secret a name that nobody knows?

        `tags`: the secret's tags now; None: not known. `content`: the part of the secret that the name has to hold;
        None: any.
        """
        called = spellings(path, secret, self.mounts, (rule.path.text for rule in self.rules))
        rules = [rule for rule in self.rules if tags is None or set(rule.tags) <= tags]
        rules = [rule for rule in rules if content is None or makes(rule, content)]
        return any(
            (item in self.doubtful or (rule in self.open_rules and item not in self.told))
            for item in called
            for rule in rules
            if taken_as(rule, [item])
        )

    def may_want(self, name: str, path: str, profile: str) -> bool:
        """Could it want the name of a secret that came from this path?"""
        folded = name.casefold()
        if any(known.casefold() == folded for known in self.names):
            return True
        # A rule that covers the very path may have taken the secret over, from whichever source.
        covering = (rule for rule in self.rules if selects_path(rule, path) and path not in self.gone)
        if any(could_name(rule, name, None, "", profile) for rule in (*self.unknown_rules, *covering)):
            return True
        return any(could_name(rule, name, path, "", profile) for rule, path in self.unread)
