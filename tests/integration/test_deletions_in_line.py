"""Deletions that wait for their place in the rate limit: what comes back at the source meanwhile stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncd.bootstrap.app import App
from syncd.config.loader import load
from syncd.domain import Delete
from syncd.reconcile.plan.second_look import SecondLook
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.clocks import one_cycle
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind


def cycle_with_a_change(lab: Lab, change: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cycle in which something changes at the source once a deletion is on its way, and waits for its place."""
    lab.config["targets"]["shop"]["rate_limit"] = "1/2s"
    lab.run("schema")  # writes the configuration
    looks, is_due = list[str](), SecondLook.is_due

    def looked(self: SecondLook, action: Delete) -> bool:
        looks.append(action.name)
        if len(looks) == 2:  # the first one was before it was journaled
            change()
        return is_due(self, action)

    monkeypatch.setattr(SecondLook, "is_due", looked)
    monkeypatch.setattr("syncd.reconcile.plan.second_look.GOOD_FOR", 0.0)
    with App(load(lab.config_file)) as app:
        report = one_cycle(app)
    assert len(looks) >= 2, f"no deletion waited: {report}"
    return report


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/s", v="1", w="1")
    bao.put("app/t", v="1")
    bao.put("app/k", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    assert lab.run("sync").code == 0
    return lab


@pytest.mark.parametrize(
    "comes", ["its field", "its path", "another path under its name", "a listing that fails", "nothing"]
)
def test_what_is_back_at_its_source_stays(job: Lab, bao: Bao, comes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = bao.policy("reads", f'path "{bao.mount}/*" {{ capabilities = ["read", "list"] }}')
    job.secret_file("vault-token", token)
    name = "s_w" if comes == "its field" else "t_v"
    job.config["jobs"]["job"]["secrets"].append({"path": f"{bao.mount}/new/*", "name": "{path}", "field": "v"})
    bao.put("new/other", v="1")
    assert job.run("sync").code == 0
    if comes == "its field":
        bao.put("app/s", v="2")
    else:
        bao.root.secrets.kv.v2.delete_metadata_and_all_versions("app/t", mount_point=bao.mount)
    changes: dict[str, Callable[[], object]] = {
        "its field": lambda: bao.put("app/s", v="2", w="1"),
        "its path": lambda: bao.put("app/t", v="1"),
        "another path under its name": lambda: bao.put("new/t_v", v="2"),
        "a listing that fails": lambda: bao.root.auth.token.revoke(token),
        "nothing": lambda: None,
    }
    report = cycle_with_a_change(job, changes[comes], monkeypatch)
    assert (name in job.site.values()) is (comes != "nothing"), report


def test_a_tag_that_is_back_keeps_its_secret(lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.aws(aws_url)
    for variable, value in AWS_ENVIRON.items():
        monkeypatch.setenv(variable, value)
    for name in ("p/a", "p/b"):
        aws.create_secret(Name=name, SecretString="1", Tags=[{"Key": "sync", "Value": "wix"}])
    lab.job("job", "aws", {"path": "p/*", "tags": {"sync": "wix"}}, **DELETING)
    assert lab.run("sync").code == 0
    aws.untag_resource(SecretId="p/a", TagKeys=["sync"])
    back = lambda: aws.tag_resource(SecretId="p/a", Tags=[{"Key": "sync", "Value": "wix"}])  # noqa: E731
    report = cycle_with_a_change(lab, back, monkeypatch)
    assert set(lab.site.values()) == {"a", "b"}, report
