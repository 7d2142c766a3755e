"""Two jobs that give one secret one name: the job that has the record sends it, with all that holds for that job."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.reconcile.run_job import Run, sync_job
from tests.lab import Bao, Lab
from tests.support.elsewhere import elsewhere
from tests.support.policies import DELETING, closed
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind


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


@pytest.mark.sweep
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


@pytest.mark.sweep
@pytest.mark.parametrize("how", ["pause", "hold"])
@pytest.mark.parametrize("change", ["missing once", "source", "path", "field", "job"])
def test_whatever_changes_for_both_the_first_still_sends_it(jobs: Lab, bao: Bao, how: str, change: str) -> None:
    """The row keeps its old reference while the first job waits: what counts is who wants the name, and of what."""
    bao.put("app/a", v="1", w="1")
    bao.put("new/a", v="9")
    assert jobs.run("sync").code == 0
    keep_back(jobs, how)
    both = jobs.config["jobs"]
    kv = bao.root.secrets.kv.v2
    if change == "missing once":
        kv.delete_latest_version_of_secret("app/a", mount_point=bao.mount)
        jobs.run("sync")
    elif change == "source":
        jobs.config["sources"]["renamed"] = jobs.config["sources"].pop("vault")
        for one in both.values():
            one["source"] = "renamed"
    elif change == "path":
        for one in both.values():
            one["secrets"][0]["path"] = f"{bao.mount}/new/a"
    elif change == "field":
        for one in both.values():
            one["secrets"][0]["field"] = "w"
    else:
        jobs.config["jobs"] = {"late": both["first"], "second": both["second"]}
        for rule in jobs.config.get("rules", []):
            rule["job"] = "late"
    bao.put("app/a", v="2", w="2")
    for words in (["sync", "second"], ["sync"], ["sync", "second"]):
        result = jobs.run(*words)
        assert jobs.site.values() == {"KEY": "1"}, result.out
    if how == "pause":
        assert jobs.run("resume", "first").code == 0
        jobs.settle()
        assert jobs.site.values() == {"KEY": "9" if change == "path" else "2"}


@pytest.mark.sweep
@pytest.mark.parametrize("how", ["pause", "deny", "nothing"])
@pytest.mark.parametrize("other_runs_first", [True, False])
def test_a_conflict_outlasts_another_name_of_the_source(lab: Lab, bao: Bao, how: str, other_runs_first: bool) -> None:
    """The row of a source that is configured no more is its own job's, whoever plans first."""
    lab.vault(bao)
    bao.put("app/a", v="1")
    bao.put("app/b", v="THEIRS")
    lab.job("first", "vault", {"path": f"{bao.mount}/app/a", "field": "v", "name": "KEY"})
    lab.job("second", "vault", {"path": f"{bao.mount}/app/b", "field": "v", "name": "KEY"})
    assert lab.run("sync").code == 1 and lab.site.values() == {"KEY": "1"}
    if how != "nothing":
        keep_back(lab, how)
        bao.put("app/a", v="2")
    lab.config["sources"]["renamed"] = lab.config["sources"].pop("vault")
    for one in lab.config["jobs"].values():
        one["source"] = "renamed"
    for words in [["sync", "second"]] * other_runs_first + [["sync"], ["sync"]]:
        result = lab.run(*words)
        assert lab.site.values() == {"KEY": "1"}, result.out


@pytest.mark.sweep
@pytest.mark.parametrize("gone", ["deleted", "destroyed"])
@pytest.mark.parametrize("name", ["KEY", "key"])
def test_what_is_rolled_back_passes_to_nobody(lab: Lab, bao: Bao, name: str, gone: str) -> None:
    lab.vault(bao)
    for value in ("good", "leaked"):
        bao.put("app/a", v=value)
    bao.put("app/b", v="THEIRS")
    lab.job("first", "vault", {"path": f"{bao.mount}/app/a", "field": "v", "name": "KEY"}, deletion_policy="delete")
    lab.job("second", "vault", {"path": f"{bao.mount}/app/b", "field": "v", "name": name})
    lab.run("sync")
    assert lab.run("rollback", f"{bao.mount}/app/a", "--to", "1", "--until", "3d", "--reason", "leak").code in {0, 1}
    assert lab.site.values() == {"KEY": "good"}
    kv = bao.root.secrets.kv.v2
    if gone == "deleted":
        kv.delete_latest_version_of_secret("app/a", mount_point=bao.mount)
    else:
        kv.destroy_secret_versions("app/a", [2], mount_point=bao.mount)
    for _ in range(2):
        lab.run("sync")
        assert lab.site.values() == {"KEY": "good"}


@pytest.mark.sweep
@pytest.mark.parametrize("how", ["window", "nothing"])
@pytest.mark.parametrize("change", ["a template", "json", "another entry of its source", "another name of the job"])
def test_a_conflict_outlasts_another_form_entry_and_job(lab: Lab, bao: Bao, how: str, change: str) -> None:
    """What its owner makes of its path, and under which name of a job or source, changes nothing of whose it is."""
    lab.vault(bao)
    bao.put("app/a", v="1")
    bao.put("app/b", v="THEIRS")
    rule = {"path": f"{bao.mount}/app/a", "field": "v", "name": "KEY"}
    lab.job("first", "vault", rule)
    lab.job("second", "vault", {"path": f"{bao.mount}/app/b", "field": "v", "name": "KEY"})
    assert lab.run("sync").code == 1 and lab.site.values() == {"KEY": "1"}
    name = "first"
    if change == "a template":
        lab.config["jobs"]["first"]["secrets"] = [{"path": rule["path"], "name": "KEY", "value": "of {v}"}]
    elif change == "json":
        lab.config["jobs"]["first"]["secrets"] = [{"path": rule["path"], "name": "KEY", "format": "json"}]
    elif change == "another entry of its source":
        lab.config["sources"]["entry"] = dict(lab.config["sources"]["vault"])
        lab.config["jobs"]["first"]["source"] = "entry"
    else:
        name = "third"
        lab.config["jobs"] = {"second": lab.config["jobs"]["second"], "third": lab.config["jobs"]["first"]}
    if how == "window":
        lab.config["jobs"][name]["windows"] = {"allow": closed()}
    elif how != "nothing":
        lab.config["rules"] = [{"id": "waits", "job": name, "then": how}]
    bao.put("app/a", v="2")
    for words in (["sync", "second"], ["sync"], ["sync"]):
        result = lab.run(*words)
        assert "THEIRS" not in lab.site.values().values(), result.out


@pytest.mark.sweep
@pytest.mark.parametrize("which", ["the same job", "another job"])
def test_a_tag_that_is_taken_off_passes_nothing_that_is_rolled_back(
    lab: Lab, aws: Any, aws_url: str, which: str
) -> None:
    prefix, tags = f"p{uuid.uuid4().hex[:8]}", [{"Key": "sync", "Value": "wix"}]
    first = aws.create_secret(Name=f"{prefix}/a", SecretString="good", Tags=tags)["VersionId"]
    aws.create_secret(Name=f"{prefix}/b", SecretString="THEIRS", Tags=tags)
    lab.aws(aws_url)
    rules = [{"path": f"{prefix}/{path}", "name": "KEY", "tags": {"sync": "wix"}} for path in "ab"]
    lab.job("job", "aws", rules[0])
    assert lab.run("sync").code == 0
    lab.job(
        *(["job"] if which == "the same job" else ["second"]), "aws", *(rules if which == "the same job" else rules[1:])
    )
    lab.run("sync")
    aws.put_secret_value(SecretId=f"{prefix}/a", SecretString="leaked")
    lab.run("sync")
    lab.run("rollback", "KEY", "--to", first, "--until", "3d", "--reason", "leak")
    assert lab.site.values() == {"KEY": "good"}
    aws.untag_resource(SecretId=f"{prefix}/a", TagKeys=["sync"])
    for _ in range(2):
        lab.run("sync")
        assert lab.site.values() == {"KEY": "good"}


def test_a_rollback_holds_for_each_entry_of_its_mount(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for value in ("good", "leaked"):
        bao.put("app/a", v=value)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/a"})
    lab.job("second", "vault", {"path": f"{bao.mount}/none/*"})
    lab.run("sync")
    assert lab.run("rollback", f"{bao.mount}/app/a", "--to", "1", "--until", "3d", "--reason", "leak").code == 0
    lab.config["sources"]["entry"] = dict(lab.config["sources"]["vault"])
    lab.config["jobs"]["job"]["source"] = "entry"
    for _ in range(2):
        lab.run("sync")
        assert lab.site.values() == {"a_v": "good"}


@pytest.mark.sweep
@pytest.mark.parametrize(("back", "how"), [("a name it had before", "hold"), ("many runs of the other", "pause")])
def test_the_new_name_of_a_job_is_one_that_was_away(jobs: Lab, bao: Bao, back: str, how: str) -> None:
    if back == "a name it had before":
        jobs.config["jobs"] = {"late": jobs.config["jobs"]["first"], "second": jobs.config["jobs"]["second"]}
        assert jobs.run("sync").code == 0
        before, after = "late", "first"
    else:
        before, after = "first", "zz"
        with App(load(jobs.config_file)) as app:
            for _ in range(35):
                sync_job(app.runtime, app.runtime.jobs["second"], Run(holder="test", wait=timedelta(0)))
    if how == "pause":
        assert jobs.run("pause", before, "--reason", "freeze").code == 0
    else:
        jobs.config["rules"] = [{"id": "waits", "job": after, "then": "hold"}]
    configured = jobs.config["jobs"]
    jobs.config["jobs"] = {"second": configured["second"], after: configured[before]}
    bao.put("app/a", v="2")
    for words in (["sync", "second"], ["sync"], ["sync", "second"]):
        result = jobs.run(*words)
        assert jobs.site.values() == {"KEY": "1"}, result.out


def test_what_another_job_sends_through_another_entry_is_there(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.vault(bao, "second")
    bao.put("app/key", v="1")
    rule = {"path": f"{bao.mount}/app/*", "field": "v", "name": "KEY"}
    lab.job("first", "vault", rule)
    lab.job("other", "second", rule)
    for value in ("1", "2", "3"):
        bao.put("app/key", v=value)
        lab.run("sync")
        done = lab.run("sync")
        assert done.code == 0 and "behind" not in done.out, done.out
        assert lab.site.values() == {"KEY": value} and lab.statuses() == {"KEY": "synced"}
    assert lab.run("where", f"{bao.mount}/app/key").code == 0


@pytest.mark.sweep
@pytest.mark.parametrize("other_path", [False, True])
@pytest.mark.parametrize("values", [("1", "2"), ("same", "same")], ids="-".join)
def test_one_path_of_two_vaults_is_two_secrets(lab: Lab, bao: Bao, values: tuple[str, str], other_path: bool) -> None:
    there = elsewhere(bao)
    lab.vault(bao, "a")
    lab.vault(there, "b", namespace=there.namespace)
    for place, value in ((bao, values[0]), (there, values[1])):
        place.put("app/key", v=value)
        if other_path:
            place.put("app/more", v="x")
    rule = {"path": f"{bao.mount}/app/k*", "field": "v", "name": "KEY"}
    lab.job("first", "a", rule, **DELETING)
    assert lab.run("sync").code == 0
    lab.job("second", "b", rule, **DELETING)
    for _ in range(3):
        done = lab.run("sync")
        assert done.code == 1 and "conflict" in done.out and "sends it" not in done.out, done.out
        assert lab.site.values() == {"KEY": values[0]}


@pytest.mark.sweep
@pytest.mark.parametrize("values", [("1", "2"), ("same", "same")], ids="-".join)
def test_one_path_of_two_accounts_is_two_secrets(lab: Lab, aws: Any, aws_url: str, values: tuple[str, str]) -> None:
    """At AWS the account and its region are the place, and no path begins with them."""
    options = {"endpoint_url": aws_url, "aws_access_key_id": "lab", "aws_secret_access_key": "generated"}
    there = boto3.client("secretsmanager", region_name="us-west-2", **options)
    for place, value in ((aws, values[0]), (there, values[1])):
        place.create_secret(Name="app/key", SecretString=value)
    there.close()
    for name, region in (("a", "eu-west-1"), ("b", "us-west-2")):
        lab.aws(aws_url, name)
        lab.config["sources"][name]["region"] = region
    lab.job("first", "a", {"path": "app/k*", "name": "KEY"}, **DELETING)
    assert lab.run("sync").code == 0
    lab.job("second", "b", {"path": "app/k*", "name": "KEY"}, **DELETING)
    for _ in range(3):
        done = lab.run("sync")
        assert done.code == 1 and "conflict" in done.out and "sends it" not in done.out, done.out
        assert lab.site.values() == {"KEY": values[0]}


@pytest.mark.parametrize("rests", ["nothing", "pause", "window", "deny", "hold"])
@pytest.mark.parametrize(
    "spelled", ["first by its name", "first by a glob", "first by its ARN", "a glob of everything and an ARN"]
)
def test_a_name_and_an_arn_are_one_secret(lab: Lab, aws: Any, aws_url: str, rests: str, spelled: str) -> None:
    """The job that has it sends it, within its own pauses, windows and rules; the other one writes nothing."""
    lab.aws(aws_url)
    arn = aws.create_secret(Name="p/a", SecretString="one")["ARN"]
    aws.create_secret(Name="p/k", SecretString="k")
    other = aws.create_secret(Name="q/b", SecretString="b")["ARN"]
    first = {"first by its name": "p/a", "first by a glob": "p/*", "first by its ARN": arn}.get(spelled, "**")
    lab.job("jobx", "aws", {"path": first, "name": "{basename}", "exclude": ["q/*"] if first == "**" else []},
            *([{"path": other, "name": "B"}] if first == "**" else []))  # fmt: skip
    assert lab.run("sync").code == 0
    lab.job("joby", "aws", {"path": "p/a" if "ARN" in spelled else arn, "name": "a"})
    lab.run("sync")
    writes = lab.writes()
    assert lab.run("sync").code == 0 and lab.writes() == writes
    if rests == "pause":
        assert lab.run("pause", "jobx", "--until", "1h", "--reason", "x").code == 0
    elif rests == "window":
        lab.config["jobs"]["jobx"]["windows"] = {"allow": closed()}
    elif rests != "nothing":
        lab.config["rules"] = [{"id": "r", "job": "jobx", "then": rests}]
    aws.put_secret_value(SecretId="p/a", SecretString="two")
    for _ in range(2):
        lab.run("sync")
    assert lab.site.values()["a"] == ("two" if rests == "nothing" else "one")
