"""List what each rule of a job selects, with the paths that an event named, in the mounts that are known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from syncd.domain import ReadFailure, Rule, Snapshot
from syncd.domain.naming import selects_path
from syncd.errors import SourceUnavailable
from syncd.reconcile.observe.mounts import expected, is_new_mount, without_conflicting_mount, without_odd_paths
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.observe.source_access import SourceAccess

GIVE_UP = 30.0
"""Seconds of failing rules, before any was listed, after which the whole source counts as failed."""


class RuleListings:
    """The listings of one look at a source, a rule at a time: one that fails leaves the others complete."""

    def __init__(
        self,
        access: SourceAccess,
        cache: ObservationCache,
        hinted_paths: frozenset[str],
        failed: Callable[[ReadFailure, str], None],
    ) -> None:
        """`hinted_paths`: looked at directly, because an event named them. `failed`: called for those that fail."""
        self._access, self._cache, self._hinted_paths, self._failed = access, cache, hinted_paths, failed
        self._mounts = dict(access.store.known_mounts(access.source.name))
        self._taken_over = access.store.orphaned_mounts(access.source.name, access.configured, access.job)
        self._began = time.monotonic()
        self._unlisted: list[SourceUnavailable] = []
        """Why rules could not be listed: each for its own path."""
        self._is_listed = False
        """Was any rule listed?"""

    def of(self, rule: Rule) -> Snapshot:
        """What a rule lists. Raises `SourceError` where the source as a whole cannot be read."""
        listed = self._with_hints(rule, self._listed(rule))
        return without_odd_paths(self._on_known_mount(rule, listed))

    def see_that_any_was_listed(self) -> None:
        """Raise the first `SourceError` where each rule of a job failed."""
        if self._unlisted and not self._is_listed:
            raise self._unlisted[0]

    def _listed(self, rule: Rule) -> Snapshot:
        """List a rule. Raises `SourceError` where the source as a whole cannot be read.

        A failure on one path says nothing of the others. If rules fail for `GIVE_UP` seconds before any was listed,
        the whole source counts as failed.
        """
        try:
            listed = self._cache.list(self._access.source, rule)
        except SourceUnavailable as error:
            self._unlisted.append(error)
            if error.whole or (not self._is_listed and time.monotonic() - self._began > GIVE_UP):
                raise
            return _failed_listing(rule.path.text, error)
        self._is_listed = True
        return listed

    def _found(self, rule: Rule, path: str) -> Snapshot:
        """Look directly at a path that an event named. Raises `SourceError` if the whole source cannot be read."""
        try:
            return self._cache.find(self._access.source, rule, path)
        except SourceUnavailable as error:
            if error.whole:
                raise
            self._failed(ReadFailure(location=path, message=error.message, hint=error.hint), rule.pin)
            return _failed_listing(path, error)

    def _with_hints(self, rule: Rule, snapshot: Snapshot) -> Snapshot:
        """Return the listing with the paths that an event named, which a lagging listing may lack.

        The names come from outside: a path is added only if the rule selects it anyway, in the place that was listed;
        one that cannot be looked at fails alone.
        """
        listed = {entry.ref.path for entry in snapshot.entries}
        lacking = [path for path in sorted(self._hinted_paths - listed) if selects_path(rule, path)]
        # An exact path was looked at directly; only the listing of a folder can lag behind an event.
        if not rule.path.has_wildcard or not lacking:
            return snapshot
        place = (snapshot.mount, snapshot.mount_id)
        found = [self._found(rule, path) for path in lacking]
        added = (entry for item in found if (item.mount, item.mount_id) == place for entry in item.entries)
        entries = sorted((*snapshot.entries, *added), key=lambda entry: entry.ref.path)
        return replace(snapshot, entries=tuple(entries))

    def _on_known_mount(self, rule: Rule, snapshot: Snapshot) -> Snapshot:
        # A source under a new name takes over what the old one had, so it has to lead to the same mounts.
        known = expected(self._mounts, self._taken_over, snapshot.mount, rule.path.prefix)
        checked = without_conflicting_mount(self._access.source.name, known, snapshot)
        if is_new_mount(self._mounts, checked):
            self._mounts[checked.mount] = checked.mount_id
            self._access.journal.mount(self._access.source.name, checked.mount, checked.mount_id)
        return checked


def _failed_listing(place: str, error: SourceUnavailable) -> Snapshot:
    failure = ReadFailure(location=place, message=error.message, hint=error.hint)
    return Snapshot(failures=(failure,), complete=False)
