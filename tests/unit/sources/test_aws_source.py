"""AWS's answers where they are odd, and threads that meet a refusal together. No server."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from syncd.domain import Glob, Rule, SecretRef, SourceEntry
from syncd.sources.aws.answers import version_of
from tests.support.aws import aws_source


class Meta:
    def __init__(self, **answers: Any) -> None:
        self.answers, self.closed = answers, False

    def __getattr__(self, call: str) -> Any:
        def answer(**_: Any) -> Any:
            given = self.answers[call]
            return given() if callable(given) else given

        return answer

    def close(self) -> None:
        self.closed = True


GOOD = {"Name": "app/a", "ARN": "arn:aws:secretsmanager:eu-west-1:111111111111:secret:app/a-AbCdEf",
        "SecretVersionsToStages": {"v1": ["AWSCURRENT"]}}  # fmt: skip


@pytest.mark.parametrize("odd", [{}, {"Name": ""}, {"Name": 7}, "text", None, {"ARN": GOOD["ARN"]}])
def test_a_listing_with_an_entry_of_nobody_proves_no_absence(odd: Any) -> None:
    source = aws_source(Meta(list_secrets={"SecretList": [GOOD, odd]}))
    seen = source.snapshot(Rule(index=0, source="aws", path=Glob("app/*"), field=None, name="{path}"))
    assert [entry.ref.path for entry in seen.entries] == ["app/a"] and not seen.complete and seen.failures


def test_threads_that_are_refused_together_go_on_with_the_client_that_one_of_them_made() -> None:
    """The factory makes one client: to the second thread it has no other to give within a minute."""
    together = threading.Barrier(4, timeout=10)

    def refused() -> Any:
        together.wait()
        raise ClientError({"Error": {"Code": "ExpiredTokenException"}}, "GetSecretValue")

    made: list[Any] = []

    def renewed() -> Any:
        if made:
            return None
        made.append(Meta(get_secret_value={"Name": "app/a", "VersionId": "v1", "SecretString": "x"}))
        return made[0]

    source = aws_source(Meta(get_secret_value=refused), renewed=renewed)
    found: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(source._calls.ask("get_secret_value", SecretId="app/a")["SecretString"])
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["x"] * 4 and len(made) == 1


THEIRS = "arn:aws:secretsmanager:eu-west-1:222222222222:secret:app/a-ZzZzZz"
OWN = {"ARN": GOOD["ARN"], "Name": "app/a", "VersionId": "v1", "SecretString": "ours"}
FOREIGN = {"ARN": THEIRS, "Name": "app/a", "VersionId": "v1", "SecretString": "theirs"}


@pytest.mark.parametrize("answered", [[OWN, FOREIGN], [FOREIGN, OWN], [FOREIGN], [OWN], []])
@pytest.mark.parametrize("asked", [["app/a", THEIRS], [THEIRS, "app/a"], ["app/a", THEIRS, GOOD["ARN"]]])
def test_a_name_gets_no_other_accounts_value(answered: list[dict[str, str]], asked: list[str]) -> None:
    """One name in two accounts, under one version id, as whoever copies a secret with its token makes it."""
    given = {OWN["ARN"]: OWN, "app/a": OWN, THEIRS: FOREIGN}
    client = Meta(batch_get_secret_value={"SecretValues": answered})
    client.get_secret_value = lambda SecretId, **_: given[SecretId]
    source = aws_source(client)
    entries = [SourceEntry(ref=SecretRef(source="aws", path=path), version=version_of("v1")) for path in asked]
    read = {result.entry.ref.path: result.document.reveal() for result in source.read(entries) if result.document}
    assert read == {path: given[path]["SecretString"] for path in asked}


@pytest.mark.parametrize(
    ("path", "tags", "filters"),
    [
        ("app/*", {}, {"name": "app/"}),
        ("app/*", {"sync": "wix"}, {"name": "app/", "tag-key": "sync"}),
        ("app/*", {"Größe": "x"}, {"name": "app/"}),
        ("app/*", {"!not": "x", "a b:c@d": "y"}, {"name": "app/", "tag-key": "a b:c@d"}),
        ("größe/*", {"中": "x"}, {}),
        ("!a/*", {}, {}),
        ("*", {"tab\t": "x"}, {}),
    ],
)
def test_a_filter_says_only_what_aws_takes(path: str, tags: dict[str, str], filters: dict[str, str]) -> None:
    asked: list[dict[str, Any]] = []
    client = Meta()
    client.list_secrets = lambda **words: asked.append(words) or {"SecretList": []}
    source = aws_source(client)
    source.snapshot(
        Rule(index=0, source="aws", path=Glob(path), field=None, name="{path}", tags=tuple(sorted(tags.items())))
    )
    assert {one["Key"]: one["Values"][0] for one in asked[0].get("Filters", [])} == filters


def test_a_role_that_is_refused_says_nothing_of_the_calls_own_permission() -> None:
    """Batches go on once the role is given again, and the words name the role."""

    def refused() -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "AssumeRole")

    client = Meta(batch_get_secret_value=refused)
    source = aws_source(client)
    entry = SourceEntry(ref=SecretRef(source="aws", path="app/a"), version=version_of("v1"))
    (failed,) = source.read([entry])
    assert failed.failure and "refused the role" in failed.failure.message and "assume_role" in failed.failure.hint
    client.answers["batch_get_secret_value"] = {"SecretValues": [OWN]}
    (read,) = source.read([entry])
    assert read.document
