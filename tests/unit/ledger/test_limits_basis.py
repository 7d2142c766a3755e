"""What counts for a limit of the rolling day: whatever was sent, unless that very sending was refused."""

from __future__ import annotations

from itertools import product

import pytest

from syncd.domain import Result
from syncd.ledger.history import not_refused

WORDS = {"s": Result.SENT, "d": Result.DONE, "l": Result.LOST, "r": Result.REFUSED}


def counted(story: str) -> bool:
    return bool(not_refused(("a", WORDS[word]) for word in story))


@pytest.mark.parametrize(
    ("story", "counts"),
    [
        ("", False),
        ("s", True),  # a kill, and nobody knows
        ("sr", False),
        ("srsr", False),
        ("slsr", True),
        ("sdsr", True),
        ("ssr", True),  # the first one was killed, and the refusal is the second one's
        ("sssr", True),
        ("srssr", True),
        ("ssrsr", True),
        ("srs", True),
        ("r", False),  # no limit counted when it was sent
    ],
)
def test_a_refusal_ends_its_own_sending_alone(story: str, counts: bool) -> None:
    assert counted(story) is counts


def test_every_story_of_six_lines() -> None:
    for story in map("".join, product("sdlr", repeat=6)):
        # By sendings: each goes until its own end, or until another one begins.
        sendings = story.replace("s", " s").split()
        open_or_done = any(sending in {"s"} or sending[1:2] in {"d", "l"} for sending in sendings if sending[0] == "s")
        ends_alone = any(word in "dl" for word in story)
        assert counted(story) is (open_or_done or ends_alone), story


def test_each_is_counted_for_itself() -> None:
    lines = [("a", "s"), ("b", "s"), ("a", "r"), ("b", "s"), ("b", "r"), ("c", "s"), ("c", "r")]
    assert not_refused((of, WORDS[word]) for of, word in lines) == ("b",)


def test_the_order_is_that_of_sending() -> None:
    lines = [("a2", "s"), ("a2", "d"), ("a3", "s"), ("a4", "s"), ("a4", "r"), ("a2", "s"), ("a3", "d"), ("a2", "l")]
    assert not_refused((of, WORDS[word]) for of, word in lines) == ("a2", "a3", "a2")
