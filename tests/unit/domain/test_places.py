"""Where a path lies and which secret it means, whatever else its source lists."""

from __future__ import annotations

import pytest

from syncd.domain.places import lies_in, place_of, secret_at, spellings

MINE, THEIRS = "eu-west-1:111111111111", "eu-west-1:999999999999"
ACCOUNT = {"account": MINE}
BOTH = {"account": MINE, f"arn:{THEIRS}": THEIRS}
OF_MINE = f"arn:aws:secretsmanager:{MINE}:secret:app/x-AbCdEf"
OF_THEIRS = f"arn:aws:secretsmanager:{THEIRS}:secret:app/x-AbCdEf"
VAULT = {"kv/": "one", "kv/inner/": "two"}


@pytest.mark.parametrize(
    ("mounts", "path", "place", "secret"),
    [
        (ACCOUNT, "app/x", MINE, (MINE, "app/x")),
        (BOTH, "app/x", MINE, (MINE, "app/x")),
        (BOTH, "arn:odd", MINE, (MINE, "arn:odd")),
        (ACCOUNT, OF_MINE, MINE, (MINE, "app/x")),
        (ACCOUNT, OF_THEIRS, THEIRS, (THEIRS, "app/x")),
        ({f"arn:{THEIRS}": THEIRS}, "app/x", "", None),
        ({}, OF_THEIRS, THEIRS, (THEIRS, "app/x")),
        ({}, "app/x", "", None),
        (VAULT, "kv/x", "one", ("one", "x")),
        (VAULT, "kv/inner/x", "two", ("two", "x")),
        ({"moved/": "one"}, "moved/x", "one", ("one", "x")),
        (VAULT, "kvx/x", "", None),
        ({"kv/": ""}, "kv/x", "", None),
    ],
)
def test_a_path_lies_in_one_place(
    mounts: dict[str, str], path: str, place: str, secret: tuple[str, str] | None
) -> None:
    assert place_of(mounts, path) == place and secret_at(mounts, path) == secret


@pytest.mark.parametrize(
    ("path", "secret", "mounts", "named", "called"),
    [
        ("kv/x", ("one", "x"), VAULT, (), {"kv/x"}),
        ("kv/x", ("one", "x"), {"moved/": "one"}, (), {"kv/x", "moved/x"}),
        ("kv/x", ("one", "x"), {"kv/": "another"}, (), set()),
        ("kv/x", None, {"kv/": "another"}, (), {"kv/x"}),
        ("app/x", (MINE, "app/x"), ACCOUNT, (OF_MINE, OF_THEIRS), {"app/x", OF_MINE}),
        (OF_MINE, (MINE, "app/x"), ACCOUNT, (), {"app/x", OF_MINE}),
        (OF_THEIRS, (THEIRS, "app/x"), ACCOUNT, (), {OF_THEIRS}),
        ("app/x", None, {}, (OF_MINE, OF_THEIRS), {"app/x", OF_MINE, OF_THEIRS}),
    ],
)
def test_what_a_secret_may_be_called(
    path: str, secret: tuple[str, str] | None, mounts: dict[str, str], named: tuple[str, ...], called: set[str]
) -> None:
    assert spellings(path, secret, mounts, named) == called


@pytest.mark.parametrize(
    ("path", "place", "is_in"),
    [
        ("secret/a/b", "secret/a/b", True), ("secret/a/b", "secret/", True), ("secret/a/b", "secret/a/", True),
        ("secret/a/b", "secret/a", False), ("secret/ab", "secret/a/", False), ("secret/a", "other/", False),
        ("prod/x", "account", True), ("prod/x", "prod/y", False), ("prod/x", f"arn:{THEIRS}", False),
        (OF_THEIRS, f"arn:{THEIRS}", True), (OF_THEIRS, "account", False), (OF_THEIRS, OF_THEIRS, True),
    ],
)  # fmt: skip
def test_what_a_failure_names_is_the_path_or_what_it_lies_in(path: str, place: str, is_in: bool) -> None:
    assert lies_in(path, place) is is_in
