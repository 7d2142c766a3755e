"""A mount or an account that is another than the one that the ledger knows proves no absence."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from syncd.reconcile.run_job import Run, sync_job
from tests.chaos.peers import Answer, peer, vault
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.aws import aws_source, rule
from tests.support.elsewhere import elsewhere
from tests.support.policies import DELETING


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


def test_a_mount_put_inside_a_removed_one_is_not_believed(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "pay/*"}, **DELETING)
    bao.put("pay/a", v="1")
    bao.put("pay/b", v="2")
    lab.run("sync")
    before = lab.site.values()
    bao.root.sys.disable_secrets_engine(bao.mount)
    bao.root.sys.enable_secrets_engine("kv", path=f"{bao.mount}/pay", options={"version": "2"})
    bao.root.secrets.kv.v2.create_or_update_secret("z", {"v": "3"}, mount_point=f"{bao.mount}/pay")
    for _ in range(2):
        assert lab.run("sync").code == 4
        assert lab.site.values() == before
    bao.root.sys.disable_secrets_engine(f"{bao.mount}/pay")


def test_another_aws_region_is_another_place(lab: Lab, aws: Any, aws_url: str) -> None:
    import boto3

    for name in ("h/a", "h/b", "h/c"):
        aws.create_secret(Name=name, SecretString="x")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "h/*"}, **DELETING)
    assert lab.run("sync").code == 0
    other = boto3.client(
        "secretsmanager", region_name="us-west-2", endpoint_url=aws_url,
        aws_access_key_id="lab", aws_secret_access_key=AWS_ENVIRON["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    other.create_secret(Name="h/a", SecretString="elsewhere")
    lab.config["sources"]["aws"]["region"] = "us-west-2"
    before = lab.site.values()
    for _ in range(2):
        assert lab.run("sync").code == 4
        assert lab.site.values() == before
    seen = lab.run("check", "--connect")
    assert seen.code == 4 and "syncd state remount aws account" in seen.out, "check tells it before a cycle does"
    other.delete_secret(SecretId="h/a", ForceDeleteWithoutRecovery=True)
    assert lab.run("state", "remount", "aws", "account").code == 0
    again = lab.run("state", "remount", "aws", "account")
    assert again.code == 3 and "the next cycle accepts the one that it finds" in again.err
    other.close()


def test_a_region_without_secrets_is_another_place(lab: Lab, aws: Any, aws_url: str) -> None:
    """The usual slip: the listing is empty, and nothing in it tells which account answered."""
    for name in ("h/a", "h/b"):
        aws.create_secret(Name=name, SecretString="x")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "h/*"}, **DELETING)
    assert lab.run("sync").code == 0
    lab.config["sources"]["aws"]["region"] = "us-east-1"
    for words in (("check", "--connect"), ("plan",), ("sync",)):
        told = lab.run(*words)
        said = told.out + told.err
        assert told.code == 4 and "region" in said and "eu-west-1:" in said, said
        assert said.index("see region") < said.index("syncd state remount aws account")
    assert len(lab.site.values()) == 2


def aws_peer(state: dict[str, Any]) -> Callable[[str, str, bytes], Answer]:
    """A Secrets Manager of one secret `app/a`, which answers as `state` says."""
    told = {
        "Name": "app/a", "ARN": f"arn:aws:secretsmanager:eu-west-1:{1111:012}:secret:app/a-AbCdEf",
        "VersionIdsToStages": {"v1": ["AWSCURRENT"]}, "SecretVersionsToStages": {"v1": ["AWSCURRENT"]},
    }  # fmt: skip

    def answer(_method: str, _path: str, body: bytes) -> Answer:
        asked = json.loads(body)
        if "MaxResults" in asked:
            return Answer(state.get("list") or {"SecretList": [told]})
        if "SecretIdList" in asked:
            return Answer({"SecretValues": [{"Name": "app/a", "VersionId": "v1", "SecretString": "one"}]})
        if "VersionStage" in asked:
            return Answer({"Name": "app/a", "VersionId": "v1", "SecretString": "one"})
        if state.get("describe") == "gone":
            return Answer({"__type": "ResourceNotFoundException", "message": "x"}, 400)
        return Answer(state.get("describe") or told)

    return answer


def test_another_account_is_seen_by_a_process_that_lives_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that change under a daemon: the account is learnt anew with each look."""
    for name, value in AWS_ENVIRON.items():
        monkeypatch.setenv(name, value)

    state: dict[str, Any] = {}
    other = {"Name": "else", "ARN": f"arn:aws:secretsmanager:eu-west-1:{2222:012}:secret:else-AbCdEf"}
    with peer(aws_peer(state)) as server:
        lab.aws(server.url)
        lab.job("job", "aws", {"path": "app/a", "name": "A"}, **DELETING)
        with App(load(lab.config_file)) as app:
            for _ in range(4):
                (report,) = sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="t", wait=timedelta(0)))
                state |= {"describe": "gone", "list": {"SecretList": [other]}}
    assert report.exit_code == 4 and set(lab.ids()) == {"A"}


def test_a_mount_whose_identity_is_no_text(lab: Lab) -> None:
    lab.secret_file("vault-token", "generated-token")
    lab.job("job", "vault", {"path": "kv/**"})
    mount = Answer({"data": {"type": "kv", "path": "kv/", "options": {"version": "2"}, "uuid": "u\ud800"}})
    with peer(vault(lambda _method, path: mount if "/mounts/" in path else None)) as server:
        lab.config["sources"]["vault"] = {
            "type": "vault", "address": server.url,
            "auth": {"method": "token", "token": {"file": str(lab.folder / "vault-token")}},
        }  # fmt: skip
        assert lab.run("sync").code == 4


def test_the_account_of_an_empty_rule_is_told_by_another_secret(aws: Any) -> None:
    aws.create_secret(Name="else", SecretString="x")
    snapshot = aws_source(aws).snapshot(rule("none/*"))
    assert snapshot.complete and snapshot.mount_id.startswith("eu-west-1:")


@pytest.mark.sweep
@pytest.mark.parametrize("rule", ["exact", "glob"])
@pytest.mark.parametrize("name", ["main", "another"])
@pytest.mark.parametrize("holds", [1, 0])
def test_a_source_that_becomes_an_account_is_another_place(
    lab: Lab, bao: Bao, aws: Any, aws_url: str, rule: str, name: str, holds: int
) -> None:
    lab.vault(bao, name="main")
    for path in "abc":
        bao.put(f"app/{path}", v="1")
    paths = [f"{bao.mount}/app/*"] if rule == "glob" else [f"{bao.mount}/app/{path}" for path in "abc"]
    lab.job("job", "main", *({"path": path, "field": "v", "name": "{basename}"} for path in paths), **DELETING)
    assert lab.run("sync").code == 0
    for path in "abc"[:holds]:
        aws.create_secret(Name=f"{bao.mount}/app/{path}", SecretString=json.dumps({"v": "other"}))
    del lab.config["sources"]["main"]
    lab.aws(aws_url, name=name)
    lab.config["jobs"]["job"]["source"] = name
    for _ in range(2):
        lab.run("sync")
        assert lab.site.values() == {"a": "1", "b": "1", "c": "1"}


def test_an_account_that_becomes_a_mount_is_another_place(lab: Lab, bao: Bao, aws: Any, aws_url: str) -> None:
    lab.aws(aws_url, name="main")
    for path in "abc":
        aws.create_secret(Name=f"{bao.mount}/app/{path}", SecretString=json.dumps({"v": "1"}))
    lab.job("job", "main", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"}, **DELETING)
    assert lab.run("sync").code == 0
    bao.put("app/a", v="other")
    del lab.config["sources"]["main"]
    lab.vault(bao, name="main")
    for _ in range(2):
        assert lab.run("sync").code == 4 and lab.site.values() == {"a": "1", "b": "1", "c": "1"}
    assert lab.run("state", "remount", "main", "account").code == 0
    lab.run("sync")
    assert lab.site.values()["a"] == "other", "what a person accepts is accepted"


def test_no_mount_is_accepted_under_a_cycle(lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    bao.put("app/a", v="1")
    assert lab.run("sync").code == 0
    monkeypatch.setattr("syncd.cli.state_lookup.WAIT", timedelta(0))
    with App(load(lab.config_file), Surroundings()) as app:
        with app.ledger.lock(app.site_of("shop"), holder="a cycle", wait=timedelta(0)):
            busy = lab.run("state", "remount", "vault", f"{bao.mount}/")
        assert busy.code == 7 and "a cycle" in busy.err, busy.err
        assert app.ledger.known_mounts("vault"), "nothing was forgotten"
    assert lab.run("state", "remount", "vault", f"{bao.mount}/").code == 0


@pytest.mark.sweep
@pytest.mark.parametrize("words", [("x_v",), ("x_v", "--to", "1")])
@pytest.mark.parametrize("renamed", [False, True])
def test_no_older_version_is_taken_from_a_place_that_is_not_believed(
    lab: Lab, bao: Bao, words: tuple[str, ...], renamed: bool
) -> None:
    other = elsewhere(bao)
    for place in (bao, other):
        for version in ("1", "2", "3"):
            place.put("app/x", v=f"{version} of {'ours' if place is bao else 'theirs'}")
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    right = dict(lab.config["sources"]["vault"])
    lab.config["sources"]["vault"]["namespace"] = other.namespace
    if renamed:
        lab.config["sources"]["new"] = lab.config["sources"].pop("vault")
        lab.config["jobs"]["job"]["source"] = "new"
    refused = lab.run("rollback", *words, "--reason", "x")
    assert refused.code == 4 and "state remount" in refused.err, refused.err
    assert lab.run("audit", "show", "--event", "secret.rolled_back", "--json").json == []
    lab.config["sources"] = {"vault": right}
    lab.config["jobs"]["job"]["source"] = "vault"
    assert lab.run("sync").code == 0 and lab.site.values() == {"x_v": "3 of ours"}
