"""Which mounts and paths of a listing are to be believed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from syncd.domain import ReadFailure, Snapshot
from syncd.domain.untrusted import PATH_MAX, TOO_LONG, TOO_LONG_HINT, is_storable


def conflicting_mount(known: Mapping[str, Collection[str]], mount: str, mount_id: str) -> str:
    """Return the known mount or account of a source that this one contradicts; empty if none.

    `known`: each mount with the ids that it may have; a source that was renamed may have more than one. An empty id: a
    person said that it was replaced, and it contradicts nothing.

    A mount contradicts if it has another id; or if one lies inside the other, which no server has; or if one is a
    mount and the other an account. Each of these means that the source leads to another place.
    """
    # What a person said was replaced contradicts nothing.
    settled = {name: ids for name, ids in known.items() if "" not in ids}
    if mount in settled:
        return mount if mount_id not in settled[mount] else ""
    nested = (name for name in settled if mount and (name.startswith(mount) or mount.startswith(name)))
    return next(nested, "") or next((name for name in settled if mount and _is_mount(name) != _is_mount(mount)), "")


def _is_mount(place: str) -> bool:
    """A Vault mount ends in a slash; an AWS account does not."""
    return place.endswith("/")


def as_accepted(mounts: Mapping[str, str]) -> dict[str, Collection[str]]:
    """Return the mounts of a source itself, each with the one id that was accepted."""
    return {mount: (mount_id,) for mount, mount_id in mounts.items()}


def expected(
    own: Mapping[str, str], orphaned: Mapping[str, Collection[str]], mount: str, prefix: str
) -> dict[str, Collection[str]]:
    """Return the mounts that a listing has to agree with: its source's, and those of a source that it takes over.

    `own`: the source's mounts, as accepted. `orphaned`: mounts of sources that no job has any more; of these count the
    mounts of the same kind, and those in which the rule's own paths lay, whatever answers for them now. `mount`: the
    listing's. `prefix`: how the paths of its rule begin.
    """
    inherited = {
        name: ids
        for name, ids in orphaned.items()
        if _is_mount(name) == _is_mount(mount) or (_is_mount(name) and prefix.startswith(name))
    }
    return {**inherited, **as_accepted(own)}


def is_new_mount(known: Mapping[str, str], snapshot: Snapshot) -> bool:
    """Is it a mount with secrets that is seen for the first time, and so to be remembered?"""
    # An empty mount may stand in for the real one: remembered, it would make the real one the one not believed.
    return bool(snapshot.mount_id and not known.get(snapshot.mount) and snapshot.entries)


def conflict_of(source: str, known: Mapping[str, Collection[str]], mount: str, mount_id: str) -> ReadFailure | None:
    """Return the failure for a mount or account that is not the one that the ledger knows; None if it is."""
    conflict = conflicting_mount(known, mount, mount_id)
    if not conflict:
        return None
    return ReadFailure(
        location=mount or mount_id or "the account",
        message=_another(conflict, known[conflict], mount_id),
        hint=f"see {'address, namespace' if _is_mount(conflict) else 'region, profile'} and credentials of source "
        f"{source}; if it was replaced on purpose: syncd state remount {source} {conflict}",
    )


def _another(name: str, known: Collection[str], found: str) -> str:
    if _is_mount(name):
        return "another mount than the one that the ledger knows"
    # Of an account the id is its region and its number.
    shown = f"{found} (region and account)" if found else "an account, or a region, without any secret"
    return f"another account or region than the one that the ledger knows: {shown}, and not {', '.join(sorted(known))}"


def without_conflicting_mount(source: str, known: Mapping[str, Collection[str]], snapshot: Snapshot) -> Snapshot:
    """Return the listing; an empty, incomplete one with a failure if its mount contradicts the known ones."""
    if not snapshot.complete and not snapshot.mount_id:
        return snapshot  # it failed, and says so
    failure = conflict_of(source, known, snapshot.mount, snapshot.mount_id)
    if failure is None:
        return snapshot
    # Nothing that it shows is one of our secrets, and nothing that it lacks is gone.
    return replace(snapshot, entries=(), failures=(failure,), complete=False)


def without_odd_paths(snapshot: Snapshot) -> Snapshot:
    """The listing without the paths that no database keeps; each is a failure."""
    kept, failures = [], []
    for entry in snapshot.entries:
        path = entry.ref.path
        if not is_storable(path):
            message = "a path with a NUL or a lone surrogate is not read"
            failures.append(ReadFailure(location=ascii(path), message=message, hint="rename it at the source"))
        elif len(path.encode()) > PATH_MAX:
            failures.append(ReadFailure(location=f"{path[:60]}…", message=TOO_LONG, hint=TOO_LONG_HINT))
        else:
            kept.append(entry)
    if not failures:
        return snapshot
    # A path that is left out here is there, so the listing proves no absence any more.
    return replace(snapshot, entries=tuple(kept), failures=(*snapshot.failures, *failures), complete=False)
