"""A ledger as plain data, to move it from SQLite to PostgreSQL or to another place.

Fingerprints never leave the ledger. A record that arrives without one is compared, or written once more, when its
verification is due; until then its version says that nothing changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Boolean, Column, Integer, Table, func, select

from syncd.domain import is_fingerprint
from syncd.domain.audit import CONTROL, Entry
from syncd.errors import ConfigError, LedgerError
from syncd.ledger import schema as tables
from syncd.ledger.audit import append
from syncd.ledger.decisions import JUMPED_AT, JUMPED_BY
from syncd.ledger.migrations import CURRENT
from syncd.ledger.rows import sealed, without_fingerprints
from syncd.ledger.statements import upsert
from syncd.ledger.store import Ledger


def _are_names(value: object) -> bool:
    try:
        names = json.loads(value) if isinstance(value, str) else None
    except ValueError:
        return False
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _is_microseconds(value: object, most: int) -> bool:
    is_number = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) is not None
    return is_number and abs(int(str(value))) <= most


FORMAT = "syncd-ledger/1"
MOVED = (
    tables.records, tables.ids, tables.joined_sites, tables.paths, tables.mounts, tables.troubles, tables.grants,
    tables.history, tables.runs, tables.pauses, tables.rollbacks, tables.aliases, tables.news,
)  # fmt: skip
"""What is moved."""
STAYS = {
    tables.meta: "of this very ledger: its schema, its key, its chains; but for FACTS",
    tables.locks: "of a moment", tables.requests: "of a moment", tables.sessions: "logins at one daemon",
    tables.facts: "judged anew when values are read", tables.listings: "listed anew by the next cycle",
    tables.held: "held anew by the next cycle", tables.batches: "with them", tables.notices: "told anew",
    tables.counts: "counted by triggers",
    tables.audit: "a chain of its own, which begins with the import; export the old one: syncd audit export",
    tables.audit_heads: "the same", tables.audit_open: "the same", tables.audit_findings: "the same",
    tables.audit_checkpoints: "the same", tables.audit_shipped: "the same", tables.audit_pruned: "the same",
}  # fmt: skip
"""Tables that are not moved, and why."""
LONGEST_JUMP = 100 * 365 * timedelta(days=1) // tables.MICROSECOND
FACTS: dict[str, Callable[[object], bool]] = {
    "former_owners": _are_names,
    JUMPED_AT: partial(_is_microseconds, most=tables.LAST_INSTANT),
    JUMPED_BY: partial(_is_microseconds, most=LONGEST_JUMP),
}
"""Keys of `meta` that are moved, each with a check of its value.

Cycles judge by them: marks of former owners are still at Wix, and protections end late after a clock jumped.
"""
LEFT_OUT = {"seal", "fingerprint", "id"}
"""Columns that no export has: `seal` and `id` (the order of the history's lines) are made anew, fingerprints later."""
NOT_AN_EXPORT = "make one with: syncd state export --full > FILE"


def exported(ledger: Ledger, owner: str) -> dict[str, Any]:
    """Return the tables in `MOVED` and the facts in `FACTS`, without fingerprints. Raises `LedgerError`."""
    with ledger.reading() as connection:
        # In the order of their keys: the history's lines are numbered anew as they come.
        rows = {
            table.name: [
                _plain(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in MOVED
        }
    facts = {key: value for key in FACTS if (value := ledger.meta(key)) is not None}
    return {"format": FORMAT, "schema": CURRENT, "owner": owner, "facts": facts, "tables": rows}


def _plain(row: Any) -> dict[str, Any]:
    content = {
        key: (value - tables.EPOCH) // tables.MICROSECOND if isinstance(value, datetime) else value
        for key, value in row.items()
        if key not in LEFT_OUT
    }
    if "lost_writes" in content:
        content["lost_writes"] = without_fingerprints(str(content["lost_writes"]))
    if is_fingerprint(str(content.get("version") or "")):
        content["version"] = ""  # KV v1 has no version but the value's fingerprint
    return content


def imported(ledger: Ledger, content: Mapping[str, Any], owner: str) -> int:
    """Put an export into an empty ledger, whole or not at all. Returns: how many secrets it holds.

    Raises `ConfigError` for anything else than an export of this owner and schema, `LedgerError` for a ledger that
    holds something.
    """
    if content.get("format") != FORMAT or content.get("schema") != CURRENT:
        raise ConfigError("this is no export of a ledger of this version", hint=NOT_AN_EXPORT)
    if content.get("owner") != owner:
        raise ConfigError("the export is of another owner than the configuration says", hint="see owner")
    facts = content.get("facts", {})
    if not isinstance(facts, Mapping) or not all(key in FACTS and FACTS[key](value) for key, value in facts.items()):
        raise ConfigError("the facts of a ledger are not as an export has them", hint=NOT_AN_EXPORT)
    given = content.get("tables")
    names = {table.name for table in MOVED}
    if (
        not isinstance(given, Mapping)
        or set(given) != names
        or not all(isinstance(given[name], list) for name in names)
    ):
        raise ConfigError("the export does not hold the tables of a ledger", hint=NOT_AN_EXPORT)
    rows = {table: [_row(table, row) for row in given[table.name]] for table in MOVED}
    with ledger.writing() as connection:
        for table in MOVED:
            # Two ledgers are never mixed: an id of one could stand under a name of the other.
            if connection.execute(select(func.count()).select_from(table)).scalar():
                raise LedgerError(
                    f"the ledger {ledger.place} holds something already",
                    hint="import into one that was never used; nothing was changed",
                )
        for table in MOVED:
            upsert(connection, table, rows[table])
        kept = {**facts, "owner": owner}
        upsert(connection, tables.meta, [{"key": key, "value": value} for key, value in kept.items()])
        entry = Entry(event="ledger.imported", detail={"records": len(rows[tables.records])})
        append(connection, CONTROL, [entry], datetime.now(UTC))
    return len(rows[tables.records])


def _row(table: Table, given: object) -> dict[str, Any]:
    """One row, with the types of its columns and a seal of its own. Raises `ConfigError`."""
    columns = {column.name: column for column in table.columns if column.name not in LEFT_OUT}
    if not isinstance(given, Mapping) or set(given) != set(columns):
        raise ConfigError(f"a row of {table.name} is not as an export has it", hint=NOT_AN_EXPORT)
    row = {name: _value(column, given[name]) for name, column in columns.items()}
    if "fingerprint" in table.columns:
        row["fingerprint"] = None
    return sealed(row) if "seal" in table.columns else row


def _value(column: Column[Any], value: object) -> object:
    fits = value is None if column.nullable else False
    if isinstance(column.type, tables.Instant):
        # By its very type: a boolean is an int as well.
        fits = fits or (type(value) is int and tables.LEAST_INSTANT <= value <= tables.LAST_INSTANT)
        if fits and isinstance(value, int):
            return tables.EPOCH + value * tables.MICROSECOND
    elif isinstance(column.type, Boolean):
        fits = fits or isinstance(value, bool)
    elif isinstance(column.type, Integer):
        fits = fits or (type(value) is int and abs(value) < 2**63)
    else:
        fits = fits or isinstance(value, str)
    if not fits:
        raise ConfigError(f"{column.table.name}.{column.name} of a row is not as an export has it", hint=NOT_AN_EXPORT)
    return value
