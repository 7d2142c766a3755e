"""The chain of the audit trail: whatever is done to its lines is seen, and where."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.domain.audit import (
    EPOCH,
    FIRST,
    KEYS,
    Actor,
    Cause,
    ChainCheck,
    Entry,
    canonical,
    chained,
    columns_of,
    digest,
)

AT = datetime(2026, 11, 28, 12, 0, 0, 7, tzinfo=UTC)
WHO = Cause(actor=Actor("person", "ann@desk", "syncd sync"), reason="ticket 7")


def written(*names: str | None, stream: str = "s") -> list[dict[str, Any]]:
    entries = [Entry(event="secret.create", name=name) for name in names]
    return [line for line, _ in chained(stream, (0, FIRST), entries, WHO, AT)]


def as_stored(line: dict[str, Any]) -> dict[str, Any]:
    told = columns_of(line)
    return {**told, "at": (told["at"] - EPOCH) // timedelta(microseconds=1)}


def sealed(line: dict[str, Any]) -> str:
    return digest(canonical({key: value for key, value in line.items() if key != "hash"}))


def first_break(lines: list[tuple[int, str, dict[str, Any]]], stream: str = "s") -> tuple[int, str] | None:
    check = ChainCheck(stream)
    found = (check.take(seq, text, columns) for seq, text, columns in lines)
    return next(((broken.seq, broken.what) for broken in found if broken), None)


def stored(lines: list[dict[str, Any]]) -> list[tuple[int, str, dict[str, Any]]]:
    return [(line["seq"], canonical(line), as_stored(line)) for line in lines]


def test_a_line_has_every_key_and_says_who_and_why() -> None:
    (line,) = written("A")
    assert set(line) == set(KEYS)
    assert line["at"] == "2026-11-28T12:00:00.000007Z" and line["prev"] == "0" * 64
    assert line["actor"] == {"kind": "person", "id": "ann@desk", "via": "syncd sync"} and line["reason"] == "ticket 7"


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_the_stored_text_is_the_canonical_form(name: str, detail: dict[str, str]) -> None:
    entry = Entry(event="secret.create", name=name, detail={**detail, "intent": ',"intent":'})
    ((line, text),) = chained("s", (0, FIRST), [entry], WHO, AT)
    assert text == canonical(line) and json.loads(text) == line
    assert line["hash"] == sealed(line)


@given(st.lists(st.text(), max_size=6))
def test_what_is_whole_is_whole(names: list[str]) -> None:
    lines = written(*names)
    assert [line["seq"] for line in lines] == list(range(1, len(names) + 1))
    assert first_break(stored(lines)) is None


@given(st.integers(0, 4), st.sampled_from(sorted(set(KEYS) - {"seq", "prev", "hash"})))
def test_an_altered_line_is_seen_where_it_is(at: int, key: str) -> None:
    lines = written(*"ABCDE")
    altered = {**lines[at], key: {"kind": "x", "id": "y"} if key == "actor" else "2001-01-01T00:00:00.000000Z"}
    rows = stored(lines)
    rows[at] = (at + 1, canonical(altered), as_stored(altered))
    found = first_break(rows)
    assert found is not None and found[0] == at + 1


@given(st.integers(0, 4))
def test_a_line_that_was_sealed_anew_is_seen_at_the_next(at: int) -> None:
    lines = written(*"ABCDEF")
    altered = {**lines[at], "name": "OTHER"}
    altered["hash"] = sealed(altered)
    rows = stored(lines)
    rows[at] = (at + 1, canonical(altered), as_stored(altered))
    assert first_break(rows) == (at + 2, "does not follow the line before it: one was altered, put in or moved")


@given(st.integers(0, 4))
def test_a_removed_line_is_seen(at: int) -> None:
    rows = stored(written(*"ABCDEF"))
    del rows[at]
    assert first_break(rows) == (at + 1, "was removed")


@given(st.integers(0, 4), st.integers(0, 4))
def test_lines_that_changed_places_are_seen(one: int, other: int) -> None:
    rows = stored(written(*"ABCDE"))
    if one != other:
        (seq, first, columns), (last, second, others) = rows[one], rows[other]
        rows[one], rows[other] = (seq, second, others), (last, first, columns)
        found = first_break(rows)
        assert found is not None and found[0] == min(one, other) + 1


@pytest.mark.parametrize("column", ["at", "event", "outcome", "site", "name", "job", "actor"])
def test_a_column_that_says_something_else_is_seen(column: str) -> None:
    rows = stored(written("A", "B"))
    rows[1][2][column] = None
    rows[0][2][column] = "other"
    assert first_break(rows) == (1, "was altered")


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "{", '{"seq":1}', '"x"', "7"])
def test_what_is_no_line_is_seen(text: str) -> None:
    ((seq, _, columns),) = stored(written("A"))
    assert first_break([(seq, text, columns)]) == (1, "was altered")


def test_another_form_of_the_same_line_is_seen() -> None:
    ((seq, text, columns),) = stored(written("A"))
    assert first_break([(seq, text.replace(",", ", ", 1), columns)]) == (1, "was altered")
    assert first_break([(seq, text, columns)]) is None


def test_a_line_of_another_stream_is_seen() -> None:
    rows = stored(written("A", stream="other"))
    for _, _, columns in rows:
        columns["stream"] = "s"
    assert first_break(rows) == (1, "was altered")
