"""What reading one path of Vault gave: a document, that it is gone, or why it could not be read. Pure."""

from __future__ import annotations

from typing import Any

from syncd.domain import ReadFailure, ReadResult, SecretValue, SourceEntry
from syncd.domain.untrusted import instant, mapping, word
from syncd.sources.vault.answers import NO_ANSWER, NOT_VAULT, NOT_VAULT_HINT, REPEATS, StatusError
from syncd.sources.vault.versions import is_number, kv2_version

DENIED = 403
NOT_FOUND = 404


def is_missing(error: StatusError) -> bool:
    """Is this Vault's own 404 about the path itself? It has an empty list of errors.

    A 404 with error texts is about a mount or a namespace; one of another shape is a proxy's, and says nothing.
    """
    return error.status == NOT_FOUND and error.body == {"errors": []}


def is_deleted(error: StatusError) -> bool:
    """Is this a 404 that carries a version's metadata? Then this version is deleted or destroyed."""
    data = mapping(error.body.get("data"))
    has_version = is_number(mapping(data.get("metadata")).get("version"))
    return error.status == NOT_FOUND and has_version and data.get("data") is None


def denied(path: str, error: StatusError) -> ReadFailure:
    """Why one path or mount cannot be read, by the status of its answer."""
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


def repeats(place: str) -> ReadFailure:
    """Return the failure of an answer that holds this source's own credential, in a value or beside it.

    Nothing of such an answer is sent.
    """
    return ReadFailure(
        location=place,
        message="its answer holds the very credential that syncd logs in with, and is not taken",
        hint="exclude it from the rule, or give syncd a credential of its own",
    )


def reading_of(entry: SourceEntry, answer: dict[str, Any]) -> ReadResult:
    """What KV v2 answers for one version."""
    held = mapping(answer.get("data"))
    metadata = mapping(held.get("metadata"))
    created = word(metadata.get("created_time"))
    if not is_number(metadata.get("version")) or not created or "data" not in held:
        return ReadResult.failed(entry, NOT_VAULT, NOT_VAULT_HINT)
    # The answer carries metadata without data: the version was deleted between listing and reading.
    if held["data"] is None:
        return gone(entry)
    version = kv2_version(metadata.get("version"), created)
    # Only what is listed is known to be of the listed metadata: a path may have been made anew meanwhile, and one of
    # the two answers may come from a server that lags.
    if entry.version is not None and entry.version.token == version.token:
        version = entry.version
    return document_of(entry, held["data"], version, updated=created)


def gone(entry: SourceEntry) -> ReadResult:
    """Return the result for a version that is not there. If a rollback asked for it, that is a failure.

    Otherwise the version is gone: it was deleted a moment after it was listed.
    """
    if entry.read_as:
        message = f"the version {entry.read_as} that it was rolled back to is gone"
        hint = "end it, or roll back to another one: syncd rollback PATH --end"
        failure = ReadFailure(location=entry.ref.path, message=message, hint=hint, of_secret=True, pin=entry.pin)
        return ReadResult(entry=entry, failure=failure)
    return ReadResult(entry=entry, gone=True)


def document_of(entry: SourceEntry, data: object, version: Any, *, updated: object = None) -> ReadResult:
    """The fields of a secret; a failure where the answer has none."""
    if not isinstance(data, dict):
        return ReadResult.failed(entry, NOT_VAULT, NOT_VAULT_HINT)
    return ReadResult(
        entry=entry,
        version=version,
        document=SecretValue(data),
        updated_at=instant(updated) or entry.updated_at,
    )
