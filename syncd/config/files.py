"""Find files with two uses: a file that syncd writes must not be one that it, or the configuration, uses otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from syncd.config.fields import Credential, PlacedPath
from syncd.config.settings import Settings

Place = tuple[str | int, ...]
STATE: Place = ("state", "path")
AUDIT: Place = ("audit", "file")
BESIDE = ("", "-wal", "-shm", "-journal", ".key")
"""Endings of the files beside a ledger: SQLite's own files (sqlite.org/tempfiles.html) and the fingerprint key."""


def twice_used(settings: Settings, config: Path, *, looks: bool = True) -> Iterator[tuple[Place, Place]]:
    """Yield pairs of settings: the first names a file that syncd would write, the second uses it for something else.

    An empty place is the configuration itself. `looks=False`: compare the paths alone, so that whoever sends a
    candidate learns nothing of this machine's files and links.
    """
    state = settings.state
    # With a key of its own nothing is generated beside the ledger.
    beside = BESIDE if state.fingerprint_key is None else BESIDE[:-1]
    ledger = [(STATE, Path(f"{state.path}{end}")) for end in beside] if state.path is not None else []
    named = [((), config), *(item for item in _files(settings) if item[0] not in {STATE, AUDIT})]
    audit = [(AUDIT, Path(settings.audit.file))] if settings.audit.file is not None else []
    identities = _looked_at if looks else _written
    found: dict[object, dict[Place, None]] = {}
    for place, path in named:
        for identity in identities(path):
            found.setdefault(identity, {})[place] = None
    of_ledger = {identity for _, path in ledger for identity in identities(path)}
    pairs = [
        (place, other) for place, path in (*ledger, *audit) for one in identities(path) for other in found.get(one, ())
    ]
    pairs += [(AUDIT, STATE) for _, path in audit if of_ledger & set(identities(path))]
    yield from dict.fromkeys(pairs)


def _written(path: Path) -> tuple[object, ...]:
    return (path,)


def _looked_at(path: Path) -> tuple[object, ...]:
    """Return what identifies a file however it is named: its real path, and its device and number.

    Without the number if it does not exist yet; empty if it cannot be looked at.
    """
    with suppress(OSError, RuntimeError, ValueError):  # what cannot be looked at is refused where it is used
        resolved = path.resolve()
        with suppress(FileNotFoundError):  # one that is not there yet is told by its path
            found = resolved.stat()
            return resolved, (found.st_dev, found.st_ino)
        return (resolved,)
    return ()


def _files(value: object, place: Place = ()) -> Iterator[tuple[Place, Path]]:
    """Every file that a configuration names, with its place."""
    if isinstance(value, Credential):
        if value.file is not None:
            yield (*place, "file"), value.path
    elif isinstance(value, PlacedPath):
        yield place, Path(value)
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _files(getattr(value, name), (*place, field.alias or name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _files(item, (*place, key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _files(item, (*place, number))
