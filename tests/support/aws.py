"""An AWS source on a stub, and rules for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3

from syncd.domain import Glob, Rule
from syncd.sources.aws.calls import AwsCalls
from syncd.sources.aws.session import CONFIG
from syncd.sources.aws.source import AwsSource
from tests.support.http_stub import answering


def rule(path: str, field: str | None = None, **more: Any) -> Rule:
    return Rule(index=0, source="aws", path=Glob(path), field=field, name="{path}", **more)


def stub(answers: dict[str, Any], asked: list[str] | None = None):
    """An AWS that answers each call from a list, the last one for ever."""
    pages = {call: list(given) for call, given in answers.items()}

    def answer(_method: str, _path: str, body: bytes) -> tuple[int, bytes, str]:
        told = json.loads(body)
        call = "ListSecrets" if "MaxResults" in told else "Describe" if "SecretId" in told else "Batch"
        if asked is not None:
            asked.append(call)
        given = pages[call].pop(0) if len(pages[call]) > 1 else pages[call][0]
        status = 400 if "__type" in given else 200
        return status, json.dumps(given).encode(), "application/x-amz-json-1.1"

    return answering(answer)


def secrets_manager(url: str, region: str = "eu-west-1") -> Any:
    """A client of its own, of one region."""
    return boto3.client(
        "secretsmanager", region_name=region, endpoint_url=url, config=CONFIG,
        aws_access_key_id="lab", aws_secret_access_key="lab-generated",
    )  # fmt: skip


def aws_source(
    client: Any, observe: Callable[[str], None] = lambda _call: None, renewed: Callable[[], Any] = lambda: None
) -> AwsSource:
    return AwsSource("aws", AwsCalls("source aws", client, renewed, None, observe))


def aws_at(url: str) -> AwsSource:
    return aws_source(secrets_manager(url))
