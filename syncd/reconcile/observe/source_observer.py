"""List what a job selects at its source, and read the paths with a new version."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace

from syncd.domain import (
    PathState,
    ReadFailure,
    ReadResult,
    Rule,
    Snapshot,
    SourceEntry,
    Version,
    version_by_value,
)
from syncd.domain.plan import LOOKS_AGAIN
from syncd.domain.values import canonical, fields_of
from syncd.errors import BadValue
from syncd.reconcile.observe.evidence import Key, ListingEvidence
from syncd.reconcile.observe.freshness import judge_version
from syncd.reconcile.observe.newest_seen import NewestSeen
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.observe.rolled_back import RolledBack
from syncd.reconcile.observe.rule_listings import RuleListings
from syncd.reconcile.observe.seen import SeenSoFar
from syncd.reconcile.observe.source_access import SourceAccess

CHOSEN = sys.maxsize
"""Stands for the version number of a path that a rule pins: no write changes that."""


class SourceObserver:
    """What one job selects at its source, read as far as its cycle needs it."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        access: SourceAccess,
        cache: ObservationCache,
        hinted_paths: frozenset[str] = frozenset(),
    ) -> None:
        """`hinted_paths`: what an event named, looked at directly."""
        self._rules = rules
        self._access = access
        self._cache = cache
        self._hinted_paths = hinted_paths
        self._states = access.store.known_paths(access.source.name)
        self._newest = NewestSeen(access.store.newest_seen(access.source.name))
        self._seen = SeenSoFar()
        store = access.store
        self._rollbacks = RolledBack(store.rollbacks(access.source.name), store.rollbacks_by_secret())
        self.failures: list[ReadFailure] = []
        self._listings = RuleListings(access, cache, hinted_paths, self._failed)

    def observe(self) -> None:
        """List every rule, and read the paths that are new or have a new version. Raises `SourceError`."""
        # Rule by rule, so that one which cannot be listed leaves the others complete.
        for rule in self._rules:
            snapshot = self._listings.of(rule)
            self._seen.snapshots[rule.index] = snapshot
            for failure in snapshot.failures:
                self._failed(failure, rule.pin)
            for entry in snapshot.entries:
                self._seen.entries[entry.ref.path, entry.pin] = self._as_wanted(entry, snapshot)
                self._note_owner((entry.ref.path, entry.pin), entry)
        self._listings.see_that_any_was_listed()
        entries = self._seen.entries.items()
        # What an event names is read whatever is listed: at AWS a listing may lag minutes behind the event.
        self.read(key for key, entry in entries if self._is_news(key, entry) or entry.ref.path in self._hinted_paths)

    def _as_wanted(self, entry: SourceEntry, snapshot: Snapshot) -> SourceEntry:
        """Return the entry with the version that a person rolled it back to; note its newest version meanwhile."""
        wanted = self._rollbacks.as_wanted(entry, snapshot)
        if not wanted.read_as:
            return wanted
        self._newest.note(entry, self._states.get((entry.ref.path, entry.pin)))
        # A server that lags makes nobody believe that an older one waits.
        return self._rollbacks.as_wanted(replace(entry, version=self._newest.version_of(entry)), snapshot)

    def _note_owner(self, key: Key, entry: SourceEntry) -> None:
        """Note another owner at the source. That alone is no new version."""
        state = self._states.get(key)
        # Rules about owners look here; a change of it alone reads no value.
        if state is not None and state.owner != entry.owner:
            self._keep(key, replace(state, owner=entry.owner))

    def _failed(self, failure: ReadFailure, pin: str) -> None:
        """Note a place that was not read, or a secret that has nothing to send."""
        (self._seen.unsendable if failure.of_secret else self.failures).append(failure)
        self._seen.unread.add((failure.location, pin))

    def _is_news(self, key: Key, entry: SourceEntry) -> bool:
        state = self._states.get(key)
        if entry.read_as and entry.version is not None:
            # An older version that a person asked for is no lagging answer.
            return state is None or state.version.token != entry.version.token
        now, confirmed = self._access.clock(), key in self._seen.confirmed
        if not entry.pin and self._newest.lags(entry, state, now, confirmed=confirmed):
            self._seen.older.add(key)
            self._seen.unread.add(key)  # what was read last is not the newest that was seen
            return False
        freshness = judge_version(state, entry.version, now, confirmed=confirmed)
        if not freshness.read and state and entry.version and entry.version.is_of_earlier_metadata(state.version):
            self._seen.disputed.add(key)
        if freshness.state is not None:
            self._keep(key, freshness.state)
        if freshness.confirmed:
            self._seen.confirmed.add(key)
        return freshness.read

    def _keep(self, key: Key, state: PathState) -> None:
        self._states[key] = self._seen.changed[key] = state

    def read(self, keys: Iterable[Key]) -> None:
        """Read these listed paths, once a cycle each. Raises `SourceError`."""
        seen = self._seen
        asked = [key for key in keys if key in seen.entries and key not in seen.documents]
        for result in self._cache.read(self._access.source, [seen.entries[key] for key in asked]):
            self._take((result.entry.ref.path, result.entry.pin), result)
        seen.changed |= self._newest.changed
        self._newest.changed.clear()
        if seen.changed:
            takers = self._access.takers(seen.untold) if seen.untold else ()
            at = self._cache.looked_at(self._access.clock)
            self._access.journal.paths(seen.changed.values(), dict.fromkeys(takers, at))
            seen.changed.clear()
            seen.untold.clear()

    def _take(self, key: Key, result: ReadResult) -> None:
        seen, asked = self._seen, result.entry
        if asked.read_as and asked.version and result.version and result.version.token != asked.version.token:
            # The path was made anew meanwhile: its version of this number is another.
            message = f"the version {asked.read_as} that it was rolled back to is gone"
            hint = "end it, or roll back to another one: syncd rollback PATH --end"
            self._failed(
                ReadFailure(location=key[0], message=message, hint=hint, of_secret=True, pin=asked.pin), asked.pin
            )
            return
        # A path that is listed and not read says nothing about its fields: those that are known stand.
        if result.failure:
            self._failed(result.failure, result.entry.pin)
        elif result.gone and result.entry.version is None:
            seen.unlist(key)  # without versions (KV v1), reading is what tells that it is there
            return
        if result.failure or result.gone or result.document is None:
            seen.unread.add(key)  # listed, yet not read: nothing is known of its present version
            if not result.failure:
                self._note_lag(key, asked)
            return
        try:
            version = result.version or version_by_value(self._access.fingerprint(canonical(result.document)))
        except BadValue as error:
            seen.unread.add(key)
            self.failures.append(ReadFailure(location=key[0], message=error.message, hint=error.hint))
            return
        state = self._states.get(key)
        if not asked.read_as and self._is_of_before(key, asked, version):
            return  # the version and fields that are known stand
        seen.documents[key] = result
        path, pin = key
        fields = fields_of(result.document)
        known = state is not None and state.version.token == version.token
        if not known:
            seen.news.add(path)
            seen.untold.add(path)
        self._keep(
            key,
            PathState(
                source=self._access.source.name,
                path=path,
                pin=pin,
                version=version,
                fields=fields,
                updated_at=result.updated_at,
                owner=result.entry.owner,
                # Where the source has no dates, age counts from here: reading a version again makes it no younger.
                seen_at=state.seen_at if known and state and state.seen_at else self._access.clock(),
            ),
        )

    def _is_of_before(self, key: Key, asked: SourceEntry, version: Version) -> bool:
        """Was the answer of a server that lags: older than what was listed, or than what was read before? Note it."""
        seen, state = self._seen, self._states.get(key)
        older = state is not None and version.token != state.version.token and version.older_than(state.version)
        older = older or (not asked.pin and self._newest.is_before(key[0], version, state))
        # Listing and reading may go to different servers.
        is_behind_listing = asked.version is not None and version.is_before(asked.version)
        if not is_behind_listing and (not older or key in seen.confirmed):
            return False
        seen.older.add(key)
        if asked.version is None or state is None or state.version.older_than(asked.version):
            seen.unread.add(key)  # what was read last is not what is listed
            self._note_lag(key, asked)
        return True

    def _note_lag(self, key: Key, asked: SourceEntry) -> None:
        """Note a listed version that cannot be read yet, so that it is looked for again soon.

        For a path that was never read, report a failure: no name of it is known that could be reported as behind.
        """
        if asked.read_as or asked.version is None:
            return
        self._seen.lagging.add(key[0])
        if key not in self._states:
            message = "it is listed, and reading it finds nothing or an older version (a server that lags?)"
            self._failed(ReadFailure(location=key[0], message=message, hint=LOOKS_AGAIN, of_secret=True), key[1])

    @property
    def older(self) -> frozenset[Key]:
        """Paths that were listed or read in an older version than before, which is not believed yet."""
        return frozenset(self._seen.older)

    @property
    def disputed(self) -> frozenset[Key]:
        """Paths listed as another secret than was read last, made earlier by its date and not believed yet."""
        return frozenset(self._seen.disputed)

    @property
    def lagging(self) -> frozenset[str]:
        """Paths that are listed in a version which could not be read yet."""
        return frozenset(self._seen.lagging)

    @property
    def news(self) -> frozenset[str]:
        """Paths that were read in a version which the ledger did not have."""
        return frozenset(self._seen.news)

    @property
    def numbers(self) -> dict[str, int]:
        """By listed path that an event named, the number of the version that was read; of several pins, the lowest.

        0 where none was read, where a rollback has an older one read, or where the source does not number versions.
        `CHOSEN` where a rule pins the version.
        """
        found: dict[str, int] = {}
        for (path, pin), entry in self._seen.entries.items():
            if path in self._hinted_paths:
                # What a rule chose stays, whatever is written; another rule may take the newest of it, and what a
                # person chose may end before a server that lags has the newest.
                number = CHOSEN if pin else 0 if entry.read_as else self._number_read((path, pin))
                found[path] = min(found.get(path, CHOSEN), number)
        return found

    def _number_read(self, key: Key) -> int:
        """Return the version number that was read; 0 for none, for an older one than before, or without a number."""
        result = self._seen.documents.get(key)
        return result.version.number or 0 if result and result.version else 0

    @property
    def listing_calls(self) -> int:
        """Number of calls to the source that the listings took."""
        return self._seen.listing_calls

    @property
    def listing_methods(self) -> dict[str, str]:
        """How each rule's path was listed."""
        return self._seen.listing_methods(self._rules)

    def report_suspicious_empty_rule(self, rule: Rule) -> None:
        """Report, once, a rule that lists nothing though the ledger holds secrets of it."""
        failure = ReadFailure(
            location=rule.path.text,
            message="lists nothing, though the ledger holds secrets of it; that is not believed",
            hint="see the path and the policy; if they were deleted on purpose: "
            "syncd state forget NAME --delete --reason '…'",
        )
        if failure not in self.failures:
            self.failures.append(failure)

    @property
    def newest(self) -> Mapping[str, str]:
        """The newest version's token of each path that a person rolled back."""
        return self._rollbacks.newest

    @property
    def rolled_back(self) -> Mapping[str, str]:
        """Listed paths that a person rolled back, each with the words that say so."""
        return self._rollbacks.words

    @property
    def evidence_paths(self) -> Mapping[Key, PathState]:
        """What is known of each path by now."""
        return self._states

    def tags_of(self, key: Key) -> frozenset[tuple[str, str]] | None:
        """What a listed path is tagged with; None where it is not listed."""
        entry = self._seen.entries.get(key)
        return entry.tags if entry else None

    @property
    def evidence(self) -> ListingEvidence:
        """What was seen so far."""
        seen, mounts = self._seen, {item.mount: item.mount_id for item in self._seen.snapshots.values()}
        selected = self._rollbacks.selected(self._rules, mounts)
        return ListingEvidence(
            source=self._access.source.name,
            rules=self._rules,
            snapshots=seen.snapshots,
            paths=self._states,
            unread=frozenset(seen.unread),
            listed=frozenset(seen.entries),
            documents=seen.documents,
            rolled_back=self._rollbacks.words,
            rollback_paths=selected,
            former_rollback_paths=self._rollbacks.former_paths(selected, mounts),
            unsendable=tuple(seen.unsendable),
        )
