"""Find the table of a SQLite ledger with a value that no version of syncd wrote there: asked after a bug.

SQLite keeps any kind of value in any column ("Datatypes in SQLite"), so a flipped bit in a row's header turns a
text into bytes or into NULL. Rows that matter have a checksum; code that reads the others may fail anywhere.
"""

from __future__ import annotations

from sqlalchemy import Column, Connection, String, Table, func, literal, or_, select
from sqlalchemy.exc import SQLAlchemyError

from syncd.ledger import schema as tables


def damaged_table(connection: Connection) -> str:
    """The first table with a value of another kind than its column's; empty for none, and for PostgreSQL.

    Each row is looked at, by the database alone: about a second for a million.
    """
    if connection.dialect.name != "sqlite":
        return ""
    return next((table.name for table in tables.metadata.sorted_tables if _is_damaged(connection, table)), "")


def _is_damaged(connection: Connection, table: Table) -> bool:
    odd = or_(*(func.typeof(column).not_in(_kinds_of(column)) for column in table.columns))
    try:
        return connection.execute(select(literal(1)).select_from(table).where(odd).limit(1)).first() is not None
    except SQLAlchemyError:
        return True  # not even that can be read


def _kinds_of(column: Column[object]) -> list[str]:
    kind = "text" if isinstance(column.type, String) else "integer"
    return [kind, "null"] if column.nullable else [kind]
