"""Whether two globs can take one name."""

from __future__ import annotations

import pytest

from syncd.domain import Glob
from syncd.domain.overlap import may_overlap


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("secret/app/**", "legacy/**", False),
        ("secret/app/**", "secret/app/legacy/**", True),
        ("secret/app/*", "secret/app/x/y", False),
        ("secret/app/*", "app/x", False),
        ("secret/app/x", "secret/app/x", True),
        ("secret/app/x", "secret/app/y*", False),
        ("prod/*-key", "prod/test-*", True),
        ("prod/*-key", "prod/*-cert", False),
        ("**/x", "a/b/c/y", False),
        ("**/x", "a/b/c/x", True),
        ("a/**", "a", False),
        ("**", "anything/at/all", True),
    ],
)
def test_examples(one: str, other: str, meets: bool) -> None:
    assert may_overlap(Glob(one), Glob(other)) is meets
