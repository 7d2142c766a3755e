"""Does a site hold a version, as a row of `whereabouts` tells? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_THERE = {"contested", "unverified", "pending", "conflict"}
"""Statuses in which the site holds something else, or may do so."""


def has_it(row: Mapping[str, Any], version: str | None) -> bool:
    """Does the site of a row hold a version?

    `version`: this one or a later one, by the same numbering; None: the newest that the source was seen to have.
    """
    holds, newest = row["version"], row.get("source_version")
    # A whole value of which nobody can tell whether the field that was asked for is in it.
    if not row.get("is_known", True):
        return False
    # Deleted and made anew at the source: its numbers tell nothing of the secret that the site still holds.
    if row.get("is_of_an_earlier_secret"):
        return False
    # What somebody else changed, and what no answer confirmed, is not the version that the row names.
    # A row that does not tell, and is behind at the source's own version, is perhaps not so by age alone.
    is_other = row.get("is_changed_by_others", row["status"] == "behind" and newest in {None, holds})
    if row["status"] in NOT_THERE or is_other:
        return False
    if version is None:
        # A freeze keeps newer versions away; what a frozen secret holds it has.
        return row["status"] in {"synced", "frozen"} and newest in {None, holds}
    # Numbers begin at 1 again where metadata was deleted, so the higher number may be of the older version.
    began_anew = _number(newest) is not None and (_number(holds) or 0) > (_number(newest) or 0)
    return holds is not None and not began_anew and is_at_least(holds, version)


def _number(label: str | None) -> int | None:
    return int(label) if label is not None and label.isdecimal() else None


def is_at_least(label: str, version: str) -> bool:
    """Is it this version, or a later one? AWS's version ids have no order: only the same id counts."""
    if label.isdecimal() and version.isdecimal():
        return int(label) >= int(version)
    return label == version
