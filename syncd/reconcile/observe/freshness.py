"""Is a listed version news? An older one than before is a server that lags, until it has been seen often. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from syncd.domain import PathState, Version

CONFIRMATIONS = 3
"""Cycles in a row that must show an older version before it is believed (a lagging standby shows it too)."""

SPACING = timedelta(minutes=1)
"""Shortest time between two of those cycles; what is seen sooner counts as the same answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """The result of comparing a listed version with the known one."""

    read: bool
    """Is the path to be read?"""
    confirmed: bool = False
    """Is an older version believed from now on?"""
    state: PathState | None = None
    """What the ledger has to know of the path from now on; None if the listing changes nothing of it."""


def judge_version(state: PathState | None, version: Version | None, now: datetime, *, confirmed: bool) -> Freshness:
    """Compare a listed version with the one that is known. `confirmed`: an older one was believed in this cycle."""
    if state is None or version is None:
        return Freshness(read=True)
    if version.token == state.version.token:
        # The server has caught up: the older answers of before were lag. Whose version it is its metadata tells.
        told = replace(state, version=version, older_token="", older_count=0)
        is_news = state.older_count or (version.lineage and version != state.version)
        return Freshness(read=False, state=told if is_news else None)
    if confirmed or not version.older_than(state.version):
        return Freshness(read=True, confirmed=confirmed)
    same = state.older_token == version.token
    if same and state.older_at and timedelta(0) <= now - state.older_at < SPACING:
        return Freshness(read=False)  # one lagging answer seen by many jobs is one answer
    seen = state.older_count + 1 if same else 1
    noted = replace(state, older_token=version.token, older_count=seen, older_at=now)
    return Freshness(read=seen >= CONFIRMATIONS, confirmed=seen >= CONFIRMATIONS, state=noted)
