"""One file has one role: what syncd writes is nothing that it, or the configuration, has for something else."""

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
"""The ends of what stands beside a ledger: SQLite's own files (sqlite.org/tempfiles.html) and the fingerprint key."""


def twice_used(settings: Settings, config: Path, *, looks: bool = True) -> Iterator[tuple[Place, Place]]:
    """Places of files that syncd would write to, and of what that file is already; empty: the configuration itself.

    Not `looks`: by their paths alone. Whoever sends a candidate is told nothing of this machine's files and links.
    """
    state = settings.state.path
    ledger = [(STATE, Path(f"{state}{end}")) for end in BESIDE] if state is not None else []
    named = [((), config), *(item for item in _files(settings) if item[0] not in {STATE, AUDIT})]
    audit = [(AUDIT, Path(settings.audit.file))] if settings.audit.file is not None else []
    pairs = [(one, other) for one in ledger for other in named]
    pairs += [(one, other) for one in audit for other in named + ledger]
    same = _is_same if looks else Path.__eq__
    yield from dict.fromkeys((place, other) for (place, path), (other, its) in pairs if same(path, its))


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


def _is_same(one: Path, other: Path) -> bool:
    """Do both lead to one file, whatever they are called? One that is not there yet is told by its path."""
    with suppress(OSError, RuntimeError, ValueError):  # what cannot be looked at is refused where it is used
        return one.resolve() == other.resolve() or one.samefile(other)
    return False
