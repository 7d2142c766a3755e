"""What an error of the ledger's database means to a person, and the fix."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from syncd.errors import LedgerBusy, LedgerError
from syncd.transport.fault_words import in_words

READ_ONLY = "25006"
"""PostgreSQL's read_only_sql_transaction: the server is a standby, or was made one (its error codes, appendix A)."""
REFUSALS = {r'database ".*" does not exist': "3D", r'role ".*" does not exist|authentication failed|pg_hba': "28"}
SAID_BY_POSTGRES = {
    "08": ("no connection", "see host, port and sslmode in state.url, and that the server runs and can be reached"),
    "28": ("the server refuses the user or its password", "see user and password in state.url, and pg_hba.conf"),
    "3D": ("the server has no such database", "see the database's name in state.url"),
    "42501": ("the user may not do this", "give it CREATE and all rights on its tables in the schema"),
    "40": ("another process worked on the same rows", "run it again; nothing of this was kept"),
    READ_ONLY: ("the server takes no writes", "it is a standby: let state.url lead to the primary"),
    "53": ("the server has no room: connections, memory or disk", "see its log, and its limits"),
    "57": ("the server stops, or starts", "see that it runs; tried again in the next cycle"),
}
"""By how SQLSTATE begins: what it means, and the fix."""
UNKNOWN_FAULT = ("the server reports a fault", "see that the database is there and takes connections, and its log")
DAMAGED = "restore it from a backup, or move it away: it is rebuilt from the sites"


@contextmanager
def undamaged(place: str) -> Iterator[None]:
    """Raise `LedgerError` where the code inside cannot make sense of a row: the ledger is damaged."""
    try:
        yield
    except (ValueError, TypeError, ArithmeticError, LookupError):
        raise LedgerError(f"the ledger {place} is damaged: a row is not as it was written", hint=DAMAGED) from None


ANOTHER_PATH = "name another `state.path`"
SAID_BY_SQLITE = {
    "SQLITE_FULL": ("the disk is full", "free some space, then run again; nothing was sent unrecorded"),
    "SQLITE_READONLY": ("it cannot be written", "make the file and its folder writable for this user"),
    "SQLITE_CANTOPEN": ("it cannot be opened", "see that its folder exists and is writable for this user"),
    "SQLITE_PERM": ("permission denied", "make it readable and writable for this user"),
    "SQLITE_IOERR": ("the disk fails, or is full", "look at the system's log"),
    "SQLITE_NOTADB": ("it is no SQLite file", f"it is no ledger; {ANOTHER_PATH}, or move it away"),
    "SQLITE_CORRUPT": ("it is damaged", DAMAGED),
    "UnicodeDecodeError": ("it is damaged", DAMAGED),  # … in the very message that says what is damaged
    "PermissionError": ("permission denied", "make it readable and writable for this user"),
    "SpecialFile": ("it is no regular file (a device, a pipe?)", ANOTHER_PATH),
    "IsADirectoryError": ("it is a folder", "name a file in it"),
    "NotADirectoryError": ("a part of its path is a file", ANOTHER_PATH),
    "FileNotFoundError": ("its folder is not there", "see that its folder can be made"),
    "FileExistsError": ("a part of its path is a file", ANOTHER_PATH),
}
"""By the first characters of SQLite's code (https://sqlite.org/rescode.html) or the exception's name.

Each with what it means, and the fix.
"""


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Database errors as `LedgerError`: what, where, the fix, and nothing of the statement."""
    try:
        yield
    # Whoever reads what is printed while the ledger is read has gone: nothing of the database's.
    except BrokenPipeError:
        raise
    # A ValueError is of a row that cannot be read: JSON, a number or a text that was damaged.
    except (SQLAlchemyError, sqlite3.Error, OSError, ValueError, OverflowError) as error:
        # From None: the error of a library may hold the statement with its rows.
        raise _explained(error, place) from None


def _explained(error: Exception, place: str) -> LedgerError:
    cause: BaseException = (error.orig or error) if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorname", "") or type(cause).__name__
    is_sqlite = type(cause).__module__.startswith("sqlite3")
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return LedgerBusy(f"the ledger {place} is busy", hint="another process writes it; try again")
    if isinstance(cause, ValueError) and not isinstance(cause, UnicodeError):
        return LedgerError(f"the ledger {place} is damaged: a row is not as it was written", hint=DAMAGED)
    if said := _said_by_postgres(cause):
        what, hint = said
        return LedgerError(f"the ledger {place} cannot be used: {what}", hint=hint)
    known = dict(SAID_BY_SQLITE)
    if is_sqlite:  # of sqlite3 itself: text that is no UTF-8
        known["OperationalError"] = ("a row is not as it was written", DAMAGED)
    fallback = (in_words(cause), "see that the database is there and takes connections")
    what, hint = next((told for start, told in known.items() if code.startswith(start)), fallback)
    return LedgerError(f"the ledger {place} cannot be used: {what}", hint=hint)


def _said_by_postgres(cause: BaseException) -> tuple[str, str] | None:
    """Return what an error of PostgreSQL means, and its fix; None for other errors.

    The error's own text is not used: it may hold the address.
    """
    if not type(cause).__module__.startswith("psycopg"):
        return None
    given = state = str(getattr(cause, "sqlstate", None) or "")
    if not state and type(cause).__name__ == "OperationalError":
        # Of a connection that was not made libpq gives the server's text alone.
        text = str(cause)
        state = next((state for words, state in REFUSALS.items() if re.search(words, text)), "08")
    what, hint = next((told for start, told in SAID_BY_POSTGRES.items() if state.startswith(start)), UNKNOWN_FAULT)
    return f"{what} ({f'SQLSTATE {given}' if given else type(cause).__name__})", hint
