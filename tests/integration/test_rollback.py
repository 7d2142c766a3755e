"""Rollbacks: the source's own older version, read anew, on every site, for a while."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.elsewhere import elsewhere
from tests.support.policies import DELETING, closed
from tests.support.waiting import until
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for version in ("one", "two", "three"):
        bao.put("app/db", v=version, w=version)
    bao.put("app/other", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    return lab


def roll(lab: Lab, *words: str) -> Any:
    return lab.run("rollback", *words, "--reason", "incident 7")


def test_back_and_forth(job: Lab, bao: Bao) -> None:
    result = roll(job, "db_v", "--to", "1")
    assert result.code == 0, result.err
    assert job.site.values() == {"db_v": "one", "db_w": "one", "other_v": "1"}
    assert job.statuses() == {"db_v": "rolled_back", "db_w": "rolled_back", "other_v": "synced"}
    bao.put("app/db", v="four", w="four")
    result = job.run("sync")
    assert result.code == 0 and job.site.values()["db_v"] == "one" and "4 at the source waits" in result.out, result.out
    writes = job.writes()
    assert job.run("sync").code == 0 and job.writes() == writes
    assert roll(job, f"{bao.mount}/app/db", "--end").code == 0
    assert job.site.values()["db_v"] == "four" and set(job.statuses().values()) == {"synced"}
    assert roll(job, "db_v", "--end").code == 3
    lines = [line for line in job.run("audit", "show", "--json").json if line["event"] == "secret.rolled_back"]
    assert [(line["name"], line["from"], line["to"]) for line in lines[:2]] == [("db_v", "3", "1"), ("db_w", "3", "1")]
    assert lines[0]["reason"] == "incident 7"
    back = [line for line in job.run("audit", "show", "--name", "db_v", "--json").json if line["detail"].get("because")]
    assert [line["outcome"] for line in back] == ["intent", "done"] and back[0]["detail"]["because"] == "incident 7"


@pytest.mark.parametrize("way", ["it was paused", "the site failed", "the answer was lost"])
def test_an_older_version_waits_for_no_window(job: Lab, bao: Bao, way: str) -> None:
    """Whoever takes back a leaked version is not told to wait until Monday; what is beside it does wait."""
    settings = job.config["jobs"]["job"]
    settings["windows"] = {"allow": closed()}
    bao.put("app/other", v="2")
    if way == "it was paused":
        job.run("pause", "job", "--reason", "x")
        assert roll(job, "db_v", "--to", "1").code == 6
        job.run("resume", "job")
    else:
        job.wix.fault("503" if way == "the site failed" else "504_after", "PATCH", times=1000)
        assert roll(job, "db_v", "--to", "1").code == 5
        job.wix.faults.clear()
    for _ in range(2):
        job.let_pass(timedelta(minutes=10))
        job.run("sync")
    assert job.site.values() == {"db_v": "one", "db_w": "one", "other_v": "1"}
    changed_by_hand(job, "db_v")
    settings["secrets"][0]["value"], settings["secrets"][0]["name"] = "{v}-{w}", "{basename}_v"
    seen = job.site.values()
    job.run("sync")
    assert job.site.values() == seen, "restores and other forms of it wait for the window"
    assert roll(job, "db_v", "--to", "2").code == 1, "app/other has no w for the new form"
    assert job.site.values()["db_v"] == "two-two"


def test_the_one_before_if_none_is_named(job: Lab, bao: Bao) -> None:
    bao.root.secrets.kv.v2.destroy_secret_versions("app/db", versions=[2], mount_point=bao.mount)
    assert roll(job, "db_v").code == 0 and job.site.values()["db_v"] == "one", "2 is destroyed"


@pytest.mark.parametrize(("words", "code"), [(("db_v", "--to", "9"), 1), (("db_v", "--to", "x"), 1), (("nobody",), 3), (("db_v", "--until", "2020-01-01"), 3)])  # fmt: skip
def test_what_cannot_be_gone_back_to(job: Lab, words: tuple[str, ...], code: int) -> None:
    result = roll(job, *words)
    assert result.code == code and "fix:" in result.err, result.err
    assert job.site.values()["db_v"] == "three"


def test_a_version_that_goes_while_it_holds(job: Lab, bao: Bao) -> None:
    assert roll(job, "db_v", "--to", "1").code == 0
    bao.root.secrets.kv.v2.destroy_secret_versions("app/db", versions=[1], mount_point=bao.mount)
    assert job.run("sync").code == 0 and job.site.values()["db_v"] == "one", "what is there stays"


def test_a_deny_rule_holds_all_the_same(job: Lab) -> None:
    job.config["rules"] = [{"id": "long", "min_length": 4, "then": "deny"}]
    assert roll(job, "db_v", "--to", "1").code == 1 and job.site.values()["db_v"] == "three"


def test_three_sites_at_once(job: Lab) -> None:
    for number in range(2):
        site = str(uuid.uuid4())
        job.secret_file(f"key-{number}", job.wix.issue_key(site))
        job.config["targets"][f"shop{number}"] = job.target(site, f"key-{number}")
        job.config["jobs"]["job"]["targets"].append(f"shop{number}")
    assert job.run("sync").code == 0
    assert roll(job, "db_v", "--to", "2").code == 0
    assert all(job.wix.site(one["auth"]["site_id"]).values()["db_v"] == "two" for one in job.config["targets"].values())
    rows = job.run("where", "db_v", "--json")
    assert rows.code == 3, "where takes a path"


def test_what_a_job_updated_lately_goes_back(job: Lab, bao: Bao) -> None:
    bao.put("app/db", v="bad", w="bad")
    bao.put("app/new", v="x")
    assert job.run("sync").code == 0
    result = roll(job, "--job", "job", "--since", "1h")
    assert result.code == 1 and "new_v was created" in result.err, result.err
    assert job.site.values()["db_v"] == "three"


def test_aws_goes_back_by_stage_and_by_id(lab: Lab, aws: Any, aws_url: str) -> None:
    client = aws
    name = f"rb-{uuid.uuid4().hex[:8]}"
    first = client.create_secret(Name=name, SecretString="one")["VersionId"]
    client.put_secret_value(SecretId=name, SecretString="two")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": name})
    assert lab.run("sync").code == 0 and lab.site.values()[name] == "two"
    assert roll(lab, name).code == 0 and lab.site.values()[name] == "one"
    assert roll(lab, name, "--end").code == 0 and lab.site.values()[name] == "two"
    assert roll(lab, name, "--to", first).code == 0 and lab.site.values()[name] == "one"
    assert lab.run("sync").code == 0 and lab.statuses()[name] == "rolled_back"


def test_kv1_has_no_versions(lab: Lab, bao: Bao) -> None:
    bao.root.sys.enable_secrets_engine("kv", path=f"{bao.mount}-1", options={"version": "1"})
    bao.root.secrets.kv.v1.create_or_update_secret("a", {"v": "1"}, mount_point=f"{bao.mount}-1")
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}-1/*"})
    assert lab.run("sync").code == 0
    result = roll(lab, "a_v")
    assert result.code == 3 and "no versions" in result.err


def test_a_field_that_the_older_version_lacks_is_not_gone(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/db", v="one")
    bao.put("app/db", v="two", w="needed", x="too")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    assert lab.run("sync").code == 0
    assert lab.run("rollback", "db_v", "--to", "1", "--reason", "x").code == 1, "what it lacks stays as it is"
    for _ in range(3):
        assert lab.run("sync").code == 0
    assert lab.site.values() == {"db_v": "one", "db_w": "needed", "db_x": "too"}
    assert "rolled back to a version that lacks it" in lab.run("sync").out, "no absence that would count"
    # What the newest version lacks is gone once it counts again.
    bao.put("app/db", v="three", w="needed")
    assert lab.run("rollback", "db_v", "--end", "--reason", "x").code == 0
    for _ in range(3):
        lab.run("sync")
    assert lab.site.values() == {"db_v": "three", "db_w": "needed"}


def two_sites(lab: Lab) -> str:
    """A second site, called bank. Returns: its key."""
    bank = str(uuid.uuid4())
    lab.secret_file("bank-key", lab.wix.issue_key(bank))
    lab.config["targets"]["bank"] = lab.target(bank, "bank-key")
    return bank


def test_what_a_job_updated_is_that_jobs_alone(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bank = two_sites(lab)
    for count in (1, 2):
        bao.put("shop/db", pw=f"shop-{count}")
        bao.put("bank/db", pw=f"bank-{count}")
    for job, target in (("shop", "shop"), ("bank", "bank")):
        lab.job(job, "vault", {"path": f"{bao.mount}/{job}/db", "field": "pw", "name": "DB_PASSWORD"})
        lab.config["jobs"][job]["targets"] = [target]
    assert lab.run("sync").code == 0
    bao.put("shop/db", pw="shop-3")
    assert lab.run("sync").code == 0
    assert lab.run("rollback", "--job", "shop", "--since", "1h", "--reason", "x").code == 0
    assert lab.site.values() == {"DB_PASSWORD": "shop-2"}
    assert lab.wix.site(bank).values() == {"DB_PASSWORD": "bank-2"}


@pytest.mark.parametrize("name", ["vault", "other"])
def test_what_a_job_updated_before_its_source_was_renamed_counts(lab: Lab, bao: Bao, name: str) -> None:
    lab.vault(bao)
    rule = {"path": f"{bao.mount}/app/db", "field": "v", "name": "DB"}
    lab.job("job", "vault", rule)
    bao.put("app/db", v="1")
    assert lab.run("sync").code == 0
    since = datetime.now(UTC).isoformat()
    for number in (2, 3):
        bao.put("app/db", v=str(number))
        assert lab.run("sync").code == 0
        if number == 2:
            lab.config["sources"][name] = lab.config["sources"].pop("vault")
            lab.config["jobs"]["job"]["source"] = name
    # The creation lies before: only updates are gone back over.
    assert roll(lab, "--job", "job", "--since", since).code == 0
    assert lab.site.values() == {"DB": "1"}


def test_a_rollback_sends_itself_alone(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for value in ("one", "two"):
        bao.put("app/db", v=value)
    for name in "abc":
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["windows"] = {"allow": ["00:00-00:01 Pacific/Kiritimati"]}
    bao.put("app/a", v="2")
    bao.remove("app/b")
    bao.put("app/new", v="1")
    before = lab.site.values()
    result = lab.run("rollback", "db_v", "--to", "1", "--reason", "db is down")
    assert lab.site.values() == {**before, "db_v": "one"}, result.out
    assert lab.run("rollback", "db_v", "--end", "--reason", "up again").code in {0, 1}
    assert lab.site.values() == before


@pytest.mark.sweep
@pytest.mark.parametrize("wanted", ["2", "3", "9"])
def test_a_rollback_is_to_what_is_older_and_was_there(lab: Lab, bao: Bao, wanted: str) -> None:
    """Who may roll back does not release by that: neither the newest version, nor one that the site never had."""
    lab.vault(bao)
    lab.config["targets"]["shop"]["labels"] = {"env": "prod"}
    bao.put("app/a", v="one")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    lab.config["rules"] = [{"id": "prod", "label": {"env": "prod"}, "then": "hold"}]
    for value in ("two", "three"):
        bao.put("app/a", v=value)
        assert lab.run("sync").code == 6
    result = lab.run("rollback", "a_v", "--to", wanted, "--reason", "x")
    assert result.code == {"2": 6, "3": 3, "9": 1}[wanted], result.err
    assert lab.run("sync").code == 6 and lab.site.values() == {"a_v": "one"}


def test_a_rotation_that_is_not_finished_is_nothing_to_go_back_to(lab: Lab, aws: Any, aws_url: str) -> None:
    lab.aws(aws_url)
    name = f"app/{uuid.uuid4().hex[:8]}"
    aws.create_secret(Name=name, SecretString="in-use")
    pending = aws.put_secret_value(SecretId=name, SecretString="unfinished", VersionStages=["AWSPENDING"])["VersionId"]
    lab.job("job", "aws", {"path": name, "name": "PENDING_ONE"})
    assert lab.run("sync").code == 0
    current = aws.describe_secret(SecretId=name)["VersionIdsToStages"]
    (newest,) = [version for version, stages in current.items() if "AWSCURRENT" in stages]
    for wanted in ("AWSPENDING", pending, "AWSCURRENT", newest):
        result = lab.run("rollback", "PENDING_ONE", "--to", wanted, "--reason", "x")
        assert result.code == 3 and "--to" in result.err, (wanted, result.err)
    assert lab.site.values() == {"PENDING_ONE": "in-use"}


def test_a_rollback_outlives_its_sources_name(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for value in ("one", "two-leaked"):
        bao.put("app/a", v=value)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    assert lab.run("rollback", "a_v", "--to", "1", "--reason", "two is leaked").code == 0
    lab.config["sources"]["bao"] = lab.config["sources"].pop("vault")
    lab.config["jobs"]["job"]["source"] = "bao"
    assert lab.run("sync").code == 0
    assert lab.site.values() == {"a_v": "one"} and lab.statuses() == {"a_v": "rolled_back"}
    assert lab.run("rollback", "a_v", "--end", "--reason", "x").code == 0
    assert lab.site.values() == {"a_v": "two-leaked"}


def test_a_rollback_of_what_no_site_has_any_more_can_be_ended(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/db", other="x")
    bao.put("app/db", other="x", w="needed")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "w"}, **DELETING)
    assert lab.run("sync").code == 0
    path = f"{bao.mount}/app/db"
    lab.run("rollback", path, "--to", "1", "--until", "30d", "--reason", "x")
    assert lab.site.values() == {"db_w": "needed"}
    assert lab.run("state", "forget", "db_w", "--reason", "x").code == 0
    result = lab.run("rollback", path, "--end", "--reason", "x")
    assert result.code in {0, 1} and "goes on" in result.out, result.err
    assert [line["ref"] for line in lab.run("audit", "show", "--event", "secret.rolled_back", "--json").json][-1]


@pytest.mark.sweep
@pytest.mark.parametrize("jobs", ["one job", "two jobs"])
def test_what_the_newest_version_gives_a_name_is_wanted(lab: Lab, bao: Bao, jobs: str) -> None:
    """A name goes over to another path, which is rolled back to a version without it: it is kept meanwhile."""
    lab.vault(bao)
    bao.put("one/db", w="first")
    bao.put("one/x", v="1")
    bao.put("two/db", v="1")
    bao.put("two/db", v="2", w="second")
    lab.job("a", "vault", {"path": f"{bao.mount}/one/*"}, **DELETING)
    assert lab.run("sync").code == 0
    if jobs == "two jobs":
        lab.job("b", "vault", {"path": f"{bao.mount}/two/*"})
    else:
        lab.config["jobs"]["a"]["secrets"].append({"path": f"{bao.mount}/two/*"})
    lab.run("sync")
    assert lab.run("rollback", "db_v", "--to", "1", "--until", "3d", "--reason", "x").code in {0, 1}
    bao.remove("one/db")
    for _ in range(3):
        result = lab.run("sync")
    assert "db_w" in lab.site.values(), result.out
    assert lab.run("state", "forget", "db_w", "--delete", "--reason", "x").code == 6
    assert lab.run("rollback", "db_v", "--end", "--reason", "x").code in {0, 1}
    for _ in range(2):
        lab.run("sync")
    assert lab.site.values()["db_w"] == "second"


@pytest.mark.parametrize("way", ["another field", "another path", "the metadata made anew"])
def test_a_version_of_something_else_is_none_that_the_site_had(lab: Lab, bao: Bao, way: str) -> None:
    lab.vault(bao)
    lab.config["targets"]["shop"]["labels"] = {"env": "prod"}
    bao.put("app/a", v="agreed", w="never agreed")
    bao.put("app/b", v="never agreed either")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/a", "field": "v", "name": "KEY"})
    assert lab.run("sync").code == 0
    lab.config["rules"] = [{"id": "prod", "label": {"env": "prod"}, "then": "hold"}]
    rule, path = lab.config["jobs"]["job"]["secrets"][0], f"{bao.mount}/app/a"
    if way == "another field":
        rule["field"] = "w"
        bao.put("app/a", v="agreed", w="never agreed, too")
    elif way == "another path":
        rule["path"] = path = f"{bao.mount}/app/b"
        bao.put("app/b", v="the newest")
    else:
        bao.remove("app/a")
        bao.put("app/a", v="never agreed at all")
        bao.put("app/a", v="the newest")
    assert lab.run("sync").code == 6
    result = lab.run("rollback", "KEY", "--to", "1", "--reason", "x")
    assert lab.site.values() == {"KEY": "agreed"}, (result.out, path)
    assert lab.run("sync").code == 6 and lab.site.values() == {"KEY": "agreed"}


@pytest.fixture
def twins(lab: Lab, bao: Bao) -> Lab:
    """Two sources, a job each, that have one path: US_DB and EU_DB, three versions each."""
    other = elsewhere(bao)
    for name, place, more in (("us", bao, {}), ("eu", other, {"namespace": other.namespace})):
        for number in (1, 2, 3):
            place.put("db", p=f"{name}-{number}")
        lab.vault(place, name, **more)
        lab.job(name, name, {"path": f"{bao.mount}/db", "field": "p", "name": f"{name.upper()}_DB"})
    assert lab.run("sync").code == 0
    return lab


@pytest.mark.sweep
@pytest.mark.parametrize("change", ["the source is renamed", "the job is removed"])
def test_a_rollback_takes_no_other_sources_path_back(twins: Lab, change: str) -> None:
    assert roll(twins, "EU_DB", "--to", "1").code == 0
    if change == "the job is removed":
        del twins.config["jobs"]["eu"]
    else:
        twins.config["sources"]["renamed"] = twins.config["sources"].pop("eu")
        twins.config["jobs"]["eu"]["source"] = "renamed"
    for _ in range(2):
        assert twins.run("sync").code == 0
        assert twins.site.values() == {"US_DB": "us-3", "EU_DB": "eu-1"}
    assert twins.statuses()["US_DB"] == "synced"
    assert roll(twins, "US_DB", "--end").code == 3 and twins.site.values()["EU_DB"] == "eu-1"
    if change == "the source is renamed":
        assert twins.statuses()["EU_DB"] == "rolled_back"
        assert roll(twins, "EU_DB", "--end").code == 0
        assert twins.site.values() == {"US_DB": "us-3", "EU_DB": "eu-3"}


def test_an_end_is_told_of_its_own_source_alone(twins: Lab) -> None:
    for name in ("US_DB", "EU_DB"):
        assert roll(twins, name, "--to", "1").code == 0
    assert roll(twins, "EU_DB", "--end").code == 0
    assert twins.site.values() == {"US_DB": "us-1", "EU_DB": "eu-3"}
    lines = twins.run("audit", "show", "--event", "secret.rolled_back", "--json").json
    assert [line["name"] for line in lines if line["detail"].get("ended")] == ["EU_DB"]


def test_a_path_of_two_sources_is_named_with_its_source(twins: Lab, bao: Bao) -> None:
    path = f"{bao.mount}/db"
    before = twins.site.values()
    for words in (("--to", "1"), ()):
        result = roll(twins, path, *words)
        assert result.code == 3 and f"eu:{path}, us:{path}" in result.err and twins.site.values() == before, result.err
    assert roll(twins, f"eu:{path}", "--to", "1").code == 0
    assert twins.site.values() == {"US_DB": "us-3", "EU_DB": "eu-1"}
    assert roll(twins, f"us:{path}", "--to", "2").code == 0
    assert twins.site.values() == {"US_DB": "us-2", "EU_DB": "eu-1"}
    result = roll(twins, path, "--end")
    assert result.code == 3 and f"eu:{path}, us:{path}" in result.err, result.err
    assert roll(twins, f"eu:{path}", "--end").code == 0
    assert twins.site.values() == {"US_DB": "us-2", "EU_DB": "eu-3"}


def test_a_name_of_two_paths_is_no_path(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bank = two_sites(lab)
    for target in ("shop", "bank"):
        for number in (1, 2):
            bao.put(f"{target}/db", pw=f"{target}-{number}")
        lab.job(target, "vault", {"path": f"{bao.mount}/{target}/db", "field": "pw", "name": "DB_PASSWORD"})
        lab.config["jobs"][target]["targets"] = [target]
    assert lab.run("sync").code == 0
    shops, banks = f"vault:{bao.mount}/shop/db", f"vault:{bao.mount}/bank/db"
    result = roll(lab, "DB_PASSWORD", "--to", "1")
    assert result.code == 3 and f"{banks}, {shops}" in result.err, result.err
    for path in (shops, banks):
        assert roll(lab, path, "--to", "1").code == 0
    result = roll(lab, "DB_PASSWORD", "--end")
    assert result.code == 3 and f"{banks}, {shops}" in result.err, result.err
    assert roll(lab, shops, "--end").code == 0
    assert lab.site.values() == {"DB_PASSWORD": "shop-2"}
    assert lab.wix.site(bank).values() == {"DB_PASSWORD": "bank-1"}


@pytest.mark.sweep
@pytest.mark.parametrize("way", ["it is verified", "a person changes it", "it is gone at Wix", "remounted"])
def test_a_version_of_a_path_made_anew_is_not_the_one_gone_back_to(lab: Lab, bao: Bao, way: str) -> None:
    lab.vault(bao)
    for value in ("good", "leaked"):
        bao.put("app/db", v=value)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/db", "name": "DB", "field": "v"})
    assert lab.run("sync").code == 0 and roll(lab, "DB", "--to", "1").code == 0
    if way == "remounted":
        bao.root.sys.disable_secrets_engine(bao.mount)
        bao.enable()
    else:
        bao.remove("app/db")
    for value in ("never meant", "rotated"):
        bao.put("app/db", v=value)
    if way == "it is verified":
        lab.rewrite(lambda row: replace(row, verified_at=row.verified_at and row.verified_at - timedelta(days=9)))
    elif way == "a person changes it":
        changed_by_hand(lab, "DB")
    elif way == "it is gone at Wix":
        lab.site.secrets.clear()
    else:
        assert lab.run("sync").code == 4
        assert lab.run("state", "remount", "vault", f"{bao.mount}/").code == 0
    for _ in range(3):
        result = lab.run("sync")
        assert "never meant" not in lab.site.values().values(), result.out
    assert "the version 1 that it was rolled back to is gone" in result.out, result.out
    lab.run("rollback", "DB", "--end", "--reason", "rotated")
    lab.settle()
    assert lab.site.values() == {"DB": "rotated"}


@pytest.mark.sweep
@pytest.mark.parametrize("path", ["app/db", "app/*"])
@pytest.mark.parametrize("how", ["delete_secret_versions", "destroy_secret_versions"])
def test_a_newest_version_that_goes_while_rolled_back_deletes_nothing(lab: Lab, bao: Bao, how: str, path: str) -> None:
    lab.vault(bao)
    for value in ("good", "leaked"):
        bao.put("app/db", v=value)
    bao.put("app/other", v="1")
    paths = dict.fromkeys((path, path.replace("db", "other")))
    rules = ({"path": f"{bao.mount}/{one}", "field": "v", "name": "{path}"} for one in paths)
    lab.job("job", "vault", *rules, **DELETING)
    assert lab.run("sync").code == 0 and roll(lab, f"{bao.mount}/app/db", "--to", "1").code == 0
    before = lab.site.values()
    getattr(bao.root.secrets.kv.v2, how)("app/db", versions=[2], mount_point=bao.mount)
    for _ in range(3):
        result = lab.run("sync")
        assert lab.site.values() == before and "good" in before.values(), result.out
    # Without the rollback its newest version counts, which is gone.
    roll(lab, f"{bao.mount}/app/db", "--end")
    for _ in range(3):
        result = lab.run("sync")
    assert lab.site.values() == {"other": "1"}, result.out


def test_the_end_of_a_rollback_is_told_once_and_by_nobody(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for value in ("one", "two"):
        bao.put("app/a", v=value)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    assert lab.run("rollback", "a_v", "--to", "1", "--until", "1s", "--reason", "two is bad").code == 0
    until(lambda: lab.run("sync").code == 0 and lab.site.values() == {"a_v": "two"}, 20)
    assert lab.run("sync").code == 0
    lines = [line for line in lab.run("audit", "show", "--json").json if line["event"] == "secret.rolled_back"]
    assert [line["detail"].get("ended") for line in lines] == [None, "true"]
    assert lines[1]["name"] == "a_v" and lines[1]["reason"] == "its time ran out" and lines[1]["actor"]["id"] == "syncd"
    assert lab.run("audit", "verify").code == 0


def test_a_frozen_site_is_named_and_is_no_success(job: Lab) -> None:
    assert job.run("state", "freeze", "db_v", "--until", "2d", "--reason", "x").code == 0
    done = roll(job, "db_v", "--to", "1")
    assert done.code == 6 and "db_v on shop is frozen, and keeps version 3" in done.err, done.err
    assert job.site.values()["db_v"] == "three" and job.site.values()["db_w"] == "one"
    assert job.run("state", "thaw", "db_v").code == 0
    assert job.run("sync").code == 0 and job.site.values()["db_v"] == "one"


def test_what_a_version_lacks_is_named_and_is_no_success(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/db", v="one")
    bao.put("app/db", v="two", w="leaked")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    done = roll(lab, f"{bao.mount}/app/db", "--to", "1")
    assert done.code == 1 and "db_w on shop is not in version 1, and keeps version 2" in done.err, done.err


def test_a_number_of_a_secret_that_was_made_anew_is_not_gone_back_to(job: Lab, bao: Bao) -> None:
    bao.remove("app/db")
    for number in range(4):
        bao.put("app/db", v=f"anew-{number}", w="x")
    assert job.run("sync").code == 0 and job.site.values()["db_v"] == "anew-3"
    done = roll(job, "--job", "job", "--since", "1h")
    assert done.code != 0 and "deleted and made anew" in done.err, done.err
    assert job.site.values()["db_v"] == "anew-3"


def test_a_paused_site_keeps_the_others_from_nothing(job: Lab, bao: Bao) -> None:
    other = str(uuid.uuid4())
    job.secret_file("bank-key", job.wix.issue_key(other))
    job.config["targets"]["bank"] = job.target(other, "bank-key")
    job.config["jobs"]["job"]["targets"] = ["shop", "bank"]
    assert job.run("sync").code == 0
    assert job.run("pause", "--target", "bank", "--reason", "x").code == 0
    done = roll(job, f"{bao.mount}/app/db", "--to", "1")
    assert done.code == 6 and "bank is paused" in done.err and job.site.values()["db_v"] == "one", done.err
    assert job.wix.site(other).values()["db_v"] == "three"


@pytest.mark.sweep
@pytest.mark.parametrize("taker", ["its own job", "another job"])
@pytest.mark.parametrize("under", ["a second entry", "a new name of the source", "its own name"])
def test_what_is_rolled_back_under_any_name_passes_to_nobody(lab: Lab, bao: Bao, under: str, taker: str) -> None:
    lab.vault(bao)
    for value in ("one", "two"):
        bao.put("app/db", v=value)
    bao.put("lib/db", v="of the library")
    bao.put("app/more", v="keeps the glob from listing nothing")
    rules = [{"path": f"{bao.mount}/app/db", "field": "v", "name": "DB"}, {"path": f"{bao.mount}/app/m*", "name": "M"}]
    lab.job("job", "vault", *rules)
    rolled, source = f"{bao.mount}/app/db", "vault"
    if under == "a second entry":
        lab.vault(bao, "second")
        lab.job("first", "second", {**rules[0], "name": "SAME"})
        rolled = f"second:{rolled}"
    assert lab.run("sync").code == 0
    assert roll(lab, rolled, "--to", "1", "--until", "3d").code == 0
    if under == "a new name of the source":
        source = "renamed"
        lab.config["sources"][source] = lab.config["sources"].pop("vault")
        lab.config["jobs"]["job"]["source"] = source
    lab.run("sync")
    assert lab.site.values()["DB"] == "one"
    bao.root.secrets.kv.v2.delete_latest_version_of_secret("app/db", mount_point=bao.mount)
    taking = {"path": f"{bao.mount}/lib/*", "field": "v", "name": "DB"}
    if taker == "another job":
        lab.job("taker", source, taking)
    else:
        lab.config["jobs"]["job"]["secrets"].append(taking)
    for _ in range(3):
        done = lab.run("sync")
        assert done.code == 1 and "conflict" in done.out, done.out
    assert lab.site.values()["DB"] == "one"


@pytest.mark.parametrize("newest_is_gone", [False, True])
def test_a_rollback_goes_with_a_mount_that_is_moved(job: Lab, bao: Bao, newest_is_gone: bool) -> None:
    job.config["jobs"]["job"] |= DELETING
    assert roll(job, f"{bao.mount}/app/db", "--to", "1").code == 0
    if newest_is_gone:
        bao.root.secrets.kv.v2.delete_latest_version_of_secret("app/db", mount_point=bao.mount)
        job.run("sync")
    moved = Bao(bao.server, f"{bao.mount}-moved", bao.token)
    bao.root.sys.move_backend(bao.mount, moved.mount)
    until(lambda: moved.mount + "/" in moved.root.sys.list_mounted_secrets_engines()["data"])
    job.config["jobs"]["job"]["secrets"][0]["path"] = f"{moved.mount}/app/*"
    try:
        for _ in range(3):
            job.run("sync")
            job.let_pass(timedelta(hours=2))
        assert job.site.values()["db_v"] == "one"
    finally:
        moved.root.sys.disable_secrets_engine(moved.mount)
        bao.enable()


def test_an_end_opens_no_window_for_another_vault(lab: Lab, bao: Bao) -> None:
    there = elsewhere(bao)
    lab.vault(bao)
    lab.vault(there, "other", namespace=there.namespace)
    for place in (bao, there):
        for value in ("one", "two"):
            place.put("app/db", v=value)
    for name, source in (("mine", "vault"), ("theirs", "other")):
        lab.job(name, source, {"path": f"{bao.mount}/app/*", "field": "v", "name": name})
    assert lab.run("sync").code == 0
    assert roll(lab, f"vault:{bao.mount}/app/db", "--to", "1").code == 0
    lab.config["sources"]["renamed"] = lab.config["sources"].pop("vault")
    lab.config["jobs"]["mine"]["source"] = "renamed"
    lab.run("sync")
    lab.config["jobs"]["theirs"]["windows"] = {"allow": closed()}
    there.put("app/db", v="three")
    lab.run("sync")
    assert roll(lab, "mine", "--end").code == 0
    assert lab.site.values() == {"mine": "two", "theirs": "two"}, "the rotation waits for its window"


@pytest.mark.parametrize("by", ["a second entry", "its ARN", "a second entry and its ARN"])
def test_every_reader_of_the_secret_is_taken_back_and_told(lab: Lab, aws: Any, aws_url: str, by: str) -> None:
    """One command takes each site back, names each in the trail, and its end lets each go on."""
    lab.aws(aws_url)
    lab.aws(aws_url, "aws2")
    arn = aws.create_secret(Name="p/a", SecretString="one")["ARN"]
    bank = str(uuid.uuid4())
    lab.secret_file("bank-key", lab.wix.issue_key(bank))
    lab.config["targets"]["bank"] = lab.target(bank, "bank-key")
    lab.job("mine", "aws", {"path": "p/a", "name": "A"})
    path = arn if "ARN" in by else "p/a"
    lab.job("theirs", "aws2" if "entry" in by else "aws", {"path": path, "name": "A"})
    lab.config["jobs"]["theirs"]["targets"] = ["bank"]
    assert lab.run("sync").code == 0
    aws.put_secret_value(SecretId="p/a", SecretString="two")
    assert lab.run("sync").code == 0
    done = roll(lab, "aws:p/a")
    assert done.code == 0, done.err
    assert (lab.site.values(), lab.wix.site(bank).values()) == ({"A": "one"}, {"A": "one"})
    lines = lab.run("audit", "show", "--event", "secret.rolled_back", "--json").json
    assert {line["target"] for line in lines} == {"shop", "bank"}
    assert roll(lab, "aws:p/a", "--end").code == 0
    assert (lab.site.values(), lab.wix.site(bank).values()) == ({"A": "two"}, {"A": "two"})


def test_an_end_that_another_rollback_outlasts_says_so(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.vault(bao, "second")
    for value in ("one", "two"):
        bao.put("app/db", v=value)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.job("other", "second", {"path": f"{bao.mount}/app/*", "name": "OTHER_{basename}"})
    assert lab.run("sync").code == 0
    for source in ("vault", "second"):
        assert roll(lab, f"{source}:{bao.mount}/app/db", "--to", "1").code == 0
    done = roll(lab, f"vault:{bao.mount}/app/db", "--end")
    assert f"second:{bao.mount}/app/db, which is the same secret, still is rolled back" in done.out, done.out
    assert lab.site.values()["db_v"] == "one"
    done = roll(lab, f"second:{bao.mount}/app/db", "--end")
    assert "goes on to its newest version" in done.out and lab.site.values()["db_v"] == "two"


def test_a_frozen_secret_of_a_renamed_source_is_named(job: Lab) -> None:
    assert job.run("state", "freeze", "db_v", "--until", "2d", "--reason", "x").code == 0
    job.config["sources"]["renamed"] = job.config["sources"].pop("vault")
    job.config["jobs"]["job"]["source"] = "renamed"
    job.run("sync")
    done = roll(job, "db_w", "--to", "1")
    assert done.code == 6 and "db_v on shop is frozen, and keeps version 3" in done.err, done.err


@pytest.mark.parametrize("way", ["back", "end"])
def test_a_decision_of_one_version_opens_no_window_for_another_name(job: Lab, bao: Bao, way: str) -> None:
    """New names of the path, and names that pass to it, wait for the window beside it."""
    bao.put("app/b", v="of b")
    rules = job.config["jobs"]["job"]["secrets"]
    rules.append({"path": f"{bao.mount}/app/b", "field": "v", "name": "N"})
    assert job.run("sync").code == 0
    if way == "end":
        assert roll(job, f"{bao.mount}/app/db", "--to", "1").code == 0
    job.config["jobs"]["job"]["windows"] = {"allow": closed()}
    rules[-1] = {"path": f"{bao.mount}/app/db", "field": "v", "name": "N"}
    rules.append({"path": f"{bao.mount}/app/db", "field": "w", "name": "NEW"})
    roll(job, f"{bao.mount}/app/db", *(["--end"] if way == "end" else ["--to", "1"]))
    assert job.site.values()["db_v"] == ("three" if way == "end" else "one")
    assert job.site.values()["N"] == "of b" and "NEW" not in job.site.values()


def test_a_rollback_takes_nothing_over_outside_the_window(job: Lab, bao: Bao) -> None:
    """Somebody's secret of a new name of the path waits for the window, as any adoption."""
    job.site.create({"name": "THEIRS", "value": "somebody's", "description": ""})
    settings = job.config["jobs"]["job"]
    settings |= {"windows": {"allow": closed()}, "conflict_policy": "adopt"}
    settings["secrets"].append({"path": f"{bao.mount}/app/db", "field": "v", "name": "THEIRS"})
    roll(job, f"{bao.mount}/app/db", "--to", "1")
    assert job.site.values()["db_v"] == "one" and job.site.values()["THEIRS"] == "somebody's"


def test_status_tells_what_is_rolled_back(job: Lab, bao: Bao) -> None:
    assert "--end" not in job.run("status").out
    assert roll(job, "db_v", "--to", "1").code == 0
    told = job.run("status").out
    assert f"vault:{bao.mount}/app/db: rolled back to 1 until" in told and "incident 7" in told
    assert f"syncd rollback vault:{bao.mount}/app/db --end" in told
    assert "--end" not in job.run("status", "--status", "synced").out
    assert roll(job, "db_v", "--end").code == 0 and "--end" not in job.run("status").out


@pytest.mark.parametrize("room", [0, 1])
def test_a_rollback_that_a_limit_withholds_is_held(lab: Lab, bao: Bao, room: int) -> None:
    """The site never had the older version, so it needs room; its status is of what the site holds."""
    lab.vault(bao)
    bao.put("app/x", v="1")
    bao.put("app/x", v="leaked")
    bao.put("app/y", v="1")
    guard = {"guard": {"max_updates": 1 + room}}
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"}, **guard)
    assert lab.run("sync").code == 0
    bao.put("app/y", v="2")
    assert lab.run("sync").code == 0
    code = lab.run("rollback", "x", "--to", "1", "--until", "9h", "--reason", "leak").code
    for _ in range(2):
        assert lab.statuses()["x"] == ("rolled_back" if room else "held")
        assert lab.site.values()["x"] == ("1" if room else "leaked") and code == (0 if room else 6)
        where = lab.run("where", f"{bao.mount}/app/x").out
        assert ("rolled_back" in where) is bool(room), where
        said = lab.run("sync").out
        assert ("rolled back" in said) is bool(room) and (" held" in said) is not bool(room), "one word of one secret"
    if not room:
        (batch,) = lab.run("held", "--json").json
        assert lab.run("release", batch["batch"], "--reason", "x").code == 0
        lab.run("sync")
        assert lab.statuses()["x"] == "rolled_back" and lab.site.values()["x"] == "1"
