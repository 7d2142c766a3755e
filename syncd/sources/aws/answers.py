"""Read AWS's answers: the account, version, tags and value of a secret. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from syncd.domain import ReadResult, Rule, SecretValue, SourceEntry, Version
from syncd.domain.untrusted import mapping, text, word

CURRENT = "AWSCURRENT"
PENDING = "AWSPENDING"


def account_of(found: Sequence[dict[str, Any]]) -> str:
    """Return `REGION:ACCOUNT` from the first ARN that tells them; empty for none.

    An ARN is arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME.
    """
    parts = [word(mapping(secret).get("ARN")).split(":") for secret in found]
    return next((f"{part[3]}:{part[4]}" for part in parts if len(part) > 5), "")


def version_of(version_id: object) -> Version:
    """A version of a secret; ids of AWS have no order."""
    return Version(token=f"aws:{version_id}")


def is_tagged(rule: Rule, secret: dict[str, Any]) -> bool:
    """Does a secret carry every tag that the rule asks for?"""
    held = tags_of(secret)
    return all(held.get(key) == value for key, value in rule.tags)


def tags_of(described: dict[str, Any]) -> dict[str, str]:
    """The tags of a listed or described secret."""
    return {text(tag.get("Key")): text(tag.get("Value")) for tag in map(mapping, described.get("Tags") or ())}


def date_of(moment: object) -> datetime | None:
    """A moment of an answer; None for anything else."""
    return moment if isinstance(moment, datetime) and moment.tzinfo is not None else None


def document_of(entry: SourceEntry, answer: dict[str, Any]) -> ReadResult:
    """Return the value in an answer of GetSecretValue, or in one of the values of BatchGetSecretValue.

    The result is a failure if the answer holds no value or no version id.
    """
    # botocore hands on a string of its model as whatever the answer has there.
    value = next((answer[key] for key in ("SecretString", "SecretBinary") if answer.get(key) is not None), None)
    if not isinstance(value, str | bytes) or not word(answer.get("VersionId")):
        return ReadResult.failed(entry, "the answer holds no value", "see what answers at endpoint_url")
    stages = {text(stage) for stage in answer.get("VersionStages") or ()}
    return ReadResult(
        entry=entry,
        version=version_of(answer.get("VersionId")),
        document=SecretValue(value),
        # The version's own date, for the rules about age: LastChangedDate moves for other causes as well.
        updated_at=date_of(answer.get("CreatedDate")) or entry.updated_at,
        # AWSPENDING alone is on a version that the rotation has not finished: a rollback may not lead there.
        is_accepted=PENDING not in stages or CURRENT in stages,
    )
