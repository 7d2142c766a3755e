"""AWS's law for names is AWS's: slashes anywhere, whole ARNs, and the state of one secret is that secret's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab import Lab
from tests.support.aws import stub
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind

SLASHED = ["/lead/a", "trail/a/", "double//a", "///", "/", "//lead//b//"]


def test_names_with_slashes_are_selected_excluded_and_mapped(lab: Lab, aws: Any, aws_url: str) -> None:
    for name in SLASHED:
        aws.create_secret(Name=name, SecretString=f"value of {name}")
    lab.aws(aws_url)
    rules = [
        {"path": "/lead/*", "name": "L_{path}"},
        {"path": "trail/*/", "name": "T_{path}"},
        {"path": "double//a", "name": "D_{basename}"},
        {"path": "//lead/**", "name": "B_{path}"},
        {"path": "/**", "exclude": ["/lead/*", "//lead/**"], "name": "REST_{path}"},
    ]
    lab.job("job", "aws", *rules, **DELETING)
    assert lab.run("sync").code == 0
    assert lab.site.values() == {
        "L_a": "value of /lead/a",
        "T_a_": "value of trail/a/",
        "D_a": "value of double//a",
        "B__b__": "value of //lead//b//",
        "REST_": "value of /",
        "REST___": "value of ///",
    }
    assert lab.run("plan", "--detailed-exitcode").code == 0
    aws.delete_secret(SecretId="double//a", ForceDeleteWithoutRecovery=True)
    lab.run("sync")
    assert "D_a" not in lab.site.values() and len(lab.site.values()) == 5


MANAGED = ["rds!db-1f0e6a2c", "events!connection/feeds/1c", "ecs-sc!web", "a!b!c"]


@pytest.mark.sweep
@pytest.mark.parametrize("name", MANAGED)
def test_names_that_services_of_aws_make(lab: Lab, aws: Any, aws_url: str, name: str) -> None:
    for each in (name, "plain"):
        aws.create_secret(Name=each, SecretString=json.dumps({"password": f"of {each}"}))
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": name, "field": "password", "name": "DB"}, **DELETING)
    assert lab.run("sync").code == 0 and lab.site.values() == {"DB": f"of {name}"}
    lab.config["jobs"]["job"]["secrets"][0]["path"] = f"{name[:-2]}*"
    aws.put_secret_value(SecretId=name, SecretString='{"password": "rotated"}')
    assert lab.run("sync").code == 0 and lab.site.values() == {"DB": "rotated"}, "a glob finds it, too"
    aws.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    lab.config["jobs"]["job"]["secrets"][0]["path"] = name
    lab.run("sync")
    assert lab.site.values() == {}


@pytest.mark.sweep
@pytest.mark.parametrize("path", ["prod/db", "/prod/db/"])
def test_an_arn_is_a_path(lab: Lab, aws: Any, aws_url: str, path: str) -> None:
    arn = aws.create_secret(Name=path, SecretString='{"user": "u", "host": "h"}')["ARN"]
    aws.create_secret(Name="other", SecretString="an account that is empty would prove nothing")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": arn, "field": "*"}, **DELETING)
    assert lab.run("sync").code == 0
    assert lab.site.values() == {"db_user": "u", "db_host": "h"}
    aws.put_secret_value(SecretId=path, SecretString='{"user": "new"}')
    assert lab.run("sync").code == 0 and lab.site.values() == {"db_user": "new"}
    aws.delete_secret(SecretId=path, ForceDeleteWithoutRecovery=True)
    lab.run("sync")
    assert lab.site.values() == {}, "gone is gone, by its ARN too"


def test_an_arn_of_another_account(lab: Lab) -> None:
    other = "arn:aws:secretsmanager:eu-west-1:999999999999:secret:shared/key-AbCdEf"
    described = {"ARN": other, "Name": "shared/key", "VersionIdsToStages": {"v1": ["AWSCURRENT"]}}
    own = {"ARN": "arn:aws:secretsmanager:eu-west-1:111111111111:secret:m/a-AbCdEf", "Name": "m/a",
           "SecretVersionsToStages": {"v1": ["AWSCURRENT"]}}  # fmt: skip
    values = {"SecretValues": [
        {"ARN": other, "Name": "shared/key", "VersionId": "v1", "SecretString": "theirs"},
        {"ARN": own["ARN"], "Name": "m/a", "VersionId": "v1", "SecretString": "ours"},
    ]}  # fmt: skip
    answers = {"ListSecrets": [{"SecretList": [own]}], "Describe": [described], "Batch": [values]}
    lab.job("job", "aws", {"path": "m/*"}, {"path": other, "name": "SHARED_{path}"})
    with stub(answers) as (url, _):
        lab.aws(url)
        for _ in range(2):
            assert lab.run("sync").code == 0, "two accounts in one job are not a replaced one"
    assert lab.site.values() == {"a": "ours", "SHARED_key": "theirs"}


@pytest.mark.parametrize(
    "path",
    ["arn:aws:secretsmanager:eu-west-1:999999999999:secret:short", "arn:aws:iam::1:role/x",
     "arn:aws:secretsmanager:us-east-1:999999999999:secret:a/b-AbCdEf", "with space", "a?b", "ü/*"],
)  # fmt: skip
def test_what_no_secret_at_aws_is_called(lab: Lab, path: str) -> None:
    lab.aws("http://127.0.0.1:1")
    lab.job("job", "aws", {"path": path})
    done = lab.run("check")
    assert done.code == 3 and "jobs.job.secrets[0].path" in done.err


STATES = {
    "no value": ("x/novalue", {}, "it has no value yet"),
    "a stage that was never there": ("x/a", {"stage": "NEVER"}, "no version holds the pinned stage NEVER"),
    "marked for deletion": ("x/marked", {}, "marked for deletion"),
}


@pytest.mark.sweep
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("door", ["exact", "glob"])
def test_the_state_of_one_secret_is_its_own(lab: Lab, aws: Any, aws_url: str, state: str, door: str) -> None:
    path, more, told = STATES[state]
    aws.create_secret(Name="x/a", SecretString="1")
    aws.create_secret(Name="x/b", SecretString="2")
    aws.create_secret(Name="x/novalue")
    aws.create_secret(Name="x/marked", SecretString="3")
    aws.delete_secret(SecretId="x/marked")
    lab.aws(aws_url)
    one = {"path": path, **more} if door == "exact" else {"path": path[:-1] + "*", **more}
    lab.job("job", "aws", {"path": "x/b"}, {**one, "name": "P_{path}"})
    for _ in range(2):
        done = lab.run("sync")
        if state == "marked for deletion" and door == "glob":
            assert done.code == 0, "AWS lists it no more"
        else:
            assert done.code == 1 and told in done.out and path in done.out, done.out
        assert "could not be read" not in done.out and "no such path" not in done.out and "unreadable" not in done.out
    assert lab.site.values()["b"] == "2"


def test_marked_for_deletion_while_it_is_read(lab: Lab) -> None:
    listed = {"SecretList": [{"Name": n, "SecretVersionsToStages": {"v1": ["AWSCURRENT"]}} for n in ("m/a", "m/b")]}
    values = {"SecretValues": [{"Name": "m/a", "VersionId": "v1", "SecretString": "x"}]}
    deleted = {"__type": "InvalidRequestException", "message": "marked for deletion"}
    lab.job("job", "aws", {"path": "m/*"})
    with stub({"ListSecrets": [listed], "Batch": [values], "Describe": [deleted]}) as (url, _):
        lab.aws(url)
        done = lab.run("sync")
    assert done.code == 1 and "m/b" in done.out and "marked for deletion" in done.out
    assert lab.site.values() == {"a": "x"}


def test_a_kms_fault_names_the_key(lab: Lab) -> None:
    key = "arn:aws:kms:eu-west-1:111111111111:key/11111111-2222-3333-4444-555555555555"
    listed = {"SecretList": [{"Name": "m/a", "KmsKeyId": key, "SecretVersionsToStages": {"v1": ["AWSCURRENT"]}}]}
    for refusal in (
        {"__type": "AccessDeniedException", "message": "Access to KMS is not allowed"},
        {"__type": "DecryptionFailure", "message": "x"},
    ):
        lab.job("job", "aws", {"path": "m/*"})
        with stub({"ListSecrets": [listed], "Batch": [{"SecretValues": []}], "Describe": [refusal]}) as (url, _):
            lab.aws(url)
            done = lab.run("sync")
        assert done.code == 4 and key in done.out and "kms:Decrypt" in done.out, done.out


def test_an_expired_token_does_not_turn_batches_off(lab: Lab) -> None:
    listed = {"SecretList": [{"Name": "m/a", "SecretVersionsToStages": {"v1": ["AWSCURRENT"]}}]}
    values = {"SecretValues": [{"Name": "m/a", "VersionId": "v1", "SecretString": "x"}]}
    one = {"Name": "m/a", "VersionId": "v1", "SecretString": "x"}
    expired = {"__type": "ExpiredTokenException", "message": "x"}
    from syncd.sources.aws.source import AwsSource
    from tests.support.aws import aws_at, rule

    asked: list[str] = []
    with stub({"ListSecrets": [listed], "Batch": [expired, values], "Describe": [one]}, asked) as (url, _):
        source: AwsSource = aws_at(url)
        for _ in range(2):
            list(source.read(source.snapshot(rule("m/*")).entries))
    assert asked.count("Batch") == 2, json.dumps(asked)


@pytest.mark.sweep
@pytest.mark.parametrize("asked", ["name", "arn"])
def test_a_name_and_its_arn_are_one_secret_when_it_leaks(lab: Lab, aws: Any, aws_url: str, asked: str) -> None:
    arn = aws.create_secret(Name="leak/db", SecretString='{"user": "u", "host": "h"}')["ARN"]
    aws.create_secret(Name="leak/other", SecretString="1")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "leak/db", "field": "user"}, {"path": arn, "field": "host", "name": "BY_ARN"})
    assert lab.run("sync").code == 0
    aws.put_secret_value(SecretId="leak/db", SecretString='{"user": "u2", "host": "h2"}')
    assert lab.run("sync").code == 0
    path = {"name": "leak/db", "arn": arn}[asked]
    told = lab.run("where", path, "--json").json
    assert sorted(row["name"] for row in told) == ["BY_ARN", "db_user"], "what a leak touches is all of it"
    (host,) = lab.run("where", f"{path}#host", "--json").json
    assert host["name"] == "BY_ARN"
    both = lab.run("rollback", path, "--reason", "leak")
    assert both.code == 3 and f"aws:{arn}" in both.err and "aws:leak/db" in both.err, "no half of it goes back unsaid"
    assert lab.run("rollback", f"aws:{path}", "--reason", "leak").code == 0
    assert lab.site.values() == {"db_user": "u", "BY_ARN": "h"}, "by either spelling all of it goes back"
    again = lab.run("rollback", f"aws:{'leak/db' if asked == 'arn' else arn}", "--reason", "leak")
    assert again.code == 3 and "is already rolled back to" in again.err


@pytest.mark.parametrize("to", ["name", "arn"])
def test_a_rollback_holds_however_its_secret_is_spelled(lab: Lab, aws: Any, aws_url: str, to: str) -> None:
    arn = aws.create_secret(Name="app/db", SecretString="good")["ARN"]
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": arn if to == "name" else "app/db", "name": "DB"})
    assert lab.run("sync").code == 0
    aws.put_secret_value(SecretId="app/db", SecretString="leaked")
    assert lab.run("sync").code == 0 and lab.site.values() == {"DB": "leaked"}
    assert lab.run("rollback", "DB", "--until", "30d", "--reason", "x").code == 0
    lab.config["jobs"]["job"]["secrets"][0]["path"] = "app/db" if to == "name" else arn
    assert lab.run("sync").code == 0
    assert lab.site.values() == {"DB": "good"} and lab.statuses()["DB"] == "rolled_back"
    assert lab.run("rollback", "DB", "--end", "--reason", "x").code == 0
    assert lab.run("sync").code == 0 and lab.site.values() == {"DB": "leaked"}, "and ends by the name of today"
