"""Just before a deletion: only what is gone, by path and identity, is deleted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.hidden import hidden
from tests.support.policies import DELETING

RULES = [
    # Each pair shares a path; the secret is the second one's.
    [{"tags": {"team": "a"}}, {"tags": {"team": "b"}}],
    [{"tags": {"team": "a", "env": "prod"}}, {"tags": {"env": "prod"}}],
    [{"stage": "AWSPREVIOUS", "tags": {"x": "y"}}, {"tags": {"team": "b"}}],
    [{"exclude": ["app/x"]}, {}],
]


@pytest.mark.sweep
@pytest.mark.parametrize("rules", RULES, ids=str)
def test_there_but_not_listed_is_kept_whatever_the_first_rule_asks(
    lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch, rules: list[dict[str, Any]]
) -> None:
    tags = [{"Key": "team", "Value": "b"}, {"Key": "env", "Value": "prod"}]
    aws.create_secret(Name="app/x", SecretString="v", Tags=tags)
    aws.create_secret(Name="app/other", SecretString="v", Tags=tags)
    everything = {"team": "a", "env": "prod", "x": "y"}.items()
    aws.create_secret(
        Name="app/all", SecretString="u", Tags=[{"Key": key, "Value": value} for key, value in everything]
    )
    aws.put_secret_value(SecretId="app/all", SecretString="v")
    lab.aws(aws_url)
    named = [{"path": "app/*", "name": f"R{number}_{{path}}", **rule} for number, rule in enumerate(rules)]
    lab.job("job", "aws", *named, **DELETING)
    lab.run("sync")
    assert "R1_x" in lab.site.values()
    hidden(monkeypatch, "app/x")
    for _ in range(3):
        result = lab.run("sync")
        assert "R1_x" in lab.site.values(), result.out


def test_a_secret_that_lost_its_tag_is_an_orphan_and_one_that_is_gone_goes(lab: Lab, aws: Any, aws_url: str) -> None:
    for name in ("app/stays", "app/gone", "app/untagged"):
        aws.create_secret(Name=name, SecretString="v", Tags=[{"Key": "sync", "Value": "wix"}])
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "app/*", "tags": {"sync": "wix"}}, deletion_policy="keep")
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"] |= DELETING
    aws.delete_secret(SecretId="app/gone", ForceDeleteWithoutRecovery=True)
    lab.run("sync")
    assert set(lab.site.values()) == {"stays", "untagged"}
    aws.untag_resource(SecretId="app/untagged", TagKeys=["sync"])
    lab.run("sync")
    assert set(lab.site.values()) == {"stays"}, "nothing selects it any more: an orphan, past its grace"


def test_a_pinned_version_that_is_gone_deletes_nothing(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/x", v="1")
    bao.put("app/x", v="2")
    bao.put("app/y", v="1")
    rules = [{"path": f"{bao.mount}/app/x", "version": 1, "name": "X_{field}"}, {"path": f"{bao.mount}/app/y"}]
    lab.job("job", "vault", *rules, **DELETING)
    assert lab.run("sync").code == 0
    bao.root.secrets.kv.v2.destroy_secret_versions("app/x", [1], mount_point=bao.mount)
    for _ in range(3):
        assert lab.run("sync").code == 1, "the source answers: the one secret fails, by name"
    assert "X_v" in lab.site.values()
