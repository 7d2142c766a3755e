"""Where a path lies and which secret it means, whatever else its source lists."""

from __future__ import annotations

import pytest

from syncd.domain.places import place_of, secret_at

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
