"""A source gets another name while something of it is not as usual: what is asked of it, is asked under any name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from syncd.errors import ConfigError
from tests.lab import Bao, Lab
from tests.support.aws import secrets_manager
from tests.support.elsewhere import Elsewhere, elsewhere
from tests.support.hidden import hidden

pytestmark = pytest.mark.kind

DELETES = {"deletion_policy": "delete", "guard": {"max_deletes": 100}}
WAYS = ("control", "renamed", "second entry", "renamed twice")


def moved(lab: Lab, source: str, way: str) -> None:
    """The configuration gives the source of the job another name, or another entry for the same place."""
    job = lab.config["jobs"]["job"]
    if way == "control":
        return
    if way == "second entry":
        lab.config["sources"]["second"] = dict(lab.config["sources"][source])
        job["source"] = "second"
        return
    lab.config["sources"]["other"] = lab.config["sources"].pop(source)
    job["source"] = "other"
    if way == "renamed twice":
        lab.run("sync")
        lab.config["sources"]["third"] = lab.config["sources"].pop("other")
        job["source"] = "third"


def cycles(lab: Lab, count: int = 4) -> None:
    """Cycles with more than any grace between them."""
    for _ in range(count):
        lab.run("sync")
        lab.let_pass(timedelta(hours=2))


@pytest.mark.sweep
@pytest.mark.parametrize("grace", ["0s", "1h"])
@pytest.mark.parametrize("way", WAYS)
def test_what_a_lagging_listing_hides_is_kept(
    lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch, way: str, grace: str
) -> None:
    for name in ("a", "b", "c"):
        aws.create_secret(Name=f"app/{name}", SecretString=f"of {name}")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "app/*", "name": "{basename}"}, deletion_grace=grace, **DELETES)
    assert lab.run("sync").code == 0
    hidden(monkeypatch, "app/b", "app/c")
    lab.run("sync")
    moved(lab, "aws", way)
    aws.delete_secret(SecretId="app/c", ForceDeleteWithoutRecovery=True)
    cycles(lab)
    assert lab.site.values() == {"a": "of a", "b": "of b"}, "what is gone goes, what is there stays"


@pytest.mark.sweep
@pytest.mark.parametrize("grace", ["0s", "1h"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_rolled_back_is_kept_though_its_newest_version_is_gone(
    lab: Lab, bao: Bao, way: str, grace: str
) -> None:
    lab.vault(bao)
    for value in ("one", "two"):
        bao.put("app/a", v=value)
    bao.put("app/b", v="of b")
    rule = {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"}
    lab.job("job", "vault", rule, deletion_grace=grace, **DELETES)
    assert lab.run("sync").code == 0
    back = lab.run("rollback", f"{bao.mount}/app/a", "--to", "1", "--until", "30d", "--reason", "x")
    assert back.code == 0
    bao.root.secrets.kv.v2.delete_latest_version_of_secret("app/a", mount_point=bao.mount)
    lab.run("sync")
    moved(lab, "vault", way)
    cycles(lab)
    assert lab.site.values() == {"a": "one", "b": "of b"}


@pytest.mark.sweep
@pytest.mark.parametrize("way", WAYS)
def test_a_glob_that_lists_nothing_is_not_believed_under_another_name(
    lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    for name in ("a", "b"):
        aws.create_secret(Name=f"app/{name}", SecretString=f"of {name}")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "app/*", "name": "{basename}"}, deletion_grace="0s", **DELETES)
    assert lab.run("sync").code == 0
    hidden(monkeypatch, "app/a", "app/b")
    moved(lab, "aws", way)
    cycles(lab)
    assert lab.site.values() == {"a": "of a", "b": "of b"}


def test_another_place_is_no_other_name(lab: Lab, bao: Bao) -> None:
    """The job goes to another mount: what came from the old one is nobody's, and goes after its grace."""
    lab.vault(bao)
    for name in ("a", "b"):
        bao.put(f"app/{name}", v=f"of {name}")
    rule = {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"}
    lab.job("job", "vault", rule, deletion_grace="0s", **DELETES)
    assert lab.run("sync").code == 0
    bao.put("new/c", v="of c")
    lab.config["jobs"]["job"]["secrets"][0]["path"] = f"{bao.mount}/new/*"
    lab.config["sources"]["other"] = lab.config["sources"].pop("vault")
    lab.config["jobs"]["job"]["source"] = "other"
    cycles(lab)
    assert lab.site.values() == {"c": "of c"}


def test_a_name_that_is_gone_is_a_fault_of_one_look(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.run("check")
    with App(load(lab.config_file), Surroundings()) as app:
        for look in (app.source, app.target):
            with pytest.raises(ConfigError, match=r"no (source|target) gone any more"):
                look("gone")


@pytest.fixture
def two(lab: Lab, bao: Bao) -> tuple[Lab, Bao, Elsewhere]:
    """Two places with a mount of one name; job `ja` reads the one under `a`, `jb` the other under `b`."""
    there = elsewhere(bao)
    lab.vault(bao, "a")
    lab.vault(there, "b", namespace=there.namespace)
    for value in ("x1", "x2"):
        bao.put("app/x", v=value)
    bao.put("app/y", v="y of a")
    there.put("app/x", v="x of b")
    there.put("app/z", v="z of b")
    for job, source in (("ja", "a"), ("jb", "b")):
        rule = {"path": f"{bao.mount}/app/*", "field": "v", "name": f"{source.upper()}_{{basename}}"}
        lab.job(job, source, rule, deletion_grace="0s", **DELETES)
    assert lab.run("sync").code == 0
    return lab, bao, there


ORDERS = [("a", "b"), ("b", "a"), ("sync", "a", "b"), ("a", "sync", "b", "sync")]


@pytest.mark.sweep
@pytest.mark.parametrize("newest", ["is there", "is gone"])
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_names_that_are_swapped_take_nothing_of_each_other(
    two: tuple[Lab, Bao, Elsewhere], order: tuple[str, ...], newest: str
) -> None:
    """What is rolled back is of the place where it was, whoever has its name when a person accepts the mounts."""
    lab, bao, _ = two
    roll = ("rollback", f"a:{bao.mount}/app/x", "--to", "1", "--until", "30d", "--reason", "x")
    assert lab.run(*roll).code == 0
    if newest == "is gone":
        bao.root.secrets.kv.v2.delete_latest_version_of_secret("app/x", mount_point=bao.mount)
        lab.run("sync")
    sources, jobs = lab.config["sources"], lab.config["jobs"]
    sources["a"], sources["b"] = sources["b"], sources["a"]
    jobs["ja"]["source"], jobs["jb"]["source"] = "b", "a"
    for step in order:
        done = lab.run("sync") if step == "sync" else lab.run("state", "remount", step, f"{bao.mount}/")
        assert done.code in {0, 1, 4}, done.err
    cycles(lab)
    wanted = {"A_x": "x1", "A_y": "y of a", "B_x": "x of b", "B_z": "z of b"}
    assert lab.site.values() == wanted


@pytest.mark.sweep
@pytest.mark.parametrize("newest", ["is there", "is gone"])
@pytest.mark.parametrize("order", [("remount",), ("sync", "remount")], ids="-".join)
@pytest.mark.parametrize("job", ["ja", "another name"])
def test_a_name_that_is_used_again_takes_nothing_along(
    two: tuple[Lab, Bao, Elsewhere], job: str, order: tuple[str, ...], newest: str
) -> None:
    lab, bao, _ = two
    assert lab.run("rollback", "A_x", "--to", "1", "--until", "30d", "--reason", "x").code == 0
    if newest == "is gone":
        bao.root.secrets.kv.v2.delete_latest_version_of_secret("app/x", mount_point=bao.mount)
        lab.run("sync")
    sources, jobs = lab.config["sources"], lab.config["jobs"]
    sources["old"], sources["a"] = sources["a"], sources.pop("b")
    jobs["ja"]["source"], jobs["jb"]["source"] = "old", "a"
    jobs[job] = jobs.pop("ja")
    for step in order:
        lab.run("sync") if step == "sync" else lab.run("state", "remount", "a", f"{bao.mount}/")
    cycles(lab)
    values = lab.site.values()
    assert (values["A_x"], values["A_y"]) == ("x1", "y of a"), values
    assert values["B_z"] == "z of b", values
    # Of a job that is gone nobody knows which of the two places it would read: what was rolled back waits in both.
    assert values["B_x"] == "x of b" or job != "ja", values


@pytest.mark.sweep
@pytest.mark.parametrize("looked", [True, False])
def test_a_second_rollback_takes_the_place_of_the_first_under_its_old_name(lab: Lab, bao: Bao, looked: bool) -> None:
    lab.vault(bao)
    for value in ("one", "two", "three"):
        bao.put("app/db", v=value)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "DB"})
    assert lab.run("sync").code == 0
    back = ("--until", "30d", "--reason", "x")
    assert lab.run("rollback", "DB", "--to", "1", *back).code == 0
    lab.config["sources"]["other"] = lab.config["sources"].pop("vault")
    lab.config["jobs"]["job"]["source"] = "other"
    if looked:
        lab.run("sync")
    assert lab.run("rollback", "DB", "--to", "2", *back).code == 0
    assert lab.site.values() == {"DB": "two"}
    with App(load(lab.config_file), Surroundings()) as app:
        assert [item.label for item in app.ledger.decisions.rollbacks().values()] == ["2"], "one is left to run out"
    assert lab.run("rollback", "DB", "--end", "--reason", "x").code == 0
    lab.run("sync")
    assert lab.site.values() == {"DB": "three"}, "nothing of the first one is left"


@pytest.mark.sweep
@pytest.mark.parametrize("way", ["renamed", "second entry", "renamed twice", "control"])
def test_a_rollback_outlives_the_replacement_of_its_mount(lab: Lab, bao: Bao, way: str) -> None:
    def filled() -> None:
        for value in ("one", "two"):
            bao.put("app/a", v=value)

    lab.vault(bao)
    filled()
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    assert lab.run("sync").code == 0
    assert lab.run("rollback", "a", "--to", "1", "--until", "30d", "--reason", "x").code == 0
    moved(lab, "vault", way)
    assert lab.run("sync").code == 0
    bao.root.sys.disable_secrets_engine(bao.mount)
    bao.enable()
    filled()
    assert lab.run("sync").code == 4
    assert lab.run("state", "remount", lab.config["jobs"]["job"]["source"], f"{bao.mount}/").code == 0
    cycles(lab, 2)
    assert lab.site.values() == {"a": "one"}, "what a person rolled back stays until they end it"


@pytest.fixture
def two_vaults(lab: Lab, bao: Bao) -> tuple[Elsewhere, Elsewhere]:
    """Jobs `ja` and `jb` read a mount of one name in two namespaces, and have synced; a third namespace has one, too."""
    there, third = elsewhere(bao), elsewhere(bao)
    lab.vault(bao, "a")
    lab.vault(there, "b", namespace=there.namespace)
    for place, name in ((bao, "a"), (there, "b"), (third, "third")):
        for path in ("x", f"only-{name}"):
            place.put(f"app/{path}", v=f"{path} of {name}")
    for job, source in (("ja", "a"), ("jb", "b")):
        rule = {"path": f"{bao.mount}/app/*", "field": "v", "name": f"{source.upper()}_{{basename}}"}
        lab.job(job, source, rule, deletion_grace="1h", **DELETES)
    assert lab.run("sync").code == 0
    return there, third


WRONG = ("both renamed, one elsewhere", "both renamed and swapped", "an old orphan of a mount of that name")


@pytest.mark.parametrize("way", WRONG)
def test_a_new_name_leads_to_a_place_of_the_jobs_own(
    lab: Lab, bao: Bao, two_vaults: tuple[Elsewhere, Elsewhere], way: str
) -> None:
    """However many sources are gone: another place than those that the job's secrets are of is not believed."""
    _, third = two_vaults
    before = lab.site.values()
    sources, jobs = lab.config["sources"], lab.config["jobs"]
    if way == WRONG[2]:
        del sources["b"], jobs["jb"]
        lab.run("sync")
    a, b = sources.pop("a"), sources.pop("b", None)
    sources["c"] = b if way == WRONG[1] else {**a, "namespace": third.namespace}
    jobs["ja"]["source"] = "c"
    if b is not None:
        sources["d"] = a if way == WRONG[1] else b
        jobs["jb"]["source"] = "d"
    cycles(lab)
    assert lab.run("sync").code == 4 and lab.site.values() == before
    assert lab.run("check", "--connect").code == 4, "check tells it before a cycle does"
    # A person may say that it is meant.
    assert lab.run("state", "remount", "c", f"{bao.mount}/").code == 0
    lab.run("sync")
    place = "b" if way == WRONG[1] else "third"
    assert lab.site.values()["A_x"] == f"x of {place}" and lab.site.values()["B_x"] == "x of b"


def test_both_renamed_at_once_go_on(lab: Lab, two_vaults: tuple[Elsewhere, Elsewhere]) -> None:
    before, sent = lab.site.values(), lab.writes()
    sources = lab.config["sources"]
    sources["c"], sources["d"] = sources.pop("a"), sources.pop("b")
    lab.config["jobs"]["ja"]["source"], lab.config["jobs"]["jb"]["source"] = "c", "d"
    cycles(lab, 2)
    assert lab.run("sync").code == 0 and lab.site.values() == before
    assert two_vaults and lab.writes() - sent <= len(before), "marks alone"


def test_an_account_under_a_new_name_is_one_that_the_job_had(lab: Lab, aws: Any, aws_url: str) -> None:
    regions = {"eu": "eu-west-1", "us": "us-east-1", "ap": "ap-south-1"}
    for name, region in regions.items():
        secrets_manager(aws_url, region).create_secret(Name="app/x", SecretString=f"x of {name}")
    for name in ("eu", "us"):
        lab.aws(aws_url, name)
        lab.config["sources"][name]["region"] = regions[name]
        lab.job(f"of-{name}", name, {"path": "app/*", "name": f"{name}_{{basename}}"}, deletion_grace="1h", **DELETES)
    assert lab.run("sync").code == 0
    before = lab.site.values()
    del lab.config["jobs"]["of-us"], lab.config["sources"]["us"]
    lab.run("sync")
    lab.config["sources"]["new"] = {**lab.config["sources"].pop("eu"), "region": regions["ap"]}
    lab.config["jobs"]["of-eu"]["source"] = "new"
    cycles(lab)
    assert lab.run("sync").code == 4 and lab.site.values() == before
