"""The text that goes to Wix, and what cannot go; a value shows itself nowhere."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from syncd.domain import Glob, Rule, SecretValue
from syncd.domain.values import extract, fields_of
from syncd.errors import BadValue


def rule(path: str = "kv/**", **more: object) -> Rule:
    return Rule(**{"index": 0, "source": "v", "path": Glob(path), "field": "*", "name": "{path}_{field}", **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a\r\n", "a\r\n"),
        (5, "5"),
        (True, "true"),
        (None, "null"),
        ([1, "a"], '[1,"a"]'),
        ({"a": 1}, '{"a":1}'),
        ("ü", "ü"),
    ],
)
def test_values(raw: object, text: str) -> None:
    assert extract(SecretValue({"f": raw}), rule(), "f").reveal() == text


@pytest.mark.parametrize("raw", ["", "x" * 3501, "\U0001f511" * 1751, "\ud800"])
def test_bad_values_name_the_fix_and_hide_the_value(raw: str) -> None:
    with pytest.raises(BadValue) as caught:
        extract(SecretValue({"f": raw}), rule(), "f")
    assert caught.value.hint and "xxx" not in caught.value.message


def test_whole_documents() -> None:
    assert extract(SecretValue({"b": 1, "a": {"c": []}}), rule(), None).reveal() == '{"b":1,"a":{"c":[]}}'
    assert extract(SecretValue("text"), rule(), None).reveal() == "text"
    assert extract(SecretValue(b"\x00"), rule(binary=True), None).reveal() == "AA=="
    with pytest.raises(BadValue, match="binary"):
        extract(SecretValue(b"\x00"), rule(), None)
    assert fields_of(SecretValue('{"b":1,"a":2}')) == ("a", "b")
    assert fields_of(SecretValue("[1]")) is None and fields_of(SecretValue(b"x")) is None


def test_a_secret_value_shows_itself_nowhere() -> None:
    value = SecretValue("planted")
    shown = [repr(value), str(value), f"{value}", f"{value:>20}", repr([value]), json.dumps(value, default=str)]
    shown += [repr(pickle.loads(pickle.dumps(value))), pickle.dumps(value).decode("latin-1")]
    assert not any("planted" in text for text in shown)
    assert copy.deepcopy(value).reveal() == "planted"
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(value)).reveal()
    with pytest.raises(TypeError):
        json.dumps(value)
