"""Two keys of one site: the rows kept under one of them are joined, by their ids, to those of the other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from syncd.domain import Record
from syncd.errors import ConfigError


def merged(
    old: Iterable[Record], new: Iterable[Record], site: str, listed: Mapping[str, str] | None = None
) -> list[Record]:
    """Return the rows of the site after all of `old` are kept under its key.

    What protects a secret (adopted, frozen) holds if either row says so. `listed`: the names that the site shows, by
    id. Where two rows of one name have different ids, the row whose id is listed counts; if both are, the one that
    still has the name there. Raises `ConfigError` where that does not decide.
    """
    rows = {record.name: record for record in new}
    by_id = {record.remote_id: record.name for record in rows.values() if record.remote_id}
    for moving in old:
        record = replace(moving, site=site)
        name = by_id.get(record.remote_id, record.name) if record.remote_id else record.name
        other = rows.get(name)
        if other is None:
            rows[record.name] = record
        elif other.remote_id == record.remote_id or record.remote_id is None:
            rows[name] = _protected(other, record)
        elif other.remote_id is None:
            rows[name] = _protected(record, other)
        else:
            rows[name] = _listed_one(record, other, listed)
    return [rows[name] for name in sorted(rows)]


def _protected(kept: Record, other: Record) -> Record:
    same = kept.remote_id == other.remote_id
    protected = kept.protected(adopted=same and other.adopted, frozen_until=other.frozen_until)
    if not same:
        return protected
    return replace(protected, theirs=kept.theirs or other.theirs, remarked=kept.remarked or other.remarked)


def _listed_one(record: Record, other: Record, listed: Mapping[str, str] | None) -> Record:
    shown = [kept for kept in (record, other) if listed is not None and kept.remote_id in listed]
    if listed is not None and len(shown) > 1:  # somebody renamed one of them at Wix
        shown = [kept for kept in shown if listed[str(kept.remote_id)] == kept.name]
    if len(shown) != 1:
        raise ConfigError(
            f"{record.name} has id {record.remote_id} under one key of the site and {other.remote_id} under the other",
            hint=f"see which of them is at Wix, then drop the other: syncd state forget {record.name} --target TARGET",
        )
    return shown[0]
