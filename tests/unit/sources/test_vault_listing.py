"""Listing by LIST where trees are deep, folders fail or one answer would be too large. No server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.domain import Glob, Rule
from syncd.errors import SourceUnavailable
from syncd.sources.vault.answers import StatusError
from syncd.sources.vault.source import VaultSource, _concerns

METADATA = {"current_version": 1, "versions": {"1": {"created_time": "2026-01-01T00:00:00Z"}},
            "created_time": "2026-01-01T00:00:00Z"}  # fmt: skip


class Client:
    name = "vault"

    def __init__(self, answer: Callable[[str, str], Any], kv: int = 2) -> None:
        self.answer, self.mount, self.kv, self.asked = answer, "kv/", kv, list[str]()

    def get(self, method: str, path: str, *_: Any, **__: Any) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        if "mounts" in path:
            options = {"version": str(self.kv)}
            return {"data": {"type": "kv", "path": self.mount, "options": options, "uuid": "u"}}
        given = self.answer(method, path)
        if isinstance(given, Exception):
            raise given
        return {"data": given}


def source(answer: Callable[[str, str], Any], kv: int = 2) -> tuple[VaultSource, Client]:
    client: Any = Client(answer, kv)
    return VaultSource(client, lambda: datetime(2026, 11, 29, tzinfo=UTC)), client


def rule(path: str, *exclude: str) -> Rule:
    return Rule(index=0, source="vault", path=Glob(path), field="*", name="{path}", exclude=tuple(map(Glob, exclude)))


def listing(method: str, path: str) -> Any:
    if method == "scan":
        return StatusError(405, (), {})
    if method == "get":
        return METADATA
    keys = {"kv/metadata/": ["a/", "b/", "c"], "kv/metadata/a": ["x"], "kv/metadata/b": ["y"]}
    return {"keys": keys[path]} if path in keys else StatusError(404, (), {"errors": []})


@pytest.mark.parametrize("depth", [900, 5000])
def test_a_deep_tree_is_listed_or_told_and_ends_nothing(depth: int) -> None:
    def answer(_method: str, path: str) -> Any:
        level = path.count("/")
        return {"keys": ["deep/"] if level < depth else ["leaf"]} if not path.endswith("leaf") else {"v": "1"}

    one, _ = source(answer, kv=1)
    seen = one.snapshot(rule("kv/**"))
    assert bool(seen.entries) is not bool(seen.failures), "it is found, or its folder is told as too long"


@pytest.mark.parametrize("bad", ["kv/metadata/a", "kv/metadata/b"])
@pytest.mark.parametrize("fault", [SourceUnavailable("HTTP 500"), StatusError(403, (), {}), StatusError(499, (), {})])
def test_a_folder_that_fails_leaves_the_others(bad: str, fault: Exception) -> None:
    one, _ = source(lambda method, path: fault if path == bad else listing(method, path))
    seen = one.snapshot(rule("kv/**"))
    expected = {"kv/a/x", "kv/b/y", "kv/c"} - {"kv/a/x" if bad.endswith("a") else "kv/b/y"}
    assert {entry.ref.path for entry in seen.entries} == expected
    assert not seen.complete and [failure.location for failure in seen.failures] == [f"kv/{bad[-1]}/"]


def test_a_server_that_is_gone_is_asked_for_no_other_folder() -> None:
    gone = SourceUnavailable("does not answer", whole=True)
    one, client = source(lambda method, path: gone if path == "kv/metadata/" else listing(method, path))
    with pytest.raises(SourceUnavailable):
        one.snapshot(rule("kv/**"))
    assert not any("metadata/a" in path for path in client.asked)


def test_what_is_too_large_for_one_answer_is_listed_folder_by_folder() -> None:
    large = SourceUnavailable("answers with more than 16 MB", whole=True, stalled=True, too_large=True)
    one, client = source(lambda method, path: large if method == "scan" else listing(method, path))
    for _ in range(2):
        seen = one.snapshot(rule("kv/**"))
        assert seen.complete and {entry.ref.path for entry in seen.entries} == {"kv/a/x", "kv/b/y", "kv/c"}
    assert sum(asked.startswith("scan") for asked in client.asked) == 1, "it is not tried in every cycle"


@pytest.mark.parametrize("only_folders", [True, False], ids=["folders alone", "nothing"])
@pytest.mark.parametrize("base", ["", "app/in/"], ids=["the mount", "a folder"])
def test_too_large_for_one_answer_and_nothing_at_all_contradict_each_other(base: str, only_folders: bool) -> None:
    """A glob that takes nothing of a large mount is true; a mount that lists nothing is not so large."""
    large = SourceUnavailable("answers with more than 16 MB", whole=True, stalled=True, too_large=True)
    keys: dict[str, Any] = {"keys": ["team/"]} if only_folders else {}

    def listed(method: str, path: str) -> Any:
        if method == "scan":
            return large
        return (
            keys
            if path.rstrip("/") == f"kv/metadata/{base}".rstrip("/") and keys
            else StatusError(404, (), {"errors": []})
        )

    one, _ = source(listed)
    for _ in range(2):
        seen = one.snapshot(rule(f"kv/{base}*/db"))
        assert not seen.entries and seen.complete is only_folders
        assert [failure.message for failure in seen.failures] == ([] if only_folders else [large.message])


def test_a_folder_of_too_many_keys_is_its_rules_own_fault() -> None:
    keys = {"keys": [f"k{number}" for number in range(50_001)]}
    one, _ = source(lambda method, path: keys if path == "kv/metadata/a" else listing(method, path))
    seen = one.snapshot(rule("kv/**"))
    assert {entry.ref.path for entry in seen.entries} == {"kv/b/y", "kv/c"}
    assert [failure.location for failure in seen.failures] == ["kv/a/"]


@pytest.mark.parametrize(
    ("exclude", "concerns"),
    [
        ("kv/app/**", False), ("kv/**", False), ("kv/*/**", False), ("kv/a*/**", False),
        ("kv/app/x**", True), ("kv/app/*x**", True), ("kv/app/*", True), ("kv/other/**", True), ("kv/app**", True),
    ],
)  # fmt: skip
def test_a_folder_that_fails_is_told_unless_it_is_excluded_whole(exclude: str, concerns: bool) -> None:
    assert _concerns(rule("kv/**", exclude), "kv/app/") is concerns


def test_a_mount_that_was_removed_answers_for_nothing_any_more() -> None:
    """An inner mount went, and the outer one has the path now: what is read goes there."""
    one, client = source(lambda *_: METADATA)
    client.mount = "kv/inner/"
    assert one.snapshot(rule("kv/inner/x")).mount == "kv/inner/"
    client.mount = "kv/"
    entry = one.snapshot(rule("kv/inner/x")).entries[0]
    list(one.read([entry]))
    assert client.asked[-1] == "get kv/data/inner/x"
