"""The chain of the audit trail: whatever is done to its lines is seen, and where."""

from __future__ import annotations

from itertools import combinations

import pytest

from syncd.domain.audit_chain import KEYS, canonical
from tests.support.audit_lines import as_stored, first_break, sealed, stored, written


def test_a_line_has_every_key_and_says_who_and_why() -> None:
    (line,) = written("A")
    assert set(line) == set(KEYS)
    assert line["at"] == "2026-11-28T12:00:00.000007Z" and line["prev"] == "0" * 64
    assert line["actor"] == {"kind": "person", "id": "ann@desk", "via": "syncd sync"} and line["reason"] == "ticket 7"


@pytest.mark.parametrize("key", sorted(set(KEYS) - {"seq", "prev", "hash"}))
@pytest.mark.parametrize("at", range(5))
def test_an_altered_line_is_seen_where_it_is(at: int, key: str) -> None:
    lines = written(*"ABCDE")
    altered = {**lines[at], key: {"kind": "x", "id": "y"} if key == "actor" else "2001-01-01T00:00:00.000000Z"}
    rows = stored(lines)
    rows[at] = (at + 1, canonical(altered), as_stored(altered))
    found = first_break(rows)
    assert found is not None and found[0] == at + 1


@pytest.mark.parametrize("at", range(5))
def test_a_line_that_was_sealed_anew_is_seen_at_the_next(at: int) -> None:
    lines = written(*"ABCDEF")
    altered = {**lines[at], "name": "OTHER"}
    altered["hash"] = sealed(altered)
    rows = stored(lines)
    rows[at] = (at + 1, canonical(altered), as_stored(altered))
    assert first_break(rows) == (at + 2, "does not follow the line before it: one was altered, put in or moved")


@pytest.mark.parametrize("at", range(5))
def test_a_removed_line_is_seen(at: int) -> None:
    rows = stored(written(*"ABCDEF"))
    del rows[at]
    assert first_break(rows) == (at + 1, "was removed")


@pytest.mark.parametrize(("one", "other"), list(combinations(range(5), 2)))
def test_lines_that_changed_places_are_seen(one: int, other: int) -> None:
    rows = stored(written(*"ABCDE"))
    (seq, first, columns), (last, second, others) = rows[one], rows[other]
    rows[one], rows[other] = (seq, second, others), (last, first, columns)
    found = first_break(rows)
    assert found is not None and found[0] == one + 1


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
