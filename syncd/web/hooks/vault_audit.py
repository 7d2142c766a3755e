"""An audit device's lines of Vault or OpenBao: which paths were written. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from syncd.domain.places import KV2_CALLS
from syncd.domain.source import latest
from syncd.domain.untrusted import mapping, parsed, text

WRITES = {"create", "update", "patch", "delete"}
MOST_LINES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSecrets:
    """What lines of an audit device say was written, each as (namespace, path)."""

    paths: frozenset[tuple[str, str]] = frozenset()
    """The path of each request and, for a path of the KV v2 API, also the secret's own path.

    A line does not say which version of KV a mount has.
    """
    expected: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """The secrets that have changed, each with its new version; 0: no line tells the version."""


def written(body: bytes) -> WrittenSecrets | None:
    """Return the secrets that these lines of an audit device say were written; None if no line is an audit device's.

    Only the first 10,000 lines of a body are read.
    """
    found, understood = set(), False
    expected: dict[tuple[str, str], int] = {}
    for entry in islice(_entries(body), MOST_LINES):
        request = mapping(entry.get("request"))
        path = text(request.get("path")).strip("/")
        # A line of a read is understood, though it wakes nobody: only a body of other things is an error.
        understood |= bool(path)
        operation = text(request.get("operation"))
        # Of each request the line of its answer: only then is the new version there, and a refused one wrote nothing.
        if entry.get("type") != "response" or entry.get("error") or operation not in WRITES or not path:
            continue
        namespace = text(mapping(request.get("namespace")).get("path")).strip("/")
        mount = text(request.get("mount_point")) or path.partition("/")[0] + "/"
        secret = address = namespace, path
        found.add(address)
        call, _, rest = path.removeprefix(mount).partition("/")
        if path.startswith(mount) and call in KV2_CALLS and rest:
            secret = namespace, mount + rest
            found.add(secret)
        told = mapping(mapping(entry.get("response")).get("data")).get("version")
        version = told if type(told) is int else 0
        # Without a version it may be a folder of KV v1 that is called like a call.
        perhaps_changed = {secret} if version else {secret, address}
        # In KV v2 other custom metadata is no other version.
        if secret != address and call == "metadata" and operation != "delete":
            perhaps_changed = {address}
        for item in perhaps_changed:
            expected[item] = latest(expected.get(item), version)
    return WrittenSecrets(paths=frozenset(found), expected=expected) if understood else None


def _entries(body: bytes) -> Iterator[dict[str, Any]]:
    """The lines of a body, whether they come one by one or as a log shipper packs them."""
    whole = parsed(body)
    for thing in whole if isinstance(whole, list) else map(parsed, body.splitlines()):
        entry = mapping(thing)
        # A shipper puts the line that it read into a field of its own: Vector `message`, Fluent Bit `log`.
        packed = text(entry.get("message")) or text(entry.get("log"))
        yield mapping(parsed(packed.encode(errors="replace"))) if packed and "request" not in entry else entry
