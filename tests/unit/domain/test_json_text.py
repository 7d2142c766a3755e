"""JSON goes as it was written."""

from __future__ import annotations

import pytest

from syncd.domain import Glob, Rule, SecretValue
from syncd.domain.json_text import loads
from syncd.domain.values import as_text, canonical, extract, fields_of
from syncd.errors import BadValue

RULE = Rule(index=0, source="aws", path=Glob("a"), field="*", name="{field}")


@pytest.mark.parametrize("literal", ["1.10", "1.0", "0.1000000000000000055511151231257827", "1E5", "1e+05", "-0.0", "-0", "9007199254740993", "1.7976931348623157e999", "12345678901234567890.5"])  # fmt: skip
def test_a_number_goes_as_it_was_written(literal: str) -> None:
    document = SecretValue(f'{{"n": {literal}, "deep": [{{"m": {literal}}}]}}')
    assert extract(document, RULE, "n").reveal() == literal
    assert extract(document, RULE, "deep").reveal() == f'[{{"m":{literal}}}]'


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_what_json_cannot_say_fails_by_name(literal: str) -> None:
    assert fields_of(SecretValue(f'{{"n": {literal}}}')) is None
    with pytest.raises(BadValue):
        as_text(float(literal.replace("Infinity", "inf")))
    with pytest.raises(BadValue):
        as_text({"a": {1, 2}})


def test_a_byte_order_mark_is_no_part_of_json() -> None:
    assert fields_of(SecretValue('\ufeff{"a": 1}')) == ("a",)
    assert (
        extract(
            SecretValue("\ufefftext"),
            Rule(**{**{f: getattr(RULE, f) for f in RULE.__dataclass_fields__}, "field": None}),
            None,
        ).reveal()
        == "\ufefftext"
    )


def test_a_changed_literal_is_another_version_of_kv_v1() -> None:
    assert canonical(SecretValue(loads('{"n":1.10}'))) != canonical(SecretValue(loads('{"n":1.1}')))
