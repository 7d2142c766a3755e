"""An audit device's lines of Vault or OpenBao: which paths were written. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from syncd.domain.places import KV2_CALLS
from syncd.domain.untrusted import mapping, parsed, text

WRITES = {"create", "update", "patch", "delete"}
MOST_LINES = 10_000


def written(body: bytes) -> frozenset[tuple[str, str]] | None:
    """The secrets that these lines of Vault's audit device say were written, as (namespace, path).

    Returns: both the path of the request and, where it is one of KV v2's API, the secret's own path, because a line
    does not say which version a mount has. Empty where nothing was written, None where no line is an audit device's.
    """
    found, understood = set(), False
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
        found.add((namespace, path))
        call, _, rest = path.removeprefix(mount).partition("/")
        if path.startswith(mount) and call in KV2_CALLS and rest:
            found.add((namespace, mount + rest))
    return frozenset(found) if understood else None


def _entries(body: bytes) -> Iterator[dict[str, Any]]:
    """The lines of a body, whether they come one by one or as a log shipper packs them."""
    whole = parsed(body)
    for thing in whole if isinstance(whole, list) else map(parsed, body.splitlines()):
        entry = mapping(thing)
        # A shipper puts the line that it read into a field of its own: Vector `message`, Fluent Bit `log`.
        packed = text(entry.get("message")) or text(entry.get("log"))
        yield mapping(parsed(packed.encode(errors="replace"))) if packed and "request" not in entry else entry
