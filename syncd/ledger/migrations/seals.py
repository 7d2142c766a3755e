"""Checksums of rows before and after the steps."""

from __future__ import annotations

import zlib

from sqlalchemy import Connection, select

from syncd.ledger import schema as tables
from syncd.ledger.rows import sealed
from syncd.ledger.statements import upsert


def see_that_rows_are_whole(connection: Connection, version: int) -> None:
    """The checksums of the schema as it was, before anything is written over them. Raises ValueError."""
    sealed: dict[str, tuple[str, ...]] = {}
    if version >= 2:
        sealed = {"syncd_records": ("adopted", "unverified"), "syncd_paths": (), "syncd_mounts": ()}
    if version >= 3:
        sealed["syncd_ids"] = ("adopted",)
    for table, booleans in sealed.items():
        for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings():  # noqa: S608  # a fixed name
            plain = [
                (key, bool(row[key]) if key in booleans else row[key]) for key in sorted(map(str, row)) if key != "seal"
            ]
            if row["seal"] != zlib.crc32(repr(plain).encode("utf-8", "surrogatepass")):
                raise ValueError("seal")


def seal(connection: Connection) -> None:
    """Every row's checksum, over the columns of today; the tables are today's by now."""
    for table in (tables.records, tables.paths, tables.mounts, tables.ids):
        rows = [dict(row) for row in connection.execute(select(table)).mappings()]
        upsert(connection, table, [sealed(row) for row in rows])
