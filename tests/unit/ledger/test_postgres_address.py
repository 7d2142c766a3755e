"""What `state.url` may say: libpq's forms and options, and no other."""

from __future__ import annotations

import pytest

from syncd.errors import LedgerError
from syncd.ledger.postgres import postgres_engine


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u@h1:5431,h2:5432/db?target_session_attrs=read-write", "h1,h2"),
        ("postgresql://u:p%40w@h1,h2,h3/db", "h1,h2,h3"),
        ("postgresql://h1:1,h2:2/db", "h1,h2"),
        ("postgresql://u@/db?host=h1:1&host=h2:2", "h1,h2"),
        ("postgres://u:a+b@h/db?sslmode=verify-full", "h"),
        ("postgresql://u@[::1]:5432/db", "::1"),
    ],
)
def test_it_leads_to_these_hosts(url: str, hosts: str) -> None:
    engine = postgres_engine(url)
    _, given = engine.dialect.create_connect_args(engine.url)
    assert given["host"] == hosts and given["dbname"] == "db"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("prepare_threshold=0", "does not know: prepare_threshold"),
        ("row_factory=x", "does not know: row_factory"),
        ("autocommit=1", "does not know: autocommit"),
        ("sslmod=require", "is sslmode meant"),
        ("target_session_attr=any", "is target_session_attrs meant"),
        ("planted=1", "PostgreSQL does not know$"),
    ],
)
def test_an_option_that_is_none_is_named(option: str, told: str) -> None:
    with pytest.raises(LedgerError, match=told):
        postgres_engine(f"postgresql://u@h/db?{option}")


@pytest.mark.parametrize(
    "password",
    [
        "a?planted=b",
        "pw/?planted&x=1",
        "a@b?planted=",
        "x?y=planted",
        "?planted",
        "a,b?planted=1",
        "p,?planted@h,planted",
    ],
)
def test_nothing_of_a_password_is_shown(password: str) -> None:
    for url in (f"postgresql://u:{password}@h/db", f"postgresql://u:{password}@h1:1,h2/db"):
        try:
            postgres_engine(url)
        except LedgerError as error:
            assert "planted" not in error.message + error.hint
