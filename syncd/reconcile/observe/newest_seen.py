"""The newest version that each path was seen to have, while a rollback has an older one read in its place. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from syncd.domain import PathState, SourceEntry, Version
from syncd.domain.records import NEWEST
from syncd.reconcile.observe.freshness import judge_version


class NewestSeen:
    """The newest version seen of each path. `changed` collects what is to be stored."""

    def __init__(self, known: Mapping[str, PathState]) -> None:
        """`known`: what the ledger has of it."""
        self._known = dict(known)
        self.changed: dict[tuple[str, str], PathState] = {}

    def version_of(self, entry: SourceEntry) -> Version | None:
        """Return the newest version of a listed path: the listed one, or one seen before that a server lacks."""
        known, listed = self._known.get(entry.ref.path), entry.version
        is_lagging = known is not None and listed is not None and listed.older_than(known.version)
        return known.version if known is not None and is_lagging else listed

    def note(self, entry: SourceEntry, before: PathState | None) -> None:
        """Note the newest version of a path that is read in an older one. `before`: what was read of it last."""
        path, version = entry.ref.path, self.version_of(entry)
        if version is None:
            return
        known = self._known.get(path)
        # Read before this rollback, and perhaps after an earlier one.
        if before is not None and version.older_than(before.version):
            version = before.version
        if known is None or known.version.token != version.token:
            state = PathState(source=entry.ref.source, path=path, pin=NEWEST, version=version, fields=None)
            self._keep(state)

    def lags(self, entry: SourceEntry, read: PathState | None, now: datetime, *, confirmed: bool) -> bool:
        """Is a listing older than the newest version that was seen during a rollback?

        An older version is believed once it was seen often: then it does not lag. How often is kept in `changed`.
        `read`: what was read of the path last. `confirmed`: was an older version believed in this cycle?
        """
        known = self._known.get(entry.ref.path)
        if known is None or entry.version is None or not self.is_before(entry.ref.path, entry.version, read):
            return False
        freshness = judge_version(known, entry.version, now, confirmed=confirmed)
        if freshness.read:
            self._keep(replace(known, version=entry.version, older_token="", older_count=0))
        elif freshness.state is not None:
            self._keep(freshness.state)
        return not freshness.read

    def is_before(self, path: str, version: Version, read: PathState | None) -> bool:
        """Is the version older than the newest one that was seen, and was that one not read since?

        `read`: as for `lags`.
        """
        known = self._known.get(path)
        is_read = known is None or (read is not None and not read.version.older_than(known.version))
        return known is not None and not is_read and version.older_than(known.version)

    def _keep(self, state: PathState) -> None:
        self._known[state.path] = self.changed[state.path, NEWEST] = state
