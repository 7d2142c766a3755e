"""Which part of a path is its mount, as the server tells it."""

from __future__ import annotations

from dataclasses import dataclass

from syncd.domain import ReadFailure
from syncd.domain.untrusted import mapping, word
from syncd.sources.vault.answers import NOT_VAULT, NOT_VAULT_HINT, StatusError
from syncd.sources.vault.client import VaultClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A KV mount as the server tells it; `path` ends in a slash."""

    path: str
    kv: int
    id: str


def is_canonical(path: str) -> bool:
    """Is it a path as Vault lists them? It has no empty segment (which a server folds away) and no dot segment."""
    return not {"", ".", ".."} & set(path.split("/"))


class Mounts:
    """The KV mounts of one server, in one namespace."""

    def __init__(self, client: VaultClient) -> None:
        self._client = client
        self._known: dict[str, Mount] = {}

    def find(self, asked: str, given: str | None, *, place: str) -> Mount | ReadFailure:
        """Ask the server which part of a path is its mount. Raises `SourceError`.

        `asked`: the path, or the folder that a glob starts in. `given`: the mount that the rule names, asked for in its
        place. `place`: what failures name. Returns: a failure where there is no KV mount, or none that can be read.
        """
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
        self._known[mount_path] = mount
        # A mount that answered for this path before, and does no more, was removed.
        for known in list(self._known):
            if known != mount_path and known.startswith(mount_path) and f"{asked.strip('/')}/".startswith(known):
                self._known.pop(known, None)
        return mount

    def holding(self, path: str) -> Mount:
        """Return the mount that a path is in, of those that `find` found; of several the one with the longest path."""
        return max(
            # A mount that was put inside a removed one lives beside it here; the longer path is the one that answers.
            (mount for mount in list(self._known.values()) if path.startswith(mount.path)),
            key=lambda mount: len(mount.path),
        )
