"""Find the older version for a rollback, read it anew at its source, and see that it is one to go back to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from syncd.domain import ReadResult, Record, SourceEntry, Version, is_of_an_earlier_secret, version_label
from syncd.domain.ports import Source
from syncd.errors import ConfigError, SourceError, VersionGone

PREVIOUS = "AWSPREVIOUS"
"""The stage that Secrets Manager moves to the version before the current one (RotateSecret reference)."""


def read_older(source: Source, path: str, entry: SourceEntry, wanted: str | None, rows: Sequence[Record]) -> Version:
    """Read an older version of a path anew. Returns: which version that is.

    `entry`: the path in its newest version. `wanted`: a version, or (AWS) a stage; None: the one before what the sites
    have. `rows`: what they have of it. Raises `VersionGone` if there is none that can be read, `SourceError`, and
    `ConfigError` for a version that is none to go back to, or where a person has to name it.
    """
    result = _read(source, entry, wanted, _before(path, entry, rows) if wanted is None else None)
    if result.version is None or result.document is None:
        which = f"version {wanted}" if wanted else "version before this one"
        raise VersionGone(f"{path} has no {which} that can be read", hint="name another version (--to)")
    _see_that_it_is_of_the_same_secret(path, entry, result.version)
    _see_that_it_is_older(path, entry, result)
    if wanted is None:
        _see_that_no_site_goes_forward(path, entry, result.version, rows)
    return result.version


def _before(path: str, entry: SourceEntry, rows: Sequence[Record]) -> int | None:
    """Return the number that an older version has to be below: the newest that a site has; None for ids without order.

    Raises `ConfigError` where that is not known: a person has to say which version is bad.
    """
    newest = entry.version.number if entry.version else None
    held = {version_label(row.version) for row in rows} - {""}
    if entry.version is not None and (row := next((row for row in rows if _is_in_doubt(row, entry.version)), None)):
        raise ConfigError(
            f"{path}: which version {row.target} has as {row.name} is not known", hint="name the older version (--to)"
        )
    if newest is not None:
        return min(newest, max((int(label) for label in held if label.isdecimal()), default=newest))
    # What AWS calls the one before is before the newest alone.
    if entry.version is not None and held and version_label(entry.version.token) not in held:
        raise ConfigError(
            f"{path}: the sites do not have its newest version, and AWS tells no other version's one before",
            hint="name the older version (--to)",
        )
    return None


def _see_that_no_site_goes_forward(path: str, entry: SourceEntry, older: Version, rows: Sequence[Record]) -> None:
    """Raise `ConfigError` where a site has a version that is older still: it would get a newer one by a rollback."""
    held = {version_label(row.version) for row in rows} - {""}
    if older.number is not None:
        goes_forward = any(label.isdecimal() and int(label) < older.number for label in held)
    else:
        # Ids have no order: a site has the newest one, or what it goes back to.
        goes_forward = bool(entry.version and held - {version_label(entry.version.token), version_label(older.token)})
    if goes_forward:
        raise ConfigError(
            f"{path}: the sites have the versions {', '.join(sorted(held))}", hint="name the older version (--to)"
        )


def _is_in_doubt(row: Record, newest: Version) -> bool:
    """Is it unknown which of the versions up to the newest one the row's site has?

    The answer to the write of a newer one was lost; or the row's version is of a secret that was deleted and made
    anew, whose numbers begin again.
    """
    is_behind = version_label(row.version) not in {"", version_label(newest.token)}
    is_open = row.unverified or row.pending is not None
    return (is_behind and is_open) or is_of_an_earlier_secret(row.version, newest)


def _see_that_it_is_of_the_same_secret(path: str, entry: SourceEntry, older: Version) -> None:
    """Raise `SourceError` for a version of a secret that was deleted and made anew: its numbers begin again."""
    if entry.version is not None and older.lineage != entry.version.lineage:
        raise SourceError(
            f"{path}: what was read as version {version_label(older.token)} is of an earlier secret of this path, "
            "or nobody can tell (a server that lags?)",
            hint="try again in a moment; where it lasts, see the servers behind the source's address",
        )


def _see_that_it_is_older(path: str, entry: SourceEntry, result: ReadResult) -> None:
    """Raise `ConfigError` for a version that is not older than the newest: that goes by `syncd release`, or by sync."""
    newest, older = entry.version, result.version
    if newest is None or older is None:
        return
    is_newer = newest.number is not None and older.number is not None and older.number > newest.number
    if not result.is_accepted or is_newer:
        raise ConfigError(
            f"{path}: version {version_label(older.token)} is not accepted at the source yet",
            hint="name an older version (--to)",
        )
    if older.token == newest.token:
        raise ConfigError(
            f"{path}: version {version_label(older.token)} is the newest one, and a rollback is to an older one",
            hint="name an older version (--to), or see: syncd held",
        )


def _read(source: Source, entry: SourceEntry, wanted: str | None, before: int | None) -> ReadResult:
    """Read the wanted version; without one, the newest older version that can be read.

    `before`: without a wanted version, the number that the older one is below; None where versions have no numbers.
    The result has no document if nothing can be read. Raises `SourceError` where the source does not answer.
    """
    found = ReadResult(entry=entry)
    for candidate in _candidates(entry, wanted, before):
        found = next(iter(source.read([candidate])), found)
        if found.document is not None:
            return found
        # A source that does not answer is no version that is gone: do not try older ones.
        if found.failure is not None and not (found.failure.of_secret or wanted):
            break
    # Of a wanted version at AWS the last try counts: the first one, by its id, is refused for a stage.
    if found.document is None and found.failure is not None and not found.failure.of_secret:
        raise SourceError(found.failure.message, hint=found.failure.hint)
    return found


def _candidates(entry: SourceEntry, wanted: str | None, before: int | None) -> Iterator[SourceEntry]:
    """Yield the versions to try, one after the other, until one can be read."""
    if entry.version is not None and entry.version.number is not None:
        top = entry.version.number if before is None else before
        tried = [wanted] if wanted is not None else [str(older) for older in range(top - 1, max(0, top - 20), -1)]
        # What is beyond the newest is not there; a number that no server keeps is not asked for.
        newest = entry.version.number
        yield from (replace(entry, read_as=item) for item in tried if item.isdecimal() and int(item) <= newest)
        return
    # At AWS a wanted version is an id or a stage, and nothing in its form tells which: both are tried.
    if wanted is not None:
        yield replace(entry, read_as=wanted)
    yield replace(entry, pin=wanted or PREVIOUS)
