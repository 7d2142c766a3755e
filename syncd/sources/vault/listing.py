"""What a KV v2 or v1 mount holds, as versions: OpenBao's one-call listing, or LIST and metadata reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from syncd.domain import Glob, ReadFailure
from syncd.domain.untrusted import PATH_MAX, TOO_LONG, TOO_LONG_HINT, is_storable, mapping
from syncd.errors import SourceError, SourceUnavailable
from syncd.sources.declined import Declined
from syncd.sources.limits import LISTING_SECONDS
from syncd.sources.retry import FailFast
from syncd.sources.vault.answers import NO_ANSWER, NOT_VAULT, NOT_VAULT_HINT, REPEATS, StatusError
from syncd.sources.vault.client import VaultClient
from syncd.sources.vault.mounts import Mount
from syncd.sources.vault.readings import DENIED, NOT_FOUND, is_missing, repeats
from syncd.sources.vault.server import THREADS

UNKNOWN_CALL = {DENIED, NOT_FOUND, 405}
"""Statuses that mean: the server has no one-call listing, or the policy does not grant it."""
MOST_FOLDERS = 10_000
MOST_KEYS = 50_000
"""Most keys of one folder that are read: more than any Wix site could hold."""


@dataclass(slots=True)
class Tree:
    """What a walk found: metadata by path within the mount (None for KV v1), and what it could not see."""

    metadata: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    failures: list[ReadFailure] = field(default_factory=list)
    keys: int = 0
    """How many keys LIST told, of folders as well."""
    calls: int = 0
    started: float = field(default_factory=time.monotonic)


def has_dot_segment(path: str) -> bool:
    """Has the path a `.` or `..` segment? HTTP libraries resolve them, and the request would leave the mount."""
    return any(segment in {".", ".."} for segment in path.split("/"))


def _keys(answer: dict[str, Any]) -> list[str]:
    """Return the keys in the answer to a LIST. Vault answers an empty folder with 404, so there is at least one.

    Raises `StatusError` for any other answer, `SourceUnavailable` beyond `MOST_KEYS`.
    """
    keys = mapping(answer.get("data")).get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) and key for key in keys):
        raise StatusError(NO_ANSWER, (), {})
    if len(keys) > MOST_KEYS:
        raise SourceUnavailable(
            f"a folder lists {len(keys):,} keys, of which syncd reads {MOST_KEYS:,} at most",
            hint="narrow the rule's path",
        )
    return keys


class Walker:
    """Lists one mount, by the cheapest means that the server and the policy allow."""

    def __init__(self, client: VaultClient) -> None:
        self._client = client
        self._plain = Declined()
        """Mounts where the one-call listing was refused."""

    def strategy(self, mount: Mount) -> str:
        """How this mount is listed, in words."""
        if mount.kv == 1:
            return "KV v1: LIST, every value read"
        plain = mount.path in self._plain
        return "LIST and a metadata read each" if plain else "one call (detailed-metadata)"

    def walk(self, mount: Mount, glob: Glob) -> Tree:
        """List all that the glob (relative to the mount) may take. Raises `StatusError`, `SourceError`.

        In KV v2 OpenBao's one-call listing is tried first, unless it failed within the last hour. Otherwise folders are
        listed one by one, and in KV v2 the metadata of each path is read.
        """
        base, untaken = glob.folder, None
        place = mount.path + (f"{base}/" if base else "")
        if mount.kv == 2 and mount.path not in self._plain:
            try:
                return self._detailed(mount, base, deep="/" in glob.text[len(glob.prefix) :] or "**" in glob.text)
            except StatusError as error:
                # One that repeats our credential holds it for one secret of them: LIST tells which.
                if error.status not in {*UNKNOWN_CALL, REPEATS}:
                    raise
                untaken = repeats(place) if error.status == REPEATS else None
            except SourceUnavailable as error:
                if not error.too_large:
                    raise
                # LIST tells the same in smaller answers.
                untaken = ReadFailure(location=place, message=error.message, hint=error.hint)
            # Remembered, so that not every cycle begins with a call that is refused.
            self._plain.add(mount.path)
        tree = Tree()
        leaves = list(self._leaves(mount, base, glob, tree))
        # An answer that could not be taken, and nothing at all (no folder either): one of the two is none of Vault's.
        if untaken is not None and not (tree.keys or tree.failures):
            self._plain.discard(mount.path)
            tree.failures.append(untaken)
        if mount.kv == 1:
            tree.metadata = dict.fromkeys(leaves)
        else:
            self._read_metadata(mount, leaves, tree)
        return tree

    def _detailed(self, mount: Mount, base: str, *, deep: bool) -> Tree:
        """OpenBao: names and metadata of a folder, or of all below it, in one call."""
        verb = "scan" if deep else "list"
        place = f"{mount.path}detailed-metadata/{base}"
        try:
            answer = self._client.get(verb, place, f"{verb}_detailed_metadata")
        except StatusError as error:
            # KV has no empty folders: Vault's own 404 means that nothing is below.
            if is_missing(error):
                return Tree(calls=1)
            raise
        tree = Tree(calls=1)
        if deep and answer.get("data") == {}:
            return tree  # SCAN says so where nothing is; LIST answers 404
        key_info = mapping(mapping(answer.get("data")).get("key_info"))
        for key in _keys(answer):
            path = f"{base}/{key}".lstrip("/")
            # LIST names folders, too; a glob of one level takes nothing below them.
            if key.endswith("/"):
                continue
            # A failure each, not dropped: what a listing leaves out without a word would read as deleted.
            if has_dot_segment(path) or not is_storable(path):
                tree.failures.append(_dotted(mount.path + path))
            elif mapping(key_info.get(key)):
                tree.metadata[path] = key_info[key]
            else:
                tree.failures.append(
                    ReadFailure(location=mount.path + path, message="listed without its metadata", hint=NOT_VAULT_HINT)
                )
        return tree

    def _leaves(self, mount: Mount, base: str, glob: Glob, tree: Tree) -> Iterator[str]:
        """All below a folder, by LIST; a folder that cannot be listed is a failure, the others go on."""
        folders = [base]
        while folders:
            folder = folders.pop()
            tree.calls += 1
            # A server may name folders within folders for ever.
            if tree.calls > MOST_FOLDERS or time.monotonic() - tree.started > LISTING_SECONDS:
                raise SourceUnavailable(
                    f"{mount.path}{folder}: a listing without end",
                    hint="narrow the rule's path",
                    whole=True,
                    stalled=True,
                )
            keys = self._keys_of(mount, folder, tree)
            tree.keys += len(keys)
            for path in (f"{folder}/{key}".lstrip("/") for key in keys):
                if failure := _unusable(mount, path):
                    tree.failures.append(failure)
                elif not path.endswith("/"):
                    yield path
                elif glob.may_lead_to(path.rstrip("/")):
                    folders.append(path.rstrip("/"))

    def _keys_of(self, mount: Mount, folder: str, tree: Tree) -> list[str]:
        """What one folder lists; nothing, with its failure noted, where it cannot be listed."""
        prefix = mount.path + ("metadata/" if mount.kv == 2 else "")
        place = mount.path + (f"{folder}/" if folder else "")
        try:
            return _keys(self._client.get("list", prefix + folder, "list"))
        except StatusError as error:
            # A folder that went since its parent was listed is empty, not unreadable.
            if not is_missing(error):
                tree.failures.append(_refused(place, error, f"list on {prefix}{folder}"))
        except SourceUnavailable as error:
            if error.whole:
                raise
            tree.failures.append(ReadFailure(location=place, message=error.message, hint=error.hint))
        return []

    def _read_metadata(self, mount: Mount, leaves: list[str], tree: Tree) -> None:
        once = FailFast()
        tree.calls += len(leaves)

        def read_metadata(path: str) -> dict[str, Any] | ReadFailure | None:
            try:
                return once(lambda: self.metadata(mount, path))
            except StatusError as error:
                return _refused(mount.path + path, error, f"read on {mount.path}metadata/{path}")
            except SourceError as error:
                return ReadFailure(location=mount.path + path, message=error.message, hint=error.hint)

        with ThreadPoolExecutor(THREADS, thread_name_prefix="vault") as pool:
            for path, metadata in zip(leaves, pool.map(read_metadata, leaves), strict=True):
                # None: deleted since its folder was listed.
                if isinstance(metadata, ReadFailure):
                    tree.failures.append(metadata)
                elif metadata is not None:
                    tree.metadata[path] = metadata

    def metadata(self, mount: Mount, path: str) -> dict[str, Any] | None:
        """Return the metadata of one path; None if there is no such path. Raises `StatusError`, `SourceError`."""
        try:
            answer = self._client.get("get", f"{mount.path}metadata/{path}", "read_metadata")
        except StatusError as error:
            if is_missing(error):
                return None
            raise
        data = mapping(answer.get("data"))
        # Nulls where metadata belongs are neither a version nor an absence.
        if not data:
            raise StatusError(NO_ANSWER, (), {})
        return data


def _refused(place: str, error: StatusError, needs: str) -> ReadFailure:
    if error.status == REPEATS:
        return repeats(place)
    if error.status == NO_ANSWER:
        return ReadFailure(location=place, message=NOT_VAULT, hint=NOT_VAULT_HINT)
    hint = f"the policy needs {needs}" if error.status == DENIED else "see the path"
    word = "denied" if error.status == DENIED else "refused"
    return ReadFailure(location=place, message=f"{word} (HTTP {error.status})", hint=hint)


def _unusable(mount: Mount, path: str) -> ReadFailure | None:
    """Why a listed path cannot be read, or a folder (with its slash) not be looked into; None where it can."""
    if has_dot_segment(path.rstrip("/")) or not is_storable(path):
        return _dotted(mount.path + path)
    if path.endswith("/") and len(path) > PATH_MAX:
        return ReadFailure(location=mount.path + path[:60] + "…", message=TOO_LONG, hint=TOO_LONG_HINT)
    return None


def _dotted(place: str) -> ReadFailure:
    return ReadFailure(
        location=place,
        message="a path with a . or .. segment, a NUL or a lone surrogate is not read",
        hint="move the secret to another path",
    )
