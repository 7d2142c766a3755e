"""The `vault` source: it lists what rules select, and reads the documents of paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from syncd.domain import (
    Existence,
    PathCheck,
    ReadFailure,
    ReadResult,
    Rule,
    RuleCheck,
    SecretRef,
    Snapshot,
    SourceEntry,
    Version,
)
from syncd.domain.naming import selects_path
from syncd.domain.ports import Clock
from syncd.domain.untrusted import mapping, storable
from syncd.errors import SourceError, SourceUnavailable
from syncd.sources.retry import FailFast
from syncd.sources.vault.answers import NOT_VAULT, NOT_VAULT_HINT, StatusError
from syncd.sources.vault.client import VaultClient
from syncd.sources.vault.listing import Walker
from syncd.sources.vault.mounts import Mount, Mounts
from syncd.sources.vault.readings import denied, document_of, gone, is_deleted, is_missing, reading_of
from syncd.sources.vault.server import THREADS
from syncd.sources.vault.versions import absence_in, entry_of, is_live, is_number, of_metadata


class VaultSource:
    """Secrets of the KV mounts of one Vault or OpenBao, in one namespace."""

    def __init__(self, client: VaultClient, clock: Clock, owner_key: str = "owner") -> None:
        """`owner_key`: which key of a secret's custom metadata names its owner."""
        self._owner_key = owner_key
        self.name = client.name
        self._client = client
        self._clock = clock
        self._walker = Walker(client)
        self._mounts = Mounts(client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def snapshot(self, rule: Rule) -> Snapshot:
        """List what the rule selects. A place that cannot be read is a failure, and leaves the listing incomplete.

        A failure of one secret alone (`of_secret`) leaves it complete. Raises `SourceError` for the whole source.
        """
        if not rule.path.has_wildcard:
            # Needs no right to list the folder around it, and is the path's own state, not a listing's.
            return self.find(rule, rule.path.text)
        mount = self._mounts.find(rule.path.folder, rule.mount, place=rule.path.text)
        if isinstance(mount, ReadFailure):
            return Snapshot(failures=(mount,), complete=False)
        calls, entries = 0, list[SourceEntry]()
        try:
            tree = self._walker.walk(mount, rule.path.without(mount.path))
            calls = tree.calls
            entries, failures = self._selected(rule, mount, tree.metadata, tree.failures)
        except StatusError as error:
            failures = [denied(rule.path.text, error)]
        return _snapshot(mount, entries, failures, calls=calls, listing_method=self._walker.strategy(mount))

    def find(self, rule: Rule, path: str) -> Snapshot:
        """Look at the metadata of one path. Raises `SourceError`.

        It is listed if it is a path as Vault lists them and the rule takes it. KV v1 has no metadata: there a path that
        the rule takes counts as listed without a look.
        """
        mount = self._mounts.find(path, rule.mount, place=path)
        if isinstance(mount, ReadFailure):
            return Snapshot(failures=(mount,), complete=False)
        within, entries, absence = path.removeprefix(mount.path), list[SourceEntry](), ""
        try:
            metadata = self._walker.metadata(mount, within) if mount.kv == 2 else None
            found = {within: metadata} if metadata is not None or mount.kv == 1 else {}
            entries, failures = self._selected(rule, mount, found, [])
            absence = absence_in(metadata) if metadata is not None and not entries else ""
        except StatusError as error:
            failures = [denied(path, error)]
        snapshot = _snapshot(
            mount, entries, failures, calls=int(mount.kv == 2), listing_method="a look at the path alone"
        )
        return replace(snapshot, absence=absence)

    def _selected(
        self, rule: Rule, mount: Mount, found: Mapping[str, dict[str, Any] | None], failures: list[ReadFailure]
    ) -> tuple[list[SourceEntry], list[ReadFailure]]:
        entries = []
        for path in sorted(found):
            full = mount.path + path
            if not selects_path(rule, full):
                continue
            entry = entry_of(rule, SecretRef(source=self.name, path=full), found[path], self._clock(), self._owner_key)
            if isinstance(entry, ReadFailure):
                failures.append(entry)
            elif entry is not None:
                entries.append(entry)
        relevant = [
            replace(failure, location=storable(failure.location))
            for failure in failures
            if _concerns(rule, failure.location)
        ]
        return entries, relevant

    def read(self, entries: Sequence[SourceEntry]) -> Iterator[ReadResult]:
        """Documents, several at a time. Once the server is gone the rest is answered without asking."""
        once = FailFast()

        def read_entry(entry: SourceEntry) -> ReadResult:
            try:
                return once(lambda: self._read(entry))
            except StatusError as error:
                failure = denied(entry.ref.path, error)
                return ReadResult(entry=entry, failure=failure)
            except SourceError as error:
                return ReadResult.failed(entry, error.message, error.hint)

        with ThreadPoolExecutor(THREADS, thread_name_prefix="vault") as pool:
            yield from pool.map(read_entry, entries)

    def _read(self, entry: SourceEntry) -> ReadResult:
        mount, path = self._mounts.holding(entry.ref.path), entry.ref.path
        within = path.removeprefix(mount.path)
        try:
            if mount.kv == 1:
                data = self._client.get("get", path, "read").get("data")
                return document_of(entry, data, None)
            params = {"version": entry.asked_version} if entry.asked_version else {}
            answer = self._client.get("get", f"{mount.path}data/{within}", "read", **params)
        except StatusError as error:
            # Only these two are the server's word that it is gone; any other 404 is a proxy's or another mount's.
            if not (is_missing(error) or is_deleted(error)):
                raise
            return gone(entry)
        result = reading_of(entry, answer)
        if result.version is None or entry.version is None or result.version.token == entry.version.token:
            return result
        return replace(result, version=self._as_metadata_tells(mount, within, result.version))

    def _as_metadata_tells(self, mount: Mount, path: str, version: Version) -> Version:
        """Return a version that is not the listed one, with its lineage if the path's metadata tells it by now.

        Raises `SourceUnavailable` if the server as a whole does not answer.
        """
        try:
            metadata = self._walker.metadata(mount, path)
        except StatusError:
            return version  # the listing tells in a later cycle
        except SourceUnavailable as error:
            if error.whole:
                raise
            return version
        return of_metadata(version, metadata) if metadata is not None else version

    def check_path(self, path: str, pin: str = "") -> PathCheck:
        """Tell whether the path's current version is there at this moment. Raises `SourceError` if that is unknown.

        For a pinned version only the whole path can be gone: if that version alone was destroyed, reading it fails.
        """
        mount = self._mounts.find(path, None, place=path)
        if isinstance(mount, ReadFailure):
            raise SourceError(f"source {self.name}: {mount.location}: {mount.message}", hint=mount.hint)
        within = path.removeprefix(mount.path)
        try:
            # KV v1 has no metadata: reading it is the only look.
            if mount.kv == 1:
                self._client.get("get", path, "read")
                live = True
            else:
                live = self._walker.metadata(mount, within) is not None if pin else self._is_live(mount, within, path)
        except StatusError as error:
            if not (is_missing(error) or is_deleted(error)):
                failure = denied(path, error)
                raise SourceError(f"source {self.name}: {path}: {failure.message}", hint=failure.hint) from None
            live = False
        existence = Existence.THERE if live else Existence.GONE
        return PathCheck(existence=existence, mount=mount.path, mount_id=mount.id)

    def _is_live(self, mount: Mount, within: str, path: str) -> bool:
        """Is the path's current version there? Metadata that shows it is believed at once.

        Where metadata does not show it, the server is asked for the data, and its answer counts, not our clock.
        Raises `StatusError`, `SourceError`.
        """
        metadata = self._walker.metadata(mount, within)
        if metadata is None:
            return False
        version = mapping(metadata.get("versions")).get(str(metadata.get("current_version")))
        if isinstance(version, dict) and is_live(version, self._clock()):
            return True
        # Our clock may be ahead of the server's, and what follows may be a deletion: here the server's word counts.
        held = mapping(self._client.get("get", f"{mount.path}data/{within}", "look").get("data"))
        if "data" not in held or not is_number(mapping(held.get("metadata")).get("version")):
            raise SourceError(f"source {self.name}: {path}: {NOT_VAULT}", hint=NOT_VAULT_HINT)
        return held["data"] is not None

    def check(self, rules: Sequence[Rule]) -> Iterator[ReadFailure | RuleCheck]:
        """List each rule, and read one secret of it. Raises `SourceError` for the whole source.

        Yields each failure, and a `RuleCheck` for each rule that was listed.
        """
        for rule in rules:
            snapshot = self.snapshot(rule)
            yield from snapshot.failures
            if not snapshot.mount or (snapshot.failures and not snapshot.entries):
                continue
            yield RuleCheck.of(rule, snapshot)
            # A policy grants data apart from metadata: only a read shows that values may be read.
            for reading in self.read(snapshot.entries[:1]):
                if reading.failure:
                    yield reading.failure


def _snapshot(
    mount: Mount, entries: list[SourceEntry], failures: list[ReadFailure], *, calls: int, listing_method: str
) -> Snapshot:
    return Snapshot(
        entries=tuple(entries),
        failures=tuple(failures),
        complete=all(failure.of_secret for failure in failures),
        mount=mount.path,
        mount_id=mount.id,
        calls=1 + calls,  # the first asks which mount it is
        listing_method=listing_method,
    )


def _concerns(rule: Rule, place: str) -> bool:
    """Is the failure about a secret that the rule takes, or a folder that is not excluded whole?"""
    if not place.endswith("/"):
        return selects_path(rule, place)
    whole = (glob for glob in rule.exclude if glob.text.rpartition("/")[2] == "**")
    return not any(glob.matches(place + "x") for glob in whole)
