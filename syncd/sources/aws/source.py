"""The `aws_secrets_manager` source: ListSecrets for versions, BatchGetSecretValue for values.

Limits (AWS reference): 20 secrets a batch. A listing may lag some minutes behind; reading does not, so the version
that counts is the one that came with the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from syncd.domain import (
    Existence,
    PathCheck,
    ReadFailure,
    ReadResult,
    Rule,
    RuleCheck,
    SecretArn,
    Snapshot,
    SourceEntry,
)
from syncd.domain.places import ACCOUNT, ARN_OF
from syncd.domain.untrusted import mapping, word
from syncd.errors import SourceError
from syncd.sources.aws.answers import CURRENT, account_of, document_of, tags_of, version_of
from syncd.sources.aws.calls import AwsCalls
from syncd.sources.aws.errors import NOT_FOUND, NOT_PERMITTED, Refused, as_source_error
from syncd.sources.aws.listing import AwsListing
from syncd.sources.aws.session import CONNECTIONS
from syncd.sources.declined import Declined
from syncd.sources.retry import FailFast

BATCH = 20
WRONG_STATE = "InvalidRequestException"
"""Such as a secret that is marked for deletion (GetSecretValue reference)."""
BATCHES = "BatchGetSecretValue"


class AwsSource:
    """Secrets of one account and region."""

    def __init__(self, name: str, calls: AwsCalls, owner_key: str = "owner") -> None:
        """`owner_key`: which tag of a secret names its owner."""
        self.name = name
        self._calls = calls
        self._listing = AwsListing(name, calls, owner_key)
        self._declined = Declined()

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def snapshot(self, rule: Rule) -> Snapshot:
        """List what the rule selects. A page that fails is a failure, and leaves the listing incomplete."""
        return self._listing.snapshot(rule)

    def find(self, rule: Rule, path: str) -> Snapshot:
        """Look at one secret with DescribeSecret, for a name as AWS takes it; an ARN only where the rule names it."""
        return self._listing.find(rule, path)

    def read(self, entries: Sequence[SourceEntry]) -> Iterator[ReadResult]:
        """Read these entries, one result each: current versions 20 a call, pinned and rolled back ones one by one."""
        # BatchGetSecretValue gives current versions only; pinned and rolled back ones are asked for one by one.
        current = [entry for entry in entries if not entry.asked_version]
        chunks = [tuple(current[at : at + BATCH]) for at in range(0, len(current), BATCH)]
        once = FailFast()
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="aws") as pool:
            for readings in pool.map(lambda chunk: self._batch(chunk, once), chunks):
                yield from readings
            others = [entry for entry in entries if entry.asked_version]
            yield from pool.map(lambda entry: self._single(entry, once), others)

    def _batch(self, entries: tuple[SourceEntry, ...], once: FailFast) -> list[ReadResult]:
        answer: dict[str, Any] = {}
        if BATCHES not in self._declined:
            try:
                answer = once(
                    lambda: self._calls.ask("batch_get_secret_value", SecretIdList=[e.ref.path for e in entries])
                )
            except Refused as refused:
                # Any other refusal, such as an expired token, is of this call alone: the next batch is tried again.
                # Until then its secrets are asked for one by one, and each says for itself what is wrong with it.
                if refused.code in NOT_PERMITTED:
                    self._declined.add(BATCHES)  # a policy without it: one by one until it may have been granted
            except SourceError as error:
                return [ReadResult.failed(entry, error.message, error.hint) for entry in entries]
        values = [mapping(value) for value in answer.get("SecretValues") or ()]
        by_arn = {word(value.get("ARN")): value for value in values}
        # Two accounts may have one name: what was asked for by its ARN says nothing of the name's own secret.
        by_arn_alone = {entry.ref.path for entry in entries}.intersection(by_arn)
        by_name = {word(one.get("Name")): one for one in values if word(one.get("ARN")) not in by_arn_alone}
        readings = []
        for entry in entries:
            # The entry goes by whichever its rule wrote.
            value = (by_arn if SecretArn.parse(entry.ref.path) else by_name).get(entry.ref.path)
            # Another version than the listed one, or none: ask for exactly the current one.
            fresh = value is not None and entry.version == version_of(value.get("VersionId"))
            readings.append(document_of(entry, value or {}) if fresh else self._single(entry, once))
        return readings

    def _single(self, entry: SourceEntry, once: FailFast) -> ReadResult:
        stage, path = entry.pin or CURRENT, entry.ref.path
        which = {"VersionId": entry.read_as} if entry.read_as else {"VersionStage": stage}
        try:
            answer = once(lambda: self._calls.ask("get_secret_value", SecretId=path, **which))
        except Refused as refused:
            return self._refused_reading(entry, refused)
        except SourceError as error:
            return ReadResult.failed(entry, error.message, error.hint)
        return document_of(entry, answer)

    def _refused_reading(self, entry: SourceEntry, refused: Refused) -> ReadResult:
        """Return the result for a secret that AWS did not give: for its own state, its key, or a missing permission."""
        if refused.code == NOT_FOUND and entry.read_as:
            message = f"the version {entry.read_as} that it was rolled back to is gone"
            hint = "end it, or roll back to another one: syncd rollback PATH --end"
        # Only asked for by AWSCURRENT does it mean the secret: a pinned stage may be gone while the secret is there.
        elif refused.code == NOT_FOUND and not entry.pin:
            return ReadResult(entry=entry, gone=True)
        elif refused.code == NOT_FOUND:
            message, hint = f"no version holds the pinned stage {entry.pin}", "name a stage that it has"
        elif refused.code == WRONG_STATE:
            message, hint = "it is marked for deletion, or cannot be read in its present state", "restore it at AWS"
        else:
            key = self._listing.kms_keys.get(entry.ref.path)
            if refused.is_about_kms:
                which = f"its KMS key {key}" if key else "its KMS key"
                hint = f"the identity needs kms:Decrypt on {key or 'it'}, and the key must be enabled"
                return ReadResult.failed(entry, f"AWS cannot use {which} for it ({refused.code})", hint)
            needs = f"secretsmanager:GetSecretValue (and kms:Decrypt on {key or 'its key'})"
            error = as_source_error(self._calls.place, refused, needs)
            return ReadResult.failed(entry, error.message, error.hint)
        failure = ReadFailure(location=entry.ref.path, message=message, hint=hint, of_secret=True, pin=entry.pin)
        return ReadResult(entry=entry, failure=failure)

    def check_path(self, path: str, pin: str = "") -> PathCheck:  # noqa: ARG002  # a stage that is gone fails when read
        """Tell with DescribeSecret whether a secret is there, whatever tags or stages it has. Raises `SourceError`.

        One that is scheduled for deletion counts as gone.
        """
        described, arn = self._listing.described(path), SecretArn.parse(path)
        mount = f"{ARN_OF}{arn.owner}" if arn else ACCOUNT
        if described is None or described.get("DeletedDate"):
            # "Not found" at an endpoint that has nothing at all tells nothing of an ARN.
            here = account_of([described]) if described else self._listing.account()
            mount_id = arn.owner if arn and here else here
            return PathCheck(existence=Existence.GONE, mount=mount, mount_id=mount_id)
        return PathCheck(
            existence=Existence.THERE,
            mount=mount,
            mount_id=account_of([described]),
            tags=frozenset(tags_of(described).items()),
        )

    def check(self, rules: Sequence[Rule]) -> Iterator[ReadFailure | RuleCheck]:
        """List each rule, and read one secret of it.

        Yields each failure, and a `RuleCheck` for each rule that was listed completely.
        """
        for rule in rules:
            snapshot = self.snapshot(rule)
            yield from snapshot.failures
            if not snapshot.complete:
                continue
            yield RuleCheck.of(rule, snapshot)
            # Values need a permission of their own, which one value is enough to try.
            for reading in self.read(snapshot.entries[:1]):
                if reading.failure:
                    yield reading.failure
