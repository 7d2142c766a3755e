"""The name that a rule gives to a secret, and what Wix takes."""

from __future__ import annotations

import pytest

from syncd.domain import Glob, Rule, SecretRef
from syncd.domain.naming import legal, matched_part, wix_name
from syncd.errors import BadName

REF = SecretRef(source="v", path="kv/app/x", field="f")


def rule(path: str = "kv/**", **more: object) -> Rule:
    return Rule(**{"index": 0, "source": "v", "path": Glob(path), "field": "*", "name": "{path}_{field}", **more})  # type: ignore[arg-type]


def test_the_matched_part() -> None:
    assert matched_part(rule("kv/app/**"), "kv/app/x/y") == "x/y"
    assert matched_part(rule("kv/a*/b"), "kv/app/b") == "app/b"
    assert matched_part(rule("kv/app/x"), "kv/app/x") == "x"


def test_names() -> None:
    assert wix_name(rule("kv/app/**"), REF) == "x_f"
    assert legal("a b/ü\U0001f511") == "a_b___"
    long = "x" * 60
    assert legal(long) == "x" * 41 + "-" + legal(long)[-8:] and len(legal(long)) == 50
    assert legal("a/" * 30) != legal("a_" * 30), "cut names differ by what they were before"
    assert len(legal(long, "dashboard")) == 40 and legal("a+b=c@#$", "dashboard") == "a_b_c___"
    for bad in ("wix_key", "WIXER", ""):
        with pytest.raises(BadName):
            legal(bad)
