"""What a database's error means to a person."""

from __future__ import annotations

import psycopg
import pytest

from syncd.errors import LedgerError
from syncd.ledger.faults import translated


@pytest.mark.parametrize(
    ("error", "told", "hint"),
    [
        (psycopg.errors.TooManyConnections, "no room: connections, memory or disk (SQLSTATE 53300)", "limits"),
        (psycopg.errors.AdminShutdown, "stops, or starts (SQLSTATE 57P01)", "tried again"),
        (psycopg.errors.DeadlockDetected, "another process worked on the same rows (SQLSTATE 40P01)", "run it again"),
        (psycopg.errors.UndefinedTable, "the server reports a fault (SQLSTATE 42P01)", "its log"),
        (psycopg.errors.InsufficientPrivilege, "may not do this (SQLSTATE 42501)", "all rights"),
        (psycopg.InterfaceError, "the server reports a fault (InterfaceError)", "its log"),
    ],
)
def test_a_fault_of_postgresql_is_told_with_its_code(error: type[psycopg.Error], told: str, hint: str) -> None:
    from sqlalchemy.exc import DBAPIError

    with pytest.raises(LedgerError, match="cannot be used") as caught, translated("postgresql://db"):
        raise DBAPIError("SELECT planted", {}, error("planted text"))
    assert told in caught.value.message and hint in caught.value.hint and "planted" not in caught.value.message
