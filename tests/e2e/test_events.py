"""Fresh in seconds: a write at OpenBao by its audit device, a change at AWS by EventBridge and SQS, a person by POST."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from syncd.sandbox.launchers import free_ports, openbao
from syncd.sources.aws.event_queue import names_in
from syncd.web.hooks.vault_audit import written
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.daemon import ask, running
from tests.support.waiting import until, within

SOON = 2.0
"""Seconds from a write at the source to Wix."""


def post(url: str, body: bytes, token: str = "generated-token") -> tuple[int, str]:
    request = urllib.request.Request(url, data=body, method="POST", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def served(lab: Lab) -> Lab:
    lab.secret_file("api-token", "generated-token")
    lab.config["server"] = {"listen": f"127.0.0.1:{free_ports(1)}", "token": {"file": str(lab.folder / "api-token")}}
    return lab


@pytest.fixture
def audited(served: Lab, tmp_path: Path) -> Iterator[Bao]:
    """An OpenBao whose http audit device is pointed at the daemon."""
    url = f"http://{served.config['server']['listen']}/hooks/vault-audit"
    headers = json.dumps({"Authorization": ["Bearer generated-token"]}).replace('"', '\\"')
    config = tmp_path / "audit.hcl"
    config.write_text(
        f'audit "file" "log" {{ options = {{ file_path = "{tmp_path}/audit.log" }} }}\n'
        f'audit "http" "syncd" {{ options = {{ uri = "{url}", headers = "{headers}", skip_test = "true" }} }}\n'
    )
    with openbao(f"-config={config}") as server:
        yield Bao(server, "secret", server.token)


def test_a_write_at_openbao_arrives_within_two_seconds(served: Lab, audited: Bao) -> None:
    served.vault(audited)
    served.job("job", "vault", {"path": "secret/app/*"}, schedule={"every": "1h"})
    served.job("other", "vault", {"path": "secret/other/*"}, schedule={"every": "1h"})
    audited.put("app/a", v="one")
    with running(served) as (process, url):
        until(lambda: served.site.values() == {"a_v": "one"})
        until(lambda: len(json.loads(ask(url + "/status", token="generated-token")[1])["jobs"][1]["targets"]))
        cycles = cycles_of(url, "other")
        for value in ("two", "three", "four"):
            with within(SOON):
                audited.put("app/a", v=value)
                until(lambda value=value: served.site.values() == {"a_v": value})
        assert cycles_of(url, "other") == cycles, "a job whose paths were not written slept on"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "generated-token" not in out + err
    last = [line for line in served.run("audit", "show", "--json").json if line["event"] == "secret.update"][-1]
    assert last["actor"]["kind"] == "event" and last["actor"]["via"] == "POST /hooks/vault-audit, token token"


def cycles_of(url: str, job: str) -> float:
    lines = ask(url + "/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if f'duration_seconds_count{{job="{job}"' in line)


@pytest.mark.long
def test_a_hundred_writes_are_few_cycles(served: Lab, audited: Bao) -> None:
    served.vault(audited)
    served.job("job", "vault", {"path": "secret/app/*"}, schedule={"every": "1h"})
    audited.put("app/a", v="0")
    with running(served) as (_, url):
        until(lambda: served.site.values() == {"a_v": "0"})
        before = cycles_of(url, "job")
        for number in range(1, 101):
            audited.put("app/a", v=str(number))
        until(lambda: served.site.values() == {"a_v": "100"})
        assert 1 <= cycles_of(url, "job") - before <= 12


def test_the_hook_is_guarded(served: Lab, bao: Bao) -> None:
    served.vault(bao)
    served.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"})
    with running(served) as (_, url):
        until(lambda: ask(url + "/livez")[0] == 200)
        line = {"type": "response", "request": {"operation": "update", "path": f"{bao.mount}/data/app/a"}}
        hook = url + "/hooks/vault-audit"
        assert post(hook, json.dumps(line).encode(), "wrong")[0] == 401
        assert post(hook, b"no json")[0] == 400
        assert post(hook, b"x" * 2_000_000)[0] == 413
        assert post(hook, json.dumps(line).encode()) == (202, "started job\n")
        assert post(hook, json.dumps({**line, "error": "denied"}).encode())[0] == 200
        assert post(f"{url}/-/sync?path={bao.mount}/app/a", b"") == (202, "started job\n")
        assert post(f"{url}/-/sync?path={bao.mount}/none", b"")[0] == 404
        assert post(f"{url}/-/sync?path=a&job=b", b"")[0] == 400


def test_what_an_audit_line_tells() -> None:
    def line(**more: Any) -> bytes:
        return json.dumps({"type": "response", "request": {"operation": "update", **more}}).encode()

    def paths(body: bytes) -> frozenset[tuple[str, str]] | None:
        return told.paths if (told := written(body)) else None

    assert paths(line(path="secret/data/a/b", mount_point="secret/")) == {("", "secret/data/a/b"), ("", "secret/a/b")}
    assert paths(line(path="kv/a", mount_point="kv/", namespace={"path": "ns/"})) == {("ns", "kv/a")}
    for nothing in (
        line(path="secret/data/a", operation="read"),
        line(path="secret/data/a").replace(b"response", b"request"),
    ):
        assert paths(nothing) == frozenset()
    assert written(b"") is None and written(b"[]\n{}\nnull") is None
    both = paths(line(path="kv/metadata/a", mount_point="kv/", operation="delete") + b"\nbroken\n" + line(path="x"))
    assert both == {("", "kv/metadata/a"), ("", "kv/a"), ("", "x")}


# --- AWS


@pytest.fixture
def queued(served: Lab, aws: Any, aws_url: str) -> Iterator[tuple[Lab, Any, Any]]:
    """A queue that EventBridge fills with Secrets Manager's events."""

    def client(name: str) -> Any:
        return boto3.client(
            name, region_name="eu-west-1", endpoint_url=aws_url,
            aws_access_key_id="lab", aws_secret_access_key=AWS_ENVIRON["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip

    sqs, events = client("sqs"), client("events")
    url = sqs.create_queue(QueueName="syncd")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="secrets", EventPattern=json.dumps({"source": ["aws.secretsmanager"]}), State="ENABLED")
    events.put_targets(Rule="secrets", Targets=[{"Id": "syncd", "Arn": arn}])
    served.aws(aws_url)
    served.config["sources"]["aws"]["events"] = {"sqs": url}
    yield served, aws, events
    sqs.close()
    events.close()


def event(name: str, **more: Any) -> dict[str, Any]:
    detail = {"eventName": "PutSecretValue", "requestParameters": {"secretId": name}, **more}
    return {"Source": "aws.secretsmanager", "DetailType": "AWS API Call via CloudTrail", "Detail": json.dumps(detail)}


def test_a_change_at_aws_arrives_within_two_seconds(queued: tuple[Lab, Any, Any]) -> None:
    lab, aws, events = queued
    aws.create_secret(Name="prod/a", SecretString="one")
    lab.job("job", "aws", {"path": "prod/*"}, schedule={"every": "1h"})
    with running(lab) as (process, _):
        until(lambda: lab.site.values() == {"a": "one"})
        for value in ("two", "three"):
            aws.put_secret_value(SecretId="prod/a", SecretString=value)
            with within(SOON):
                events.put_events(Entries=[event("prod/a")])
                until(lambda value=value: lab.site.values() == {"a": value})
        aws.create_secret(Name="prod/new", SecretString="four")
        with within(SOON):
            events.put_events(Entries=[event("other/x"), event("", requestParameters={"name": "prod/new"})])
            until(lambda: lab.site.values() == {"a": "three", "new": "four"})
        with within(10):
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 0


def test_a_named_secret_is_read_although_the_listing_lags(
    lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real ListSecrets may miss five minutes; an event's secret is described and read by itself."""
    from datetime import timedelta

    from syncd.bootstrap.app import App
    from syncd.config import load
    from syncd.reconcile.run_job import Run, sync_job

    for name, value in AWS_ENVIRON.items():
        monkeypatch.setenv(name, value)
    aws.create_secret(Name="prod/a", SecretString="one")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "prod/*"})
    with App(load(lab.config_file)) as app:
        source = app.source("aws")
        honest = source._calls.ask
        frozen: dict[str, Any] = {}

        def lagging(call: str, **arguments: Any) -> Any:
            return (
                frozen.setdefault(call, honest(call, **arguments))
                if call == "list_secrets"
                else honest(call, **arguments)
            )

        monkeypatch.setattr(source._calls, "ask", lagging)

        def cycle(*named: str) -> dict[str, str]:
            sync_job(
                app.runtime, app.runtime.jobs["job"], Run(holder="t", wait=timedelta(0), hinted_paths=frozenset(named))
            )
            return lab.site.values()

        assert cycle() == {"a": "one"}
        aws.put_secret_value(SecretId="prod/a", SecretString="two")
        aws.create_secret(Name="prod/b", SecretString="three")
        assert cycle() == {"a": "one"}, "the listing lags"
        assert cycle("prod/a", "prod/b", "prod/none", "else/x") == {"a": "two", "b": "three"}
        before = lab.writes()
        assert cycle() == {"a": "two", "b": "three"} and lab.writes() == before, (
            "the lagging listing takes nothing back"
        )


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"source": "aws.secretsmanager", "detail": {"requestParameters": {"secretId": "prod/a"}}}, {"prod/a"}),
        ({"source": "aws.secretsmanager", "detail": {"requestParameters": {"name": "prod/a-b"}}}, {"prod/a-b"}),
        (
            {"source": "aws.secretsmanager", "detail": {"additionalEventData": {
                "SecretId": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/a-b-AbCd12"}}},
            {"prod/a-b"},
        ),
        ({"source": "aws.s3", "detail": {"requestParameters": {"name": "x"}}}, set()),
        ({"Message": json.dumps({"source": "aws.secretsmanager", "detail": {"requestParameters": {"name": "n"}}})}, {"n"}),
        ([], set()), ("x", set()), ({"source": "aws.secretsmanager", "detail": {"requestParameters": []}}, set()),
    ],
)  # fmt: skip
def test_what_an_event_names(body: Any, names: set[str]) -> None:
    assert names_in(json.dumps(body)) == names
    assert names_in("no json") == set()
