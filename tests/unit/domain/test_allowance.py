"""`--allow-deletes`: a total of the run, or a number for one target."""

from __future__ import annotations

import shlex

import pytest

from syncd.domain.allowance import DeletionAllowance, allowing_command
from syncd.errors import ConfigError

TARGETS = ("shop", "outlet", "b2b.eu")


def test_a_bare_number_is_the_total_of_the_run() -> None:
    allowance = DeletionAllowance.parse(["4"], TARGETS)
    allowance.spend("shop", 3)
    assert (allowance.left_on("shop"), allowance.left_on("outlet")) == (1, 1)


def test_a_target_has_its_own_number() -> None:
    allowance = DeletionAllowance.parse(["outlet=2", "b2b.eu=5"], TARGETS)
    assert (allowance.left_on("shop"), allowance.left_on("outlet"), allowance.left_on("b2b.eu")) == (0, 2, 5)
    allowance.spend("outlet", 2)
    assert (allowance.left_on("outlet"), allowance.left_on("b2b.eu")) == (0, 5)


def test_both_forms_together_do_not_mix() -> None:
    allowance = DeletionAllowance.parse(["3", "shop=1"], TARGETS)
    allowance.spend("shop", 1)
    assert (allowance.left_on("shop"), allowance.left_on("outlet")) == (0, 3)


def test_nothing_given_allows_nothing() -> None:
    assert not DeletionAllowance.parse([], TARGETS) and not DeletionAllowance.parse(["0"], TARGETS)
    assert DeletionAllowance.parse(["shop=1"], TARGETS)


@pytest.mark.parametrize(
    "options",
    [
        ["-1"], ["9" * 40], [""], ["shop="], ["=3"], ["shop=three"], ["store=1"], ["3", "4"], ["shop=1", "shop=2"],
        ["1.5"], ["٣"], ["shop=shop=1"], ["+2"],
    ],
)  # fmt: skip
def test_what_is_no_allowance(options: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        DeletionAllowance.parse(options, TARGETS)
    assert caught.value.hint


def test_the_hint_can_be_typed() -> None:
    words = shlex.split(allowing_command("feeds", {"shop": 4, "outlet": 2}))
    assert words[:3] == ["syncd", "sync", "feeds"] and "--reason" in words
    given = [words[at + 1] for at, word in enumerate(words) if word == "--allow-deletes"]
    allowance = DeletionAllowance.parse(given, TARGETS)
    assert (allowance.left_on("shop"), allowance.left_on("outlet")) == (4, 2)
