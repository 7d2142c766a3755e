"""AWS Secrets Manager on moto's server, and what moto does not do from a small stub."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.bootstrap.sources import SourceHooks
from syncd.config import load
from syncd.sources.aws.session import ClientFactory
from syncd.sources.aws.source import AwsSource
from tests.lab import AWS_ENVIRON, Lab
from tests.support.aws import aws_at, aws_source, rule, stub


@pytest.fixture
def counted(aws: Any) -> tuple[AwsSource, list[str]]:
    calls: list[str] = []
    return aws_source(aws, calls.append), calls


def test_tags_select_and_their_loss_is_no_absence(aws: Any, counted: tuple[AwsSource, list[str]]) -> None:
    source, _ = counted
    aws.create_secret(Name="t/a", SecretString="1", Tags=[{"Key": "sync", "Value": "wix"}])
    aws.create_secret(Name="t/b", SecretString="1", Tags=[{"Key": "sync", "Value": "no"}])
    aws.create_secret(Name="t/c", SecretString="1")
    tagged = rule("t/*", tags=(("sync", "wix"),))
    assert [entry.ref.path for entry in source.snapshot(tagged).entries] == ["t/a"]
    aws.untag_resource(SecretId="t/a", TagKeys=["sync"])
    assert source.check_path("t/a").existence == "there"


def test_binary_and_pinned_stage(aws: Any, counted: tuple[AwsSource, list[str]]) -> None:
    source, _ = counted
    aws.create_secret(Name="b/x", SecretBinary=b"\x00\x01")
    (reading,) = source.read(source.snapshot(rule("b/*")).entries)
    assert reading.document.reveal() == b"\x00\x01"
    aws.create_secret(Name="p/x", SecretString="old")
    aws.put_secret_value(SecretId="p/x", SecretString="new")
    previous = rule("p/x", pin="AWSPREVIOUS")
    (reading,) = source.read(source.snapshot(previous).entries)
    assert reading.document.reveal() == "old"
    snapshot = source.snapshot(rule("p/x", pin="NOBODY"))
    assert "no version holds the pinned stage" in snapshot.failures[0].message


def test_a_stage_that_was_moved_back_is_read_as_the_current_one(aws: Any, counted: tuple[AwsSource, list[str]]) -> None:
    source, _ = counted
    first = aws.create_secret(Name="s/x", SecretString="first")["VersionId"]
    second = aws.put_secret_value(SecretId="s/x", SecretString="second")["VersionId"]
    aws.update_secret_version_stage(
        SecretId="s/x", VersionStage="AWSCURRENT", MoveToVersionId=first, RemoveFromVersionId=second
    )
    (reading,) = source.read(source.snapshot(rule("s/*")).entries)
    assert reading.document.reveal() == "first" and reading.version.token == f"aws:{first}"


def test_a_scheduled_deletion_is_an_absence(aws: Any, counted: tuple[AwsSource, list[str]]) -> None:
    source, _ = counted
    aws.create_secret(Name="d/x", SecretString="1")
    aws.delete_secret(SecretId="d/x", RecoveryWindowInDays=7)
    for path in ("d/*", "d/x"):
        assert source.snapshot(rule(path)).entries == ()
    assert source.check_path("d/x").existence == "gone"


@pytest.mark.long
def test_a_thousand_cost_ten_pages_and_fifty_batches(
    aws: Any, aws_url: str, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AWS_ENVIRON.items():
        monkeypatch.setenv(name, value)
    for number in range(1000):
        aws.create_secret(Name=f"bulk/{number:04}", SecretString=f"v{number}")
    lab.aws(aws_url)
    lab.job("bulk", "aws", {"path": "bulk/*"})
    settings = load(lab.config_file)
    counts: list[dict[str, int]] = []
    from datetime import timedelta

    from syncd.reconcile.run_job import Run, sync_job

    for _ in range(2):
        calls: dict[str, int] = {}
        lab.wix.seen.clear()
        hooks = SourceHooks(on_call=lambda _s, call, calls=calls: calls.update({call: calls.get(call, 0) + 1}))
        with App(settings, Surroundings(source_hooks=hooks)) as app:
            (report,) = sync_job(app.runtime, app.runtime.jobs["bulk"], Run(holder="t", wait=timedelta(0)))
        assert report.exit_code == 0, report
        counts.append(calls)
    assert counts == [{"list_secrets": 10, "batch_get_secret_value": 50}, {"list_secrets": 10}]
    assert [one.method for one in lab.wix.seen] == ["GET"]
    assert len(lab.site.secrets) == 1000


def listed(*names: str, **more: Any) -> dict[str, Any]:
    return {"SecretList": [{"Name": n, "SecretVersionsToStages": {"v1": ["AWSCURRENT"]}} for n in names], **more}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("AccessDeniedException", "AWS refused"),
        ("ExpiredTokenException", "session has expired"),
        ("ThrottlingException", "asks to wait"),
        ("InternalServiceError", "asks to wait"),
    ],
)
def test_a_page_that_fails_in_mid_listing_leaves_it_incomplete(
    monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    monkeypatch.setattr("syncd.sources.retry.TRIED_FOR", 1.0)
    pages = [listed("m/a", NextToken="more"), {"__type": code, "message": "planted-text"}]
    with stub({"ListSecrets": pages}) as (url, _):
        snapshot = aws_at(url).snapshot(rule("m/*"))
    assert [entry.ref.path for entry in snapshot.entries] == ["m/a"]
    assert not snapshot.complete
    assert told in snapshot.failures[0].message and "planted" not in str(snapshot.failures)


def test_a_passing_throttle_is_tried_again() -> None:
    pages = [{"__type": "ThrottlingException", "message": "x"}, listed("m/a")]
    with stub({"ListSecrets": pages}) as (url, _):
        assert aws_at(url).snapshot(rule("m/*")).complete


def test_a_page_that_repeats_ends_the_listing() -> None:
    with stub({"ListSecrets": [listed("m/a", NextToken="same")]}) as (url, _):
        snapshot = aws_at(url).snapshot(rule("m/*"))
    assert not snapshot.complete and "repeats a page" in snapshot.failures[0].message


def test_a_mid_listing_failure_deletes_nothing(lab: Lab) -> None:
    names = [f"m/{n}" for n in range(4)]
    values = {"SecretValues": [{"Name": n, "VersionId": "v1", "SecretString": "x"} for n in names]}
    denied = {"__type": "AccessDeniedException", "message": "no"}
    lab.job("job", "aws", {"path": "m/*"}, deletion_policy="delete", deletion_grace="0s", guard={"max_deletes": 9})
    with stub({"ListSecrets": [listed(*names), listed(*names[:2], NextToken="t"), denied], "Batch": [values]}) as (
        url,
        _,
    ):
        lab.aws(url)
        assert lab.run("sync").code == 0
        writes = lab.writes()
        for _ in range(2):
            assert lab.run("sync").code == 4
        assert lab.writes() == writes
        assert len(lab.ids()) == 4


def test_without_the_batch_permission_it_reads_one_by_one() -> None:
    denied = {"__type": "AccessDeniedException", "message": "no"}
    one = {"Name": "m/a", "VersionId": "v1", "SecretString": "x"}
    with stub({"ListSecrets": [listed("m/a")], "Batch": [denied], "Describe": [one]}) as (url, _):
        source = aws_at(url)
        (reading,) = source.read(source.snapshot(rule("m/*")).entries)
    assert reading.document.reveal() == "x"


@pytest.mark.parametrize("value", [{"SecretString": {"a": 1}}, {"SecretString": []}, {"SecretString": 7}, {}])
def test_what_is_no_value_is_never_a_document(value: dict[str, Any]) -> None:
    given = {"Name": "m/a", "VersionId": "v1", **value}
    with stub({"ListSecrets": [listed("m/a")], "Batch": [{"SecretValues": [given]}], "Describe": [given]}) as (url, _):
        source = aws_at(url)
        (reading,) = source.read(source.snapshot(rule("m/*")).entries)
    assert reading.document is None and reading.failure and "no value" in reading.failure.message


def test_assume_role_on_moto(aws_url: str, aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS_ENVIRON.items():
        monkeypatch.setenv(name, value)
    made = ClientFactory(
        service="secretsmanager", region="eu-west-1", sts_endpoint_url=aws_url, external_id="ours",
        assume_role="arn:aws:iam::123456789012:role/reader",
    ).connect()  # fmt: skip
    frozen = made._request_signer._credentials.get_frozen_credentials()
    assert frozen.access_key != AWS_ENVIRON["AWS_ACCESS_KEY_ID"] and frozen.token


def test_no_credentials_at_all(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in AWS_ENVIRON:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    factory = ClientFactory(service="secretsmanager", region="eu-west-1", endpoint_url="http://127.0.0.1:1")
    made = factory.connect()
    snapshot = aws_source(made).snapshot(rule("a/*"))
    assert "no AWS credentials" in snapshot.failures[0].message
