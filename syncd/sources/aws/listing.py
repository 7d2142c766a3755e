"""What AWS Secrets Manager has, as versions: ListSecrets for a glob, DescribeSecret for one name.

Limits (AWS reference): 100 secrets a page. A listing may lag some minutes behind; a look at one name does not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from syncd.domain import ReadFailure, Rule, SecretArn, SecretRef, Snapshot, SourceEntry
from syncd.domain.arn import NAME_CHARACTERS
from syncd.domain.naming import selects_path
from syncd.domain.places import ACCOUNT, ARN_OF
from syncd.domain.untrusted import mapping, word
from syncd.errors import SourceError
from syncd.sources.aws.answers import CURRENT, account_of, date_of, is_tagged, tags_of, version_of
from syncd.sources.aws.calls import AwsCalls
from syncd.sources.aws.errors import NOT_AWS, NOT_AWS_HINT, NOT_FOUND, Refused, as_source_error
from syncd.sources.limits import LISTING_SECONDS, PAGE

MOST_PAGES = 1000
NAME = re.compile(rf"[{NAME_CHARACTERS}]{{1,512}}")
FILTER = re.compile(r"(?!!)[a-zA-Z0-9 :_@/+=.!-]{1,512}")
"""What a filter's value may be; a `!` at its beginning means: not (ListSecrets reference, `Filter`)."""


class AwsListing:
    """The secrets of one account and region."""

    def __init__(self, name: str, calls: AwsCalls, owner_key: str) -> None:
        """`name`: of the source. `owner_key`: which tag of a secret names its owner."""
        self._name, self._calls, self._owner_key = name, calls, owner_key
        self.kms_keys: dict[str, str] = {}
        """KMS keys by path, of secrets that do not use the account's own key.

        For the hint about a key that may not be used.
        """

    def snapshot(self, rule: Rule) -> Snapshot:
        """List what the rule selects. A page that fails is a failure, and leaves the listing incomplete.

        A path without a wildcard is not listed, but looked at with `find`.
        """
        if not rule.path.has_wildcard:
            # ListSecrets may lag some minutes behind, DescribeSecret does not; for one name it costs one call, too.
            return self.find(rule, rule.path.text)
        return self._snapshot(rule, self._pages(rule), rule.path.text, "ListSecrets, 100 a call")

    def find(self, rule: Rule, path: str) -> Snapshot:
        """Look at one secret with DescribeSecret. A text that is no name at AWS is absent, and nothing is asked.

        An ARN is looked at only where the rule itself names it.
        """
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
            error = as_source_error(f"{self._calls.place}", refused, "secretsmanager:ListSecrets")
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
            mount=f"{ARN_OF}{arn.owner}" if arn else ACCOUNT,
            mount_id=arn.owner if arn else account_of(found) or (self.account() if complete and not found else ""),
            calls=calls,
            listing_method=listing_method,
            absence="it is marked for deletion at AWS" if deleted else "",
        )

    def account(self) -> str:
        """Ask AWS for the region and account of these credentials (`REGION:ACCOUNT`); empty if it does not tell them.

        For a rule that found no secret whose ARN tells them.
        """
        with suppress(Refused, SourceError):
            return account_of(self._calls.ask("list_secrets", MaxResults=1).get("SecretList") or [])
        return ""

    def _pages(self, rule: Rule) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of ListSecrets, which AWS narrows by the rule's path and tags as far as its filters go.

        Raises `Refused`, `SourceError`.
        """
        # What AWS's filters do not take, or take otherwise, is compared here.
        asked = [("name", rule.path.prefix), *(("tag-key", key) for key, _ in rule.tags)]
        usable = dict(reversed([(key, text) for key, text in asked if FILTER.fullmatch(text)]))
        filters = [{"Key": key, "Values": [text]} for key, text in sorted(usable.items())]
        arguments: dict[str, Any] = {"MaxResults": PAGE} | ({"Filters": filters} if filters else {})
        seen, started = set[str](), time.monotonic()
        while True:
            answer = self._calls.ask("list_secrets", **arguments)
            # An answer of another shape would pass for an empty page, and what it lacks for deleted.
            if "SecretList" not in answer:
                raise SourceError(f"{self._calls.place}: {NOT_AWS}", hint=NOT_AWS_HINT)
            # A peer may make up new page tokens for ever.
            if len(seen) > MOST_PAGES or time.monotonic() - started > LISTING_SECONDS:
                raise SourceError(f"{self._calls.place}: a listing without end", hint="narrow the rule's path")
            yield answer["SecretList"]
            token = answer.get("NextToken")
            if not token:
                return
            if not isinstance(token, str):
                raise SourceError(f"{self._calls.place}: {NOT_AWS}", hint=NOT_AWS_HINT)
            if token in seen:
                raise SourceError(f"{self._calls.place}: AWS repeats a page", hint="tried again in the next cycle")
            seen.add(token)
            arguments["NextToken"] = token

    def _one(self, path: str) -> Iterator[list[dict[str, Any]]]:
        described = self.described(path)
        yield [described] if described else []

    def described(self, path: str) -> dict[str, Any] | None:
        """Look at one secret with DescribeSecret, by name or ARN; None if there is none. Raises `SourceError`.

        One that is scheduled for deletion is returned, with a `DeletedDate`.
        """
        try:
            described = self._calls.ask("describe_secret", SecretId=path)
        except Refused as refused:
            # By AWS's own code, never by the HTTP status: any proxy on the way may answer 404.
            if refused.code == NOT_FOUND:
                return None
            raise as_source_error(f"{self._calls.place}: {path}", refused, "secretsmanager:DescribeSecret") from None
        # An answer that does not say whose it is may be another server's; it proves no absence.
        told = described.get("ARN" if SecretArn.parse(path) else "Name")
        if SecretArn.parse(path) and SecretArn.parse(str(told)) and str(told).startswith(f"{path}-"):
            raise SourceError(f"{self._calls.place}: {path} lacks the last part of the ARN", hint=f"write {told}")
        if told != path:
            raise SourceError(f"{self._calls.place}: {path}: {NOT_AWS}", hint=NOT_AWS_HINT)
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
            self.kms_keys[secret["Name"]] = key
        return SourceEntry(
            ref=SecretRef(source=self._name, path=secret["Name"]),
            version=version_of(version),
            updated_at=date_of(secret.get("LastChangedDate")),
            pin=rule.pin,
            owner=tags_of(secret).get(self._owner_key, ""),
            tags=frozenset(tags_of(secret).items()),
        )
