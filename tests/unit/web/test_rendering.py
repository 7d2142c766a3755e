"""Words that the pages make of what they are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.main import get_command

from syncd.cli.app import app
from syncd.web.pages.rendering import COMMANDS, beside_reason, held_words, release_words, soon, with_commands


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


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (
            "mend it, or: syncd state forget NAME --delete --reason '…'",
            ["syncd state forget NAME --delete --reason '…'"],
        ),
        ("see: syncd held", ["syncd held"]),
        ("run: syncd check -c /tmp/syncd.yaml, then sync", ["syncd check -c /tmp/syncd.yaml"]),
        ("see: syncd plan; what waits goes with: syncd sync.", ["syncd plan", "syncd sync"]),
        ("give syncd a credential of its own, or `syncd sync` first", ["syncd sync"]),
        ("see path and namespace", []),
        ("", []),
    ],
)
def test_commands_stand_out_in_a_text(text: str, commands: list[str]) -> None:
    pieces = with_commands(text)
    assert [" ".join(words) for _, words in pieces if words] == commands
    assert "".join(before + " ".join(words) for before, words in pieces) == text


def test_each_command_is_known_as_one() -> None:
    assert set(COMMANDS) == {command.name for command in get_command(app).commands.values()}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("ahead", "words"), [(90, "in 1 min"), (1, "in 1 s"), (0, "due"), (-3, "due"), (-7200, "due")])
def test_a_run_whose_time_is_over_is_due(ahead: int, words: str) -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    at = now + timedelta(seconds=ahead)
    assert soon(at, now) == soon(at.isoformat(), now) == words
    assert soon(None, now) == "never"
