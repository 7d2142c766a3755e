"""Words that the pages make of what they are given."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.web.pages.rendering import beside_reason, held_words, release_words


def batch(**count: int) -> dict[str, Any]:
    return {"actions": [{"action": key} for key, number in count.items() for _ in range(number)]}


@pytest.mark.parametrize(
    ("of", "words", "button"),
    [
        (batch(update=1), "1 update", "Release"),
        (batch(create=2, update=3), "2 creations, 3 updates", "Release"),
        (batch(delete=12), "12 deletions", "Release: delete 12"),
        (batch(delete=1, update=1), "1 update, 1 deletion", "Release: delete 1"),
        (batch(delete=1200), "1,200 deletions", "Release: delete 1,200"),
    ],
)
def test_nobody_deletes_by_a_word_that_does_not_say_so(of: dict[str, Any], words: str, button: str) -> None:
    assert (held_words(of), release_words(of)) == (words, button)


@pytest.mark.parametrize(
    ("reason", "detail", "told"),
    [
        ("rotated", {"because": "rotated", "released_by": "ines"}, "released_by: ines"),
        ("rotated", {"because": "in time", "released_by": "ines"}, "because: in time, released_by: ines"),
        ("", {"because": "in time"}, "because: in time"),
        (None, {"rule": None, "count": 2}, "count: 2"),
        ("2", {"count": 2}, "count: 2"),
    ],
)
def test_a_reason_is_told_once(reason: str | None, detail: dict[str, Any], told: str) -> None:
    assert beside_reason({"reason": reason, "detail": detail}) == told
