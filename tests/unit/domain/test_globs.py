"""What a glob takes, and where a walk may stop."""

from __future__ import annotations

import pytest

from syncd.domain import Glob


@pytest.mark.parametrize(
    ("glob", "takes", "leaves"),
    [
        ("a/*", ["a/b"], ["a", "a/", "a/b/c"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a"]),
        ("**/z", ["z", "a/z", "a/b/z"], ["z/a"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a/b"]),
        ("a*c/d", ["ac/d", "abc/d"], ["ab/c/d"]),
        ("**", ["a", "a/b"], [""]),
        ("a.b/*", ["a.b/c"], ["axb/c"]),
    ],
)
def test_globs(glob: str, takes: list[str], leaves: list[str]) -> None:
    assert [path for path in takes + leaves if Glob(glob).matches(path)] == takes


def test_walking_is_pruned_but_never_too_much() -> None:
    assert Glob("app/*/x").may_lead_to("app") and Glob("app/*/x").may_lead_to("app/y")
    assert not Glob("app/*/x").may_lead_to("app/y/z")
    assert Glob("**/x").may_lead_to("any/where") and not Glob("app/**").may_lead_to("other")
