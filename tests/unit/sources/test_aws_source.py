"""AWS's answers where they are odd, and threads that meet a refusal together. No server."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from syncd.domain import Glob, Rule
from syncd.sources.aws.source import AwsSource


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
    source = AwsSource("aws", Meta(list_secrets={"SecretList": [GOOD, odd]}), lambda _call: None)
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

    source = AwsSource("aws", Meta(get_secret_value=refused), lambda _call: None, renewed)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(source._ask("get_secret_value", SecretId="app/a")["SecretString"]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["x"] * 4 and len(made) == 1
