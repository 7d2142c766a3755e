"""What of a listing is read in an older version, by path or by the very secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain import Glob, Rule, SecretRef, Snapshot, SourceEntry, Version
from syncd.domain.decisions import Rollback
from syncd.reconcile.observe.rolled_back import RolledBack

NOW = datetime(2026, 11, 29, tzinfo=UTC)
OLD = Version(token="kv2:1@x", number=1)
ROLLBACK = Rollback(
    source="vault", path="kv/a", version=OLD, label="1", at=NOW, until=NOW + timedelta(days=1), by="alice", reason="leaked"
)  # fmt: skip
SEEN = Snapshot(mount="kv/", mount_id="uuid")


def entry(path: str, number: int = 3, pin: str = "") -> SourceEntry:
    version = Version(token=f"kv2:{number}@x", number=number)
    return SourceEntry(ref=SecretRef(source="new", path=path), version=version, updated_at=NOW, pin=pin)


@pytest.mark.parametrize(
    ("by_path", "by_secret", "listed", "is_older"),
    [
        ({"kv/a": ROLLBACK}, {}, entry("kv/a"), True),
        ({}, {("uuid", "a"): ROLLBACK}, entry("kv/a"), True),
        ({}, {("another", "a"): ROLLBACK}, entry("kv/a"), False),
        ({"kv/a": ROLLBACK}, {}, entry("kv/b"), False),
        ({"kv/a": ROLLBACK}, {}, entry("kv/a", pin="2"), False),
    ],
)
def test_what_is_read_in_an_older_version(
    by_path: dict[str, Rollback], by_secret: dict[tuple[str, str], Rollback], listed: SourceEntry, is_older: bool
) -> None:
    held = RolledBack(by_path, by_secret)
    wanted = held.as_wanted(listed, SEEN)
    assert (wanted.read_as, wanted.version) == (("1", OLD) if is_older else (listed.read_as, listed.version))
    assert (listed.ref.path in held.words) is is_older
    assert held.newest == ({"kv/a": "kv2:3@x"} if is_older else {})
    assert not is_older or "3 at the source waits" in held.words["kv/a"]


def rule(path: str) -> Rule:
    return Rule(index=0, source="new", path=Glob(path), field="*", name="{path}")


@pytest.mark.parametrize(
    ("rules", "mounts", "selected"),
    [
        (["kv/*"], {"kv/": "uuid"}, {"kv/a"}),
        (["kv/b"], {"kv/": "uuid"}, set()),
        (["team/kv/*"], {"team/kv/": "uuid"}, {"team/kv/a"}),
        (["kv/*"], {"kv/": "another"}, set()),
    ],
)
def test_which_rolled_back_paths_the_rules_select(rules: list[str], mounts: dict[str, str], selected: set[str]) -> None:
    held = RolledBack({}, {("uuid", "a"): ROLLBACK})
    found = held.selected([rule(path) for path in rules], mounts)
    assert found == selected
    assert held.former_paths(found, mounts) == ({"kv/a"} if selected else set())
