"""Configured rules as the cycle takes them."""

from __future__ import annotations

from typing import Any

from syncd.config.governance import Exempted, GovernanceRuleSettings, Selecting
from syncd.domain.governance import Exemption, GovernanceRule, Selector, Then, ValueCheck
from syncd.domain.matching import Glob


def make_rule(settings: GovernanceRuleSettings) -> GovernanceRule:
    """One rule, ready to be asked."""
    has_value_check = "value" in settings.checks()
    require = settings.require
    return GovernanceRule(
        id=settings.id,
        then=Then(settings.then),
        selects=_selector(settings),
        leaves_out=_selector(settings.not_) if settings.not_ is not None else None,
        value=ValueCheck(
            min_length=settings.min_length, max_length=settings.max_length, placeholder=bool(settings.placeholder)
        )
        if has_value_check
        else None,
        max_age=settings.max_age,
        duplicate=settings.duplicate.across.removeprefix("label.") if settings.duplicate else "",
        require_owner=bool(require and require.owner),
        require_name=Glob(require.name) if require and require.name else None,
        unmanaged=bool(settings.unmanaged),
        exemptions=tuple(_exemption(item) for item in settings.except_),
    )


def _exemption(settings: Exempted) -> Exemption:
    label = "; ".join(f"{key} {_in_words(value)}" for key, value in settings.chosen().items())
    return Exemption(selector=_selector(settings), until=settings.until, reason=settings.reason, label=label)


def _in_words(given: Any) -> str:
    if isinstance(given, dict):
        return ", ".join(f"{key}={' or '.join(texts)}" for key, texts in given.items())
    return " or ".join(given)


def _selector(settings: Selecting) -> Selector:
    given = settings.chosen()
    label = given.pop("label", {})
    globs = {key: tuple(map(Glob, texts)) for key, texts in given.items()}
    return Selector(**globs, label=tuple((key, tuple(map(Glob, texts))) for key, texts in label.items()))
