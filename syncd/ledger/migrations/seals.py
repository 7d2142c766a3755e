"""Checksums of rows before and after the steps."""

from __future__ import annotations

import zlib

from sqlalchemy import Connection, select

from syncd.ledger import schema as tables
from syncd.ledger.rows import sealed
from syncd.ledger.statements import upsert


def see_that_rows_are_whole(connection: Connection, version: int) -> None:
    """Compare the rows with the checksums of the old schema, before a step overwrites them.

    Raises ValueError for a row that differs.
    """
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
    """Give every row its checksum, over the columns of today. Called after the last step."""
    for table in (tables.records, tables.paths, tables.mounts, tables.ids):
        rows = [dict(row) for row in connection.execute(select(table)).mappings()]
        upsert(connection, table, [sealed(row) for row in rows])
