"""The `vault` source: rules to listings, paths to documents."""

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
    SecretValue,
    Snapshot,
    SourceEntry,
)
from syncd.domain.naming import selects_path
from syncd.domain.ports import Clock
from syncd.domain.untrusted import instant, mapping, storable, word
from syncd.errors import SourceError
from syncd.sources.retry import FailFast
from syncd.sources.vault.answers import NO_ANSWER, NOT_VAULT, NOT_VAULT_HINT, REPEATS, StatusError
from syncd.sources.vault.client import VaultClient
from syncd.sources.vault.listing import (
    DENIED,
    Mount,
    Walker,
    is_canonical,
    is_live,
    is_missing,
    kv2_version,
    repeats,
)
from syncd.sources.vault.session import THREADS


class VaultSource:
    """Secrets of the KV mounts of one Vault or OpenBao, in one namespace."""

    def __init__(self, client: VaultClient, clock: Clock, owner_key: str = "owner") -> None:
        """`owner_key`: which key of a secret's custom metadata names its owner."""
        self._owner_key = owner_key
        self.name = client.name
        self._client = client
        self._clock = clock
        self._walker = Walker(client)
        self._mounts: dict[str, Mount] = {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def snapshot(self, rule: Rule) -> Snapshot:
        """What the rule selects; a place that cannot be read is a failure and leaves it incomplete."""
        if not rule.path.has_wildcard:
            # Needs no right to list the folder around it, and is the path's own state, not a listing's.
            return self.find(rule, rule.path.text)
        mount = self._mount(rule.path.folder, rule.mount, place=rule.path.text)
        if isinstance(mount, ReadFailure):
            return Snapshot(failures=(mount,), complete=False)
        calls, entries = 0, list[SourceEntry]()
        try:
            tree = self._walker.walk(mount, rule.path.without(mount.path))
            calls = tree.calls
            entries, failures = self._selected(rule, mount, tree.metadata, tree.failures)
        except StatusError as error:
            failures = [self._denied(rule.path.text, error)]
        return _snapshot(mount, entries, failures, calls=calls, listing_method=self._walker.strategy(mount))

    def find(self, rule: Rule, path: str) -> Snapshot:
        """The metadata of one path, if it is a path as Vault lists them and the rule takes it."""
        mount = self._mount(path, rule.mount, place=path)
        if isinstance(mount, ReadFailure):
            return Snapshot(failures=(mount,), complete=False)
        within, entries, absence = path.removeprefix(mount.path), list[SourceEntry](), ""
        try:
            metadata = self._walker.metadata(mount, within) if mount.kv == 2 else None
            found = {within: metadata} if metadata is not None or mount.kv == 1 else {}
            entries, failures = self._selected(rule, mount, found, [])
            absence = _absence(metadata) if metadata is not None and not entries else ""
        except StatusError as error:
            failures = [self._denied(path, error)]
        snapshot = _snapshot(
            mount, entries, failures, calls=int(mount.kv == 2), listing_method="a look at the path alone"
        )
        return replace(snapshot, absence=absence)

    def _mount(self, asked: str, given: str | None, *, place: str) -> Mount | ReadFailure:
        """Ask the server which part of a path is its mount. Raises `SourceError`."""
        path, asked = place, given or asked
        # A server folds such a path into another one: it would be a second secret, or one outside of the mount.
        if not (is_canonical(path) and is_canonical(asked.strip("/"))):
            return ReadFailure(
                location=path, message="a path with an empty, . or .. segment is not read", hint="write it out"
            )
        try:
            # Asked each time: a mount may be replaced under a process that lives on, and only its uuid tells.
            answer = self._client.get("get", f"sys/internal/ui/mounts/{asked.strip('/')}", "mounts")
        except StatusError as error:
            return ReadFailure(
                location=path,
                message=f"no readable mount there (HTTP {error.status})",
                hint="see mount, namespace, and that the policy grants something below it",
            )
        data = mapping(answer.get("data"))
        kind, mount_path = word(data.get("type")), word(data.get("path"))
        if not kind or not mount_path.endswith("/") or not f"{asked.strip('/')}/".startswith(mount_path):
            return ReadFailure(location=path, message=NOT_VAULT, hint=NOT_VAULT_HINT)
        # Old servers call KV v1 `generic`.
        if kind not in {"kv", "generic"}:
            return ReadFailure(location=path, message=f"the mount is of type {kind}, not kv", hint="name a KV mount")
        version, uuid = mapping(data.get("options")).get("version"), data.get("uuid") or ""
        if uuid != word(uuid):
            return ReadFailure(location=path, message=NOT_VAULT, hint=NOT_VAULT_HINT)
        mount = Mount(path=mount_path, kv=2 if version == "2" else 1, id=uuid)
        self._mounts[mount_path] = mount
        # A mount that answered for this path before, and does no more, was removed.
        for known in list(self._mounts):
            if known != mount_path and known.startswith(mount_path) and f"{asked.strip('/')}/".startswith(known):
                self._mounts.pop(known, None)
        return mount

    def _selected(
        self, rule: Rule, mount: Mount, found: Mapping[str, dict[str, Any] | None], failures: list[ReadFailure]
    ) -> tuple[list[SourceEntry], list[ReadFailure]]:
        entries = []
        for path in sorted(found):
            full = mount.path + path
            if not selects_path(rule, full):
                continue
            entry = self._entry(rule, full, found[path])
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

    def _entry(self, rule: Rule, path: str, metadata: dict[str, Any] | None) -> SourceEntry | ReadFailure | None:
        ref = SecretRef(source=self.name, path=path)
        if metadata is None:
            return SourceEntry(ref=ref, version=None, pin=rule.pin)
        owner = word(mapping(metadata.get("custom_metadata")).get(self._owner_key))
        number = int(rule.pin) if rule.pin else metadata.get("current_version")
        version = mapping(metadata.get("versions")).get(str(number))
        # Metadata without a version holds number 0 and no versions; a version is told with its time.
        if not _is_number(number) or (not rule.pin and number and not word(mapping(version).get("created_time"))):
            return ReadFailure(location=path, message=NOT_VAULT, hint=NOT_VAULT_HINT)
        live = isinstance(version, dict) and is_live(version, self._clock())
        # A pinned version that is gone is a failure, not an absence: the path itself may hold a newer one.
        if rule.pin and not live:
            return ReadFailure(
                location=path,
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

    def read(self, entries: Sequence[SourceEntry]) -> Iterator[ReadResult]:
        """Documents, several at a time. Once the server is gone the rest is answered without asking."""
        once = FailFast()

        def read_entry(entry: SourceEntry) -> ReadResult:
            try:
                return once(lambda: self._read(entry))
            except StatusError as error:
                failure = self._denied(entry.ref.path, error)
                return ReadResult(entry=entry, failure=failure)
            except SourceError as error:
                return _failed(entry, error.message, error.hint)

        with ThreadPoolExecutor(THREADS, thread_name_prefix="vault") as pool:
            yield from pool.map(read_entry, entries)

    def _mount_for(self, path: str) -> Mount:
        """The mount that the listing of this cycle found."""
        return max(
            # A mount that was put inside a removed one lives beside it here; the longer path is the one that answers.
            (mount for mount in list(self._mounts.values()) if path.startswith(mount.path)),
            key=lambda mount: len(mount.path),
        )

    def _read(self, entry: SourceEntry) -> ReadResult:
        mount, path = self._mount_for(entry.ref.path), entry.ref.path
        within = path.removeprefix(mount.path)
        try:
            if mount.kv == 1:
                data = self._client.get("get", path, "read").get("data")
                return _document(entry, data, None)
            params = {"version": entry.asked_version} if entry.asked_version else {}
            answer = self._client.get("get", f"{mount.path}data/{within}", "read", **params)
        except StatusError as error:
            # Only these two are the server's word that it is gone; any other 404 is a proxy's or another mount's.
            if not (is_missing(error) or _is_deleted(error)):
                raise
            return _gone(entry)
        held = mapping(answer.get("data"))
        metadata = mapping(held.get("metadata"))
        created = word(metadata.get("created_time"))
        if not _is_number(metadata.get("version")) or not created or "data" not in held:
            return _failed(entry, NOT_VAULT, NOT_VAULT_HINT)
        # The answer carries metadata without data: the version was deleted between listing and reading.
        if held["data"] is None:
            return _gone(entry)
        # A version from before its metadata was made is of metadata that was deleted since: a lagging standby's answer.
        lineage = entry.version.lineage if entry.version else ""
        version = kv2_version(metadata.get("version"), created, lineage if created >= lineage else "")
        return _document(entry, held["data"], version, updated=created)

    def check_path(self, path: str, pin: str = "") -> PathCheck:
        """Is the path's current version, in this very moment, there? Raises `SourceError` where it cannot be told.

        For a pinned version only the whole path can be gone: one that was destroyed alone is a failure to read it.
        """
        mount = self._mount(path, None, place=path)
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
            if not (is_missing(error) or _is_deleted(error)):
                failure = self._denied(path, error)
                raise SourceError(f"source {self.name}: {path}: {failure.message}", hint=failure.hint) from None
            live = False
        existence = Existence.THERE if live else Existence.GONE
        return PathCheck(existence=existence, mount=mount.path, mount_id=mount.id)

    def _is_live(self, mount: Mount, within: str, path: str) -> bool:
        """Does the version exist? Its metadata says so; that it does not is the server's word, not our clock's."""
        metadata = self._walker.metadata(mount, within)
        if metadata is None:
            return False
        version = mapping(metadata.get("versions")).get(str(metadata.get("current_version")))
        if isinstance(version, dict) and is_live(version, self._clock()):
            return True
        # Our clock may be ahead of the server's, and what follows may be a deletion: here the server's word counts.
        held = mapping(self._client.get("get", f"{mount.path}data/{within}", "look").get("data"))
        if "data" not in held or not _is_number(mapping(held.get("metadata")).get("version")):
            raise SourceError(f"source {self.name}: {path}: {NOT_VAULT}", hint=NOT_VAULT_HINT)
        return held["data"] is not None

    def check(self, rules: Sequence[Rule]) -> Iterator[ReadFailure | RuleCheck]:
        """Log in, list each rule, and read one secret of it."""
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

    def _denied(self, path: str, error: StatusError) -> ReadFailure:
        if error.status == REPEATS:
            return repeats(path)
        if error.status == NO_ANSWER:
            return ReadFailure(location=path, message=NOT_VAULT, hint=NOT_VAULT_HINT)
        if error.status == DENIED:
            return ReadFailure(
                location=path,
                message="permission denied (HTTP 403)",
                hint="the policy needs read on its data and metadata paths, and list on their folders",
            )
        return ReadFailure(location=path, message=f"refused (HTTP {error.status})", hint="see path and namespace")


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


def _absence(metadata: Mapping[str, Any]) -> str:
    """Why a path that has metadata has no current value, for whoever named it."""
    number = metadata.get("current_version")
    if not number:
        return "the path is there, and has no version yet"
    destroyed = mapping(mapping(metadata.get("versions")).get(str(number))).get("destroyed")
    return f"its current version {number} is {'destroyed' if destroyed else 'deleted'} at the source"


def _concerns(rule: Rule, place: str) -> bool:
    """Is the failure about a secret that the rule takes, or a folder that is not excluded whole?"""
    if not place.endswith("/"):
        return selects_path(rule, place)
    whole = (glob for glob in rule.exclude if glob.text.rpartition("/")[2] == "**")
    return not any(glob.matches(place + "x") for glob in whole)


def _is_deleted(error: StatusError) -> bool:
    """A 404 that carries a version's metadata: deleted or destroyed."""
    data = mapping(error.body.get("data"))
    has_version = _is_number(mapping(data.get("metadata")).get("version"))
    return error.status == 404 and has_version and data.get("data") is None


def _is_number(thing: object) -> bool:
    """A version's number, as every database can keep it."""
    return type(thing) is int and 0 <= thing < 2**63


def _gone(entry: SourceEntry) -> ReadResult:
    if entry.asked_version:
        message = f"its pinned version {entry.asked_version} is gone"
        hint = "pin one that exists, or take `version` out of the rule"
        if entry.read_as:
            message = f"the version {entry.read_as} that it was rolled back to is gone"
            hint = "end it, or roll back to another one: syncd rollback PATH --end"
        failure = ReadFailure(location=entry.ref.path, message=message, hint=hint, of_secret=True, pin=entry.pin)
        return ReadResult(entry=entry, failure=failure)
    return ReadResult(entry=entry, gone=True)


def _failed(entry: SourceEntry, message: str, hint: str) -> ReadResult:
    return ReadResult(entry=entry, failure=ReadFailure(location=entry.ref.path, message=message, hint=hint))


def _document(entry: SourceEntry, data: object, version: Any, *, updated: object = None) -> ReadResult:
    if not isinstance(data, dict):
        return _failed(entry, NOT_VAULT, NOT_VAULT_HINT)
    return ReadResult(
        entry=entry,
        version=version,
        document=SecretValue(data),
        updated_at=instant(updated) or entry.updated_at,
    )
