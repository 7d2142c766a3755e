"""Globs: what they take, and that no name makes them slow."""

from __future__ import annotations

import time

import pytest

from syncd.domain import Glob


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("*-*-*-*-*-key", "-" * 255),
        ("*a*a*a*a*a*a*a*b", "a" * 2000),
        ("**/a/**/a/**/a/**/b", "/".join("a" * 900)),
        ("**/*x*x*x*x*y/**/z", "/".join(["x" * 60] * 30)),
        ("*" * 200 + "b", "a" * 2000),
    ],
)
def test_no_name_makes_a_glob_slow(glob: str, name: str) -> None:
    began = time.process_time()
    assert not Glob(glob).matches(name)
    assert time.process_time() - began < 0.5, "an expression takes minutes and more for it"


def test_a_glob_is_no_text_and_a_text_is_no_glob() -> None:
    assert Glob("a/*") != "a/*" and str(Glob("a/*")) == "a/*"
    assert Glob("a/*").matches("a/*") and not Glob("a/b").matches("a/*")
