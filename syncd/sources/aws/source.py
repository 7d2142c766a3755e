"""The `aws_secrets_manager` source: ListSecrets for versions, BatchGetSecretValue for values.

Limits (AWS reference): 100 secrets a page, 20 a batch. A listing may lag some minutes behind; reading does
not, so the version that counts is the one that came with the value.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from syncd.domain import (
    Existence,
    PathCheck,
    ReadFailure,
    ReadResult,
    Rule,
    RuleCheck,
    SecretArn,
    SecretRef,
    Snapshot,
    SourceEntry,
)
from syncd.domain.arn import NAME_CHARACTERS
from syncd.domain.naming import selects_path
from syncd.domain.places import ACCOUNT
from syncd.domain.untrusted import mapping, word
from syncd.errors import SourceError
from syncd.sources.aws.answers import (
    CURRENT,
    account_of,
    date_of,
    document_of,
    failed,
    is_tagged,
    tags_of,
    version_of,
)
from syncd.sources.aws.errors import (
    NOT_AWS,
    NOT_AWS_HINT,
    NOT_PERMITTED,
    Refused,
    as_source_error,
    asked_with_renewal,
)
from syncd.sources.aws.session import CONNECTIONS
from syncd.sources.declined import Declined
from syncd.sources.limits import LISTING_SECONDS, PAGE
from syncd.sources.retry import FailFast
from syncd.transport.idle import IdleWatch

MOST_PAGES = 1000
BATCH = 20
NAME = re.compile(rf"[{NAME_CHARACTERS}]{{1,512}}")
FILTER = re.compile(r"(?!!)[a-zA-Z0-9 :_@/+=.!-]{1,512}")
"""What a filter's value may be; a `!` at its beginning means: not (ListSecrets reference, `Filter`)."""
NOT_FOUND = "ResourceNotFoundException"
WRONG_STATE = "InvalidRequestException"
"""Such as a secret that is marked for deletion (GetSecretValue reference)."""
BATCHES = "BatchGetSecretValue"


class AwsSource:
    """Secrets of one account and region."""

    def __init__(
        self,
        name: str,
        client: Any,
        observe: Callable[[str], None],
        renewed: Callable[[], Any | None] = lambda: None,
        owner_key: str = "owner",
        stop: threading.Event | None = None,
    ) -> None:
        """`renewed` gives a client on other credentials, where AWS no longer takes those of `client`.

        `owner_key`: which tag of a secret names its owner. `stop`: set when the process ends.
        """
        self._stop = stop or threading.Event()
        self._owner_key = owner_key
        self.name = name
        self._client = client
        self._observe = observe
        self._renewed = renewed
        self._declined, self._idle = Declined(), IdleWatch()
        self._renewing = threading.Lock()
        self._kms_keys: dict[str, str] = {}
        """By path, where it is not the account's own key: for the hint about a key that may not be used."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        self._observe(call)
        used = self._client
        answer: dict[str, Any] = asked_with_renewal(
            f"source {self.name}",
            lambda: self._call(call, arguments),
            lambda: self._renew(used),
            self._stop,
        )
        return answer

    def _call(self, call: str, arguments: dict[str, Any]) -> Any:
        client = self._client
        with self._idle.use(client.close):  # botocore's close leaves a client that connects anew
            return getattr(client, call)(**arguments)

    def _renew(self, refused: Any) -> bool:
        """Is there another client than the refused one? Of threads that were refused together one makes it for all."""
        with self._renewing:
            if self._client is refused and (client := self._renewed()) is not None:
                self._client = client
            return self._client is not refused

    def snapshot(self, rule: Rule) -> Snapshot:
        """What the rule selects; a page that fails leaves the listing incomplete."""
        if not rule.path.has_wildcard:
            # ListSecrets may lag some minutes behind, DescribeSecret does not; for one name it costs one call, too.
            return self.find(rule, rule.path.text)
        return self._snapshot(rule, self._pages(rule), rule.path.text, "ListSecrets, 100 a call")

    def find(self, rule: Rule, path: str) -> Snapshot:
        """DescribeSecret, for a name as AWS takes it; an ARN only where the rule itself names it."""
        # No secret has a name that AWS's law excludes: asking for it would make a fault of an event's odd text.
        if not (NAME.fullmatch(path) or (path == rule.path.text and SecretArn.parse(path))):
            return Snapshot(complete=True, mount=ACCOUNT, listing_method="DescribeSecret")
        return self._snapshot(rule, self._one(path), path, "DescribeSecret")

    def _snapshot(self, rule: Rule, pages: Iterator[list[dict[str, Any]]], place: str, listing_method: str) -> Snapshot:
        found: list[dict[str, Any]] = []
        failures: list[ReadFailure] = []
        calls = 0
        try:
            for page in pages:
                calls += 1
                found.extend(page)
        # What came before the page that failed can be read and sent all the same; it proves no absence.
        except Refused as refused:
            error = as_source_error(f"source {self.name}", refused, "secretsmanager:ListSecrets")
            failures.append(ReadFailure(location=place, message=error.message, hint=error.hint))
        except SourceError as error:
            failures.append(ReadFailure(location=place, message=error.message, hint=error.hint))
        # An entry that does not say whose it is may be any secret's: what is not listed then is not known to be gone.
        nameless = [secret for secret in found if not word(mapping(secret).get("Name"))]
        failures += [ReadFailure(location=place, message=NOT_AWS, hint=NOT_AWS_HINT) for _ in nameless[:1]]
        # Every page came, and every entry has its name: what fails from here on is one secret's own fault.
        complete = not failures
        entries: dict[str, SourceEntry] = {}
        # DescribeSecret shows what is scheduled for deletion, though it can no longer be read; ListSecrets does not.
        deleted = [secret for secret in found if mapping(secret).get("DeletedDate")]
        for secret in found:
            if secret in deleted or secret in nameless:
                continue
            if selects_path(rule, secret["Name"]) and is_tagged(rule, secret):
                entry = self._entry(rule, secret)
                if isinstance(entry, ReadFailure):
                    failures.append(entry)
                else:
                    entries[entry.ref.path] = entry
        arn = SecretArn.parse(place)
        return Snapshot(
            entries=tuple(entries[path] for path in sorted(entries)),
            failures=tuple(failures),
            complete=complete,
            # An ARN may be of another account: under the same mount it would read as an account that was replaced.
            mount=f"arn:{arn.owner}" if arn else ACCOUNT,
            mount_id=arn.owner if arn else account_of(found) or (self._account() if complete and not found else ""),
            calls=calls,
            listing_method=listing_method,
            absence="it is marked for deletion at AWS" if deleted else "",
        )

    def _account(self) -> str:
        """The account of these credentials, asked anew: for a rule that found no secret that tells it."""
        with suppress(Refused, SourceError):
            return account_of(self._ask("list_secrets", MaxResults=1).get("SecretList") or [])
        return ""

    def _pages(self, rule: Rule) -> Iterator[list[dict[str, Any]]]:
        """ListSecrets, narrowed by the server as far as its filters go."""
        # What AWS's filters do not take, or take otherwise, is compared here.
        asked = [("name", rule.path.prefix), *(("tag-key", key) for key, _ in rule.tags)]
        usable = dict(reversed([(key, text) for key, text in asked if FILTER.fullmatch(text)]))
        filters = [{"Key": key, "Values": [text]} for key, text in sorted(usable.items())]
        arguments: dict[str, Any] = {"MaxResults": PAGE} | ({"Filters": filters} if filters else {})
        seen, started = set[str](), time.monotonic()
        while True:
            answer = self._ask("list_secrets", **arguments)
            # An answer of another shape would pass for an empty page, and what it lacks for deleted.
            if "SecretList" not in answer:
                raise SourceError(f"source {self.name}: {NOT_AWS}", hint=NOT_AWS_HINT)
            # A peer may make up new page tokens for ever.
            if len(seen) > MOST_PAGES or time.monotonic() - started > LISTING_SECONDS:
                raise SourceError(f"source {self.name}: a listing without end", hint="narrow the rule's path")
            yield answer["SecretList"]
            token = answer.get("NextToken")
            if not token:
                return
            if not isinstance(token, str):
                raise SourceError(f"source {self.name}: {NOT_AWS}", hint=NOT_AWS_HINT)
            if token in seen:
                raise SourceError(f"source {self.name}: AWS repeats a page", hint="tried again in the next cycle")
            seen.add(token)
            arguments["NextToken"] = token

    def _one(self, path: str) -> Iterator[list[dict[str, Any]]]:
        described = self._described(path)
        yield [described] if described else []

    def _described(self, path: str) -> dict[str, Any] | None:
        """DescribeSecret; None if there is no such secret, or it is scheduled for deletion."""
        try:
            described = self._ask("describe_secret", SecretId=path)
        except Refused as refused:
            # By AWS's own code, never by the HTTP status: any proxy on the way may answer 404.
            if refused.code == NOT_FOUND:
                return None
            raise as_source_error(f"source {self.name}: {path}", refused, "secretsmanager:DescribeSecret") from None
        # An answer that does not say whose it is may be another server's; it proves no absence.
        told = described.get("ARN" if SecretArn.parse(path) else "Name")
        if SecretArn.parse(path) and SecretArn.parse(str(told)) and str(told).startswith(f"{path}-"):
            raise SourceError(f"source {self.name}: {path} lacks the last part of the ARN", hint=f"write {told}")
        if told != path:
            raise SourceError(f"source {self.name}: {path}: {NOT_AWS}", hint=NOT_AWS_HINT)
        # What a rule names by its ARN goes by its ARN from here on: its name may be another account's.
        return {**described, "Name": path, "SecretVersionsToStages": described.get("VersionIdsToStages") or {}}

    def _entry(self, rule: Rule, secret: dict[str, Any]) -> SourceEntry | ReadFailure:
        stage = rule.pin or CURRENT
        stages = secret.get("SecretVersionsToStages") or {}
        version = next((key for key, held in stages.items() if stage in (held or ())), None)
        if version is not None and not word(version):
            return ReadFailure(location=secret["Name"], message=NOT_AWS, hint=NOT_AWS_HINT)
        if version is None:
            # Its own state, by AWS's word: neither a source that cannot be read (exit 4), nor an absence.
            gone = f"no version holds the pinned stage {stage}" if rule.pin else "it has no value yet"
            hint = "put a value, or exclude it from the rule"
            return ReadFailure(location=secret["Name"], message=gone, hint=hint, of_secret=True, pin=rule.pin)
        if key := word(secret.get("KmsKeyId")):
            self._kms_keys[secret["Name"]] = key
        return SourceEntry(
            ref=SecretRef(source=self.name, path=secret["Name"]),
            version=version_of(version),
            updated_at=date_of(secret.get("LastChangedDate")),
            pin=rule.pin,
            owner=tags_of(secret).get(self._owner_key, ""),
            tags=frozenset(tags_of(secret).items()),
        )

    def read(self, entries: Sequence[SourceEntry]) -> Iterator[ReadResult]:
        """Documents; unpinned ones 20 at a time."""
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
                answer = once(lambda: self._ask("batch_get_secret_value", SecretIdList=[e.ref.path for e in entries]))
            except Refused as refused:
                # Any other refusal, such as an expired token, is of this call alone: the next batch is tried again.
                # Until then its secrets are asked for one by one, and each says for itself what is wrong with it.
                if refused.code in NOT_PERMITTED:
                    self._declined.add(BATCHES)  # a policy without it: one by one until it may have been granted
            except SourceError as error:
                return [failed(entry, error.message, error.hint) for entry in entries]
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
            answer = once(lambda: self._ask("get_secret_value", SecretId=path, **which))
        except Refused as refused:
            return self._refused_reading(entry, refused)
        except SourceError as error:
            return failed(entry, error.message, error.hint)
        return document_of(entry, answer)

    def _refused_reading(self, entry: SourceEntry, refused: Refused) -> ReadResult:
        """Why one secret was not given: its own state, its key, or what the identity may not."""
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
            key = self._kms_keys.get(entry.ref.path)
            if refused.is_about_kms:
                which = f"its KMS key {key}" if key else "its KMS key"
                hint = f"the identity needs kms:Decrypt on {key or 'it'}, and the key must be enabled"
                return failed(entry, f"AWS cannot use {which} for it ({refused.code})", hint)
            needs = f"secretsmanager:GetSecretValue (and kms:Decrypt on {key or 'its key'})"
            error = as_source_error(f"source {self.name}", refused, needs)
            return failed(entry, error.message, error.hint)
        failure = ReadFailure(location=entry.ref.path, message=message, hint=hint, of_secret=True, pin=entry.pin)
        return ReadResult(entry=entry, failure=failure)

    def check_path(self, path: str, pin: str = "") -> PathCheck:  # noqa: ARG002  # a stage that is gone fails when read
        """DescribeSecret, whatever tags or stages it has."""
        described, arn = self._described(path), SecretArn.parse(path)
        mount = f"arn:{arn.owner}" if arn else ACCOUNT
        if described is None or described.get("DeletedDate"):
            # "Not found" at an endpoint that has nothing at all tells nothing of an ARN.
            here = account_of([described]) if described else self._account()
            mount_id = arn.owner if arn and here else here
            return PathCheck(existence=Existence.GONE, mount=mount, mount_id=mount_id)
        return PathCheck(
            existence=Existence.THERE,
            mount=mount,
            mount_id=account_of([described]),
            tags=frozenset(tags_of(described).items()),
        )

    def check(self, rules: Sequence[Rule]) -> Iterator[ReadFailure | RuleCheck]:
        """List each rule, and read one secret of it."""
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
