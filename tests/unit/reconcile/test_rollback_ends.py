"""Which rollback a person means who ends one."""

from __future__ import annotations

import operator
from datetime import UTC, datetime

import pytest

from syncd.domain import Record, SecretRef, Version
from syncd.domain.decisions import Rollback
from syncd.errors import ConfigError
from syncd.reconcile.rollback import ended_paths

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROW = Record(site="s", name="N", target="t", job="j", ref=SecretRef(source="second", path="kv/x", field="v"))


def held(source: str, path: str = "kv/x") -> dict[tuple[str, str], Rollback]:
    item = Rollback(
        source=source, path=path, version=Version(token="1"), label="1", at=NOW, until=NOW, by="me", reason="x"
    )
    return {(source, path): item}


def nothing(_source: str, _path: str) -> None:
    """No rollback holds it under another name."""


@pytest.mark.parametrize("what", ["N", "kv/x", "second:kv/x"])
def test_it_is_found_by_the_name_the_path_and_both(what: str) -> None:
    assert ended_paths([ROW], held("second"), what, operator.eq, nothing) == [("second", "kv/x")]


def test_one_under_a_name_that_the_source_had_is_meant_too() -> None:
    names = {"old", "second"}
    assert ended_paths([ROW], held("old"), "N", lambda one, other: {one[0], other[0]} <= names, nothing) == [
        ("old", "kv/x")
    ]


@pytest.mark.parametrize(
    ("rollbacks", "hint"),
    [
        (held("first"), "its path is, as first:kv/x: end that one"),
        (held("second", "kv/y"), "syncd state list --status rolled_back"),
        ({}, "syncd state list --status rolled_back"),
    ],
)
def test_where_none_is_meant_the_one_that_holds_it_is_named(
    rollbacks: dict[tuple[str, str], Rollback], hint: str
) -> None:
    of_path = {item.path: item for item in rollbacks.values()}
    with pytest.raises(ConfigError, match="N is not rolled back") as caught:
        ended_paths([ROW], rollbacks, "N", operator.eq, lambda _, path: of_path.get(path))
    assert hint in caught.value.hint
