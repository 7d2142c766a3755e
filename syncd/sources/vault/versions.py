"""Versions of KV v2, as its metadata tells them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from syncd.domain import ReadFailure, Rule, SecretRef, SourceEntry, Version
from syncd.domain.untrusted import instant, mapping, word
from syncd.sources.vault.answers import NOT_VAULT, NOT_VAULT_HINT


def kv2_version(number: object, created: object, lineage: object = "") -> Version:
    """Return a version of KV v2, by its number and its creation time.

    The number alone starts again at 1 when the metadata is deleted. `lineage`: when that was created, if known.
    """
    counted = number if isinstance(number, int) else 0
    return Version(token=f"kv2:{counted}@{created}", number=counted, lineage=str(lineage or ""))


def of_metadata(version: Version, metadata: Mapping[str, Any]) -> Version:
    """A version that was read, with its lineage where its path's metadata holds this very version; else as it is."""
    held = mapping(mapping(metadata.get("versions")).get(str(version.number)))
    told = kv2_version(version.number, word(held.get("created_time")), word(metadata.get("created_time")))
    return told if told.token == version.token else version


def is_live(version: dict[str, Any], now: datetime) -> bool:
    """Not destroyed, and not deleted yet (`delete_version_after` puts the deletion into the future)."""
    deleted = instant(version.get("deletion_time"))
    return not version.get("destroyed") and (deleted is None or deleted > now)


def is_number(thing: object) -> bool:
    """Is this a version's number that every database can keep (below 2 to the power of 63)?"""
    return type(thing) is int and 0 <= thing < 2**63


def entry_of(
    rule: Rule, ref: SecretRef, metadata: dict[str, Any] | None, now: datetime, owner_key: str
) -> SourceEntry | ReadFailure | None:
    """Return the entry that a rule takes of one path; None if the path holds nothing to send.

    `metadata`: None for KV v1, which has none. `owner_key`: which key of the custom metadata names the secret's owner.
    Returns a failure for metadata that is none of Vault's, and for a pinned version that is gone.
    """
    if metadata is None:
        return SourceEntry(ref=ref, version=None, pin=rule.pin)
    owner = word(mapping(metadata.get("custom_metadata")).get(owner_key))
    number = int(rule.pin) if rule.pin else metadata.get("current_version")
    version = mapping(metadata.get("versions")).get(str(number))
    # Metadata without a version holds number 0 and no versions; a version is told with its time.
    if not is_number(number) or (not rule.pin and number and not word(mapping(version).get("created_time"))):
        return ReadFailure(location=ref.path, message=NOT_VAULT, hint=NOT_VAULT_HINT)
    live = isinstance(version, dict) and is_live(version, now)
    # A pinned version that is gone is a failure, not an absence: the path itself may hold a newer one.
    if rule.pin and not live:
        return ReadFailure(
            location=ref.path,
            message=f"its pinned version {number} is gone",
            hint="pin one that exists, or take `version` out of the rule",
            of_secret=True,
            pin=rule.pin,
        )
    # A current version that is deleted or destroyed: the path is listed and holds nothing to send.
    if not live or version is None:
        return None
    return SourceEntry(
        ref=ref,
        version=kv2_version(number, version.get("created_time"), word(metadata.get("created_time"))),
        updated_at=instant(version.get("created_time")),
        pin=rule.pin,
        owner=owner,
    )


def absence_in(metadata: Mapping[str, Any]) -> str:
    """Say in words why a path that has metadata has no current value: no version yet, or a deleted or destroyed one."""
    number = metadata.get("current_version")
    if not number:
        return "the path is there, and has no version yet"
    destroyed = mapping(mapping(metadata.get("versions")).get(str(number))).get("destroyed")
    return f"its current version {number} is {'destroyed' if destroyed else 'deleted'} at the source"
