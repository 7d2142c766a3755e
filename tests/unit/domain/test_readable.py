"""Nested data in words."""

from __future__ import annotations

import pytest

from syncd.domain.readable import readable


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        ("text", "text"),
        (None, ""),
        ({}, ""),
        ({"a": None, "b": [], "c": {}}, ""),
        ({"why": "new", "tries": 2}, "why: new, tries: 2"),
        ({"rules": {"weak": "deny", "prod": "hold"}, "owner": "team"}, "rules: weak: deny, prod: hold; owner: team"),
        ({"tokens": {"ann": ["read", "sync"]}}, "tokens: ann: read, sync"),
        ({"unmanaged": True, "proxy": {}, "dry": False}, "unmanaged: yes, dry: no"),
        ([{"name": ["A"], "until": "2026-12-29"}, "x"], "name: A, until: 2026-12-29, x"),
    ],
)
def test_it_is_as_a_person_reads_it(thing: object, words: str) -> None:
    assert readable(thing) == words
