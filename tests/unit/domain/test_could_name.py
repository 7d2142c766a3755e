"""Which names a rule could give to what was not seen: never fewer than it gives."""

from __future__ import annotations

import pytest

from syncd.domain import Glob, Rule
from syncd.domain.naming import could_name


def rule(name: str, path: str = "kv/**", field: str | None = "*") -> Rule:
    return Rule(index=0, source="vault", path=Glob(path), field=field, name=name)


@pytest.mark.parametrize(
    ("one", "name", "could"),
    [
        (rule("PAY_{path}_{field}"), "FEED_x_y", False),
        (rule("PAY_{path}_{field}"), "pay_x_y", True),
        (rule("{path}_key"), "a_key", True),
        (rule("{path}_key"), "a_secret", False),
        (rule("{path}_{field}", "kv/app/db"), "db_user", True),
        (rule("{path}_{field}", "kv/app/db"), "cache_user", False),
        (rule("{path}_{field}", "kv/app/db", "user"), "db_password", False),
        (rule("ONE", "kv/app/db", "user"), "ONE", True),
        (rule("ONE", "kv/app/db", "user"), "TWO", False),
    ],
)
def test_which_it_could_not(one: Rule, name: str, could: bool) -> None:
    assert could_name(one, name, None, "kv") is could
