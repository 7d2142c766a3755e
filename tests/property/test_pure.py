"""Names and values are total: every input gives something legal or a named error."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from syncd.domain import Glob, Rule, SecretRef, SecretValue, utf16_length
from syncd.domain.naming import legal, wix_name
from syncd.domain.values import extract
from syncd.errors import BadName, BadValue

LAW = {"api": r"[A-Za-z0-9_+=\-@#$]{1,50}", "dashboard": r"[A-Za-z0-9_\-]{1,40}"}
TEXT = st.text(max_size=120)
SEGMENTS = st.lists(st.text("ab*.", min_size=1, max_size=3), min_size=1, max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(TEXT, st.sampled_from(sorted(LAW)))
def test_every_text_gives_a_legal_name_or_a_named_error(text: str, profile: str) -> None:
    try:
        name = legal(text, profile)
    except BadName as error:
        assert error.hint
        return
    assert re.fullmatch(LAW[profile], name)
    assert not name.lower().startswith("wix")
    assert legal(text, profile) == name
    if re.fullmatch(LAW[profile], text):
        assert name == text, "a legal text is its own name"


@given(TEXT, TEXT)
def test_long_texts_that_differ_stay_different(one: str, other: str) -> None:
    long = ["a" * 60 + text for text in (one, other)]
    assert (legal(long[0]) == legal(long[1])) == (one == other)


@given(st.lists(TEXT.filter(lambda t: t and "/" not in t), min_size=1, max_size=4), TEXT)
def test_mapping_is_total(segments: list[str], field: str) -> None:
    path = "/".join(["kv", *segments])
    rule = Rule(index=0, source="s", path=Glob("kv/**"), field="*", name="{source}.{mount}.{path}.{basename}.{field}")
    assert re.fullmatch(LAW["api"], wix_name(rule, SecretRef(source="s", path=path, field=field), "kv"))


@given(st.dictionaries(TEXT, JSON, max_size=4), TEXT)
def test_every_value_gives_legal_text_or_a_named_error(fields: dict[str, object], other: str) -> None:
    rule = Rule(index=0, source="s", path=Glob("kv/**"), field="*", name="{path}")
    for field in (*fields, other):
        try:
            text = extract(SecretValue(fields), rule, field).reveal()
        except BadValue as error:
            assert error.hint
            continue
        assert 1 <= utf16_length(text) <= 3500
        raw = fields[field]
        assert text == raw if isinstance(raw, str) else json.loads(text) == raw


@given(SEGMENTS, st.lists(st.text("ab.", min_size=1, max_size=3), min_size=1, max_size=5))
def test_pruning_never_hides_what_the_glob_takes(glob: list[str], path: list[str]) -> None:
    if Glob("/".join(glob)).matches("/".join(path)):
        for depth in range(len(path)):
            assert Glob("/".join(glob)).may_lead_to("/".join(path[:depth]))
