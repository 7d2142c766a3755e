"""Two jobs that give one secret one name: the job that has the record sends it, with all that holds for that job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.wix_people import changed_by_hand


@pytest.fixture
def jobs(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("first", "vault", {"path": f"{bao.mount}/app/a", "field": "v", "name": "KEY"})
    lab.job("second", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "KEY"})
    assert lab.run("sync").code == 0 and lab.site.values() == {"KEY": "1"}
    return lab


def keep_back(lab: Lab, how: str) -> None:
    """Something holds for the first job alone."""
    if how == "pause":
        assert lab.run("pause", "first", "--reason", "freeze").code == 0
    elif how == "window":
        hour = datetime.now(UTC) + timedelta(hours=12)
        lab.config["jobs"]["first"]["windows"] = {"allow": [f"{hour:%H}:00-{hour:%H}:01"]}
    else:
        lab.config["rules"] = [{"id": "first-rests", "job": "first", "then": how}]


@pytest.mark.parametrize("how", ["pause", "hold", "deny", "window"])
def test_the_second_job_walks_round_nothing_that_holds_for_the_first(jobs: Lab, bao: Bao, how: str) -> None:
    keep_back(jobs, how)
    bao.put("app/a", v="2")
    for words in (["sync"], ["sync", "second"]):
        jobs.run(*words)
        assert jobs.site.values() == {"KEY": "1"}
    assert len(jobs.run("held", "--json").json) == (how == "hold")
    # The job that is gone has no pause, window or rule any more: the other one goes on with it.
    del jobs.config["jobs"]["first"]
    assert jobs.run("sync").code == 0 and jobs.site.values() == {"KEY": "2"}
    assert [row["job"] for row in jobs.run("state", "list", "--json").json] == ["second"]


def test_the_second_job_restores_nothing_that_the_first_only_reports(jobs: Lab) -> None:
    jobs.config["jobs"]["first"]["drift_policy"] = "report"
    changed_by_hand(jobs, "KEY")
    for _ in range(2):
        result = jobs.run("sync")
        assert jobs.site.values() == {"KEY": "HAND-MADE"}, result.out
    del jobs.config["jobs"]["first"]
    jobs.settle()
    assert jobs.site.values() == {"KEY": "1"}


def test_the_second_job_goes_on_where_the_first_lost_its_tags(lab: Lab, aws: Any, aws_url: str) -> None:
    for name in ("merge/x", "merge/y"):
        aws.create_secret(Name=name, SecretString="1", Tags=[{"Key": "sync", "Value": "wix"}])
    lab.aws(aws_url)
    lab.job("first", "aws", {"path": "merge/*", "tags": {"sync": "wix"}, "name": "{basename}"})
    lab.job("second", "aws", {"path": "merge/*", "name": "{basename}"})
    assert lab.run("sync").code == 0
    aws.untag_resource(SecretId="merge/x", TagKeys=["sync"])
    aws.put_secret_value(SecretId="merge/x", SecretString="2")
    told = lab.run("sync").out
    assert "lost the tags" in told, told
    assert lab.settle().code == 0 and lab.site.values() == {"x": "2", "y": "1"}
    assert set(lab.statuses().values()) == {"synced"}
