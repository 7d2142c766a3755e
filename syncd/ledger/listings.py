"""What each site listed last, without values, so that Wix need not be asked; and what checks said of values."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, delete, select

from syncd.domain import RemoteSecret
from syncd.domain.governance import FactKey, Facts
from syncd.domain.ownership import owner_in
from syncd.ledger import schema as tables
from syncd.ledger.rows import as_ref, ref_text
from syncd.ledger.statements import in_parts, meta_key, upsert

Row = tuple[str, str, datetime | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSecret:
    """A secret as its site listed it last."""

    site: str
    remote_id: str
    name: str
    owner: str
    """The owner in its mark; empty for no mark."""
    updated_at: datetime | None
    seen_at: datetime
    """When it was first listed like this."""


def store_listing(connection: Connection, site: str, listed: Iterable[RemoteSecret], at: datetime) -> None:
    """Remember a listing; only what changed is written, and one that is as before is not even compared row by row."""
    table, secrets, key = tables.listings, list(listed), _digest_key(site)
    text = repr(sorted((item.id, item.name, item.description, item.updated_at) for item in secrets))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    known = select(tables.meta.c.value).where(tables.meta.c.key == key)
    # The usual case: nothing changed, and ten thousand rows are neither read nor written.
    if connection.execute(known).scalar() == digest:
        return
    upsert(connection, tables.meta, [{"key": key, "value": digest}])
    columns = (table.c.remote_id, table.c.name, table.c.owner, table.c.updated_at)
    before = {row[0]: tuple(row[1:]) for row in connection.execute(select(*columns).where(table.c.site == site))}
    now: dict[str, Row] = {item.id: (item.name, owner_in(item.description) or "", item.updated_at) for item in secrets}
    for part in in_parts(before.keys() - now.keys()):
        connection.execute(delete(table).where(and_(table.c.site == site, table.c.remote_id.in_(part))))
    changed = [
        {"site": site, "remote_id": key, "name": name, "owner": owner, "updated_at": updated_at, "seen_at": at}
        for key, (name, owner, updated_at) in now.items()
        if before.get(key) != (name, owner, updated_at)
    ]
    upsert(connection, table, changed)


def forget_listed(connection: Connection, site: str, remote_ids: Iterable[str]) -> None:
    """Drop these secrets from what is remembered of a site; the next listing is stored whatever it shows."""
    table = tables.listings.c
    for part in in_parts(remote_ids):
        connection.execute(delete(tables.listings).where(and_(table.site == site, table.remote_id.in_(part))))
    connection.execute(delete(tables.meta).where(tables.meta.c.key == _digest_key(site)))


def forget_listing(connection: Connection, site: str) -> None:
    """Drop what was listed of a site, so that its next listing is stored whole."""
    connection.execute(delete(tables.listings).where(tables.listings.c.site == site))
    connection.execute(delete(tables.meta).where(tables.meta.c.key == _digest_key(site)))


def _digest_key(site: str) -> str:
    return meta_key("listing ", site)


def unheld_secrets(connection: Connection, site: str) -> list[ListedSecret]:
    """Return what a site listed last whose id no row holds, not even a row of another site; by name."""
    table, held = tables.listings, tables.records.c
    row = select(held.name).where(held.remote_id == table.c.remote_id).exists()
    query = select(table).where(and_(table.c.site == site, ~row)).order_by(table.c.name)
    return [ListedSecret(**row) for row in connection.execute(query).mappings()]


def store_facts(connection: Connection, site: str, facts: Facts) -> None:
    """Store what checks said of values that were read: the newest of each name and check."""
    rows = [{**key._asdict(), "site": site, "ref": ref_text(key.ref), "fault": fault} for key, fault in facts.items()]
    upsert(connection, tables.facts, rows)


def facts_of(connection: Connection, site: str, names: Collection[str] | None = None) -> dict[FactKey, str]:
    """Return the facts of a site; `names`: of these alone (None: of all)."""
    table = tables.facts
    query = select(table).where(table.c.site == site)
    queries = [query] if names is None else [query.where(table.c.name.in_(part)) for part in in_parts(names)]
    found = (row for query in queries for row in connection.execute(query))
    return {FactKey(row.name, as_ref(row.ref), row.version, row.digest): row.fault for row in found}
