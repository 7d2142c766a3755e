"""`syncd where`: on which sites a path's secret is, in which version, and when all have it."""

from __future__ import annotations

import subprocess
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.daemon.attention import open_rollbacks
from syncd.daemon.secret_story import secret_story
from syncd.daemon.secrets_page import secrets_page
from syncd.web.principal import ALL, Principal
from tests.lab import Bao, Lab
from tests.support.policies import DELETING
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind


@pytest.fixture
def sites(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("wh/db", user="u", password="p1")
    second = str(uuid.uuid4())
    lab.secret_file("k2", lab.wix.issue_key(second))
    lab.config["targets"]["outlet"] = lab.target(second, "k2")
    lab.wix.site(second).options.quota = 10**6
    lab.job("job", "vault", {"path": f"{bao.mount}/wh/*"}, targets=["shop", "outlet"])
    assert lab.run("sync").code == 0
    return lab


def test_every_place_of_a_path_is_told(sites: Lab, bao: Bao) -> None:
    done = sites.run("where", f"{bao.mount}/wh/db", "--json")
    assert done.code == 0
    places = [(row["target"], row["name"], row["version"], row["status"]) for row in done.json]
    assert places == [(t, n, "1", "synced") for t in ("outlet", "shop") for n in ("db_password", "db_user")]
    assert all(row["arrived_at"] and row["request_id"] for row in done.json)
    field = sites.run("where", f"{bao.mount}/wh/db#user")
    assert field.code == 0 and field.out.count("db_user") == 2 and "db_password" not in field.out


def test_a_version_that_is_not_everywhere_is_said_until_it_is(sites: Lab, bao: Bao) -> None:
    bao.put("wh/db", user="u", password="p2")
    path = f"{bao.mount}/wh/db"
    before = sites.run("where", path, "--version", "2")
    assert before.code == 1 and "4 of 4 are not there yet in version 2" in before.err
    assert sites.run("where", path, "--version", "1").code == 0, "an earlier one has arrived"
    process = sites.popen("where", path, "--version", "2", "--wait", "60s")
    assert sites.run("sync").code == 0
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert sites.run("where", path, "--version", "2").code == 0


def test_a_place_that_failed_is_told(sites: Lab, bao: Bao) -> None:
    bao.put("wh/none", field="")
    sites.run("sync")
    done = sites.run("where", f"{bao.mount}/wh/none", "--json")
    assert done.code == 1 and {row["status"] for row in done.json} <= {"failed", "quarantined", "unverified"}, done.out
    assert len(done.json) == 2


def test_who_asks_by_a_name_at_wix_is_told_its_path(sites: Lab, bao: Bao) -> None:
    done = sites.run("where", "db_user")
    assert done.code == 3 and f"syncd where {bao.mount}/wh/db" in done.err and "name at Wix" in done.err


@pytest.mark.parametrize("path", ["wh/db", "nowhere", "", "#"])
def test_an_unknown_path_is_said(sites: Lab, path: str) -> None:
    done = sites.run("where", path)
    assert done.code == 3 and "syncd explain" in done.err


def test_a_plan_as_a_comment(sites: Lab, bao: Bao) -> None:
    bao.put("wh/db", user="u", password="generated-p2")
    bao.put("wh/new", v="")
    done = sites.run("plan", "--format", "md")
    assert done.code == 1 and "generated-p2" not in done.out
    assert (
        done.out.startswith("## syncd plan: 2 to update\n") and "| `db_password` | job → outlet | 1 | 2 |" in done.out
    )
    assert "### To be seen to" in done.out and "new\\_v" in done.out
    assert sites.run("plan", "--format", "yaml").code == 3


def revoke(lab: Lab, target: str) -> None:
    """The site of a target refuses everything from now on."""
    lab.secret_file(f"revoked-{target}", "revoked")
    lab.config["targets"][target] = lab.target(lab.config["targets"][target]["auth"]["site_id"], f"revoked-{target}")


def closed_window() -> dict[str, list[str]]:
    """Windows that are not open now, nor within the next two hours."""
    begins = datetime.now(UTC) + timedelta(hours=3)
    return {"allow": [f"{begins:%H}:00-{begins + timedelta(hours=1):%H}:00 UTC"]}


@pytest.mark.sweep
@pytest.mark.parametrize("what", ["first", "next"])
@pytest.mark.parametrize("how", ["paused", "refuses", "window", "refused before there was news"])
def test_a_site_that_was_not_reached_does_not_have_it(sites: Lab, bao: Bao, how: str, what: str) -> None:
    if how == "paused":
        assert sites.run("pause", "--target", "outlet", "--reason", "x").code == 0
    elif how.startswith("refuse"):
        revoke(sites, "outlet")
        if how != "refuses":  # as where a site refuses at once, and the others are still being read for
            sites.run("sync")
            sites.config["jobs"]["job"]["targets"] = ["shop"]
    else:
        sites.config["jobs"]["late"] = {
            **sites.config["jobs"]["job"],
            "targets": ["outlet"],
            "windows": closed_window(),
        }
        sites.config["jobs"]["job"]["targets"] = ["shop"]
    path = f"{bao.mount}/wh/{'new' if what == 'first' else 'db'}"
    bao.put(f"wh/{'new' if what == 'first' else 'db'}", user="u2", password="p2")
    sites.run("sync")
    if how != "window":
        sites.config["jobs"]["job"]["targets"] = ["shop", "outlet"]
    result = sites.run("where", path, "--json")
    told = {(row["target"], row["status"]) for row in result.json}
    assert result.code == 1 and {target for target, _ in told} == {"shop", "outlet"}, told
    assert ("shop", "synced") in told and ("outlet", "synced") not in told, told
    assert sites.run("where", path, "--version", "1" if what == "first" else "2").code == 1
    if how != "window" and what == "next":  # nor does any other place say that it has it
        listed = sites.run("state", "list", "--json").json
        assert {row["status"] for row in listed if row["target"] == "outlet"} == {"behind"}
        report = sites.run("report", "--format", "json").json["secrets"]
        assert {row["status"] for row in report if row["target"] == "outlet"} == {"behind"}


def test_the_page_of_a_secret_names_the_sites_that_lack_it_and_where_it_is_rolled_back(sites: Lab, bao: Bao) -> None:
    bao.put("wh/db", user="u2", password="p2")
    sites.run("sync")
    assert sites.run("pause", "--target", "outlet", "--reason", "x").code == 0
    bao.put("wh/new", user="n")
    sites.run("sync")
    everybody = Principal(name="a", kind="token", may=ALL)
    with App(load(sites.config_file)) as app:
        told = secret_story(app, everybody, (sites.site_id, "new_user"), [], lambda _: None)
        assert told and [(row["target"], row["status"], row["version"]) for row in told["places"]] == [
            ("outlet", "behind", None), ("shop", "synced", "1"),
        ]  # fmt: skip
        assert told["is_whole"]
    assert sites.run("rollback", f"{bao.mount}/wh/db", "--reason", "leak").code == 6
    with App(load(sites.config_file)) as app:
        told = secret_story(app, everybody, (sites.site_id, "db_user"), [], lambda _: None)
        assert told and told["rolled_back"] == ["shop"] and told["goes_back"] == ["outlet", "shop"]
        assert {row["target"]: row["status"] for row in told["places"]} == {"outlet": "behind", "shop": "rolled_back"}
        (card,) = open_rollbacks(app, everybody)
        assert "not there yet on outlet" in card["what"] and card["path"] == f"vault:{bao.mount}/wh/db", card


@pytest.mark.parametrize("how", ["paused", "refuses"])
def test_a_site_that_it_never_came_to_has_its_page_and_its_row(sites: Lab, bao: Bao, how: str) -> None:
    """Whoever looks for a new key on the site that lacks it does not conclude that no job sends it there."""
    sites.run("sync")
    if how == "paused":
        assert sites.run("pause", "--target", "outlet", "--reason", "relaunch").code == 0
    else:
        revoke(sites, "outlet")
    bao.put("wh/new", user="n")
    sites.run("sync")
    everybody = Principal(name="a", kind="token", may=ALL)
    known = {"jobs": ["job"], "targets": ["shop", "outlet"], "rules": []}
    with App(load(sites.config_file)) as app:
        outlet = app.site_of("outlet")
        told = secret_story(app, everybody, (outlet, "new_user"), [], lambda _: None)
        assert told and told["row"]["status"] == "behind" and "has not come here yet" in told["problems"][0]["message"]
        assert how != "paused" or "relaunch" in told["problems"][0]["message"]
        for asked in ({"q": "new_user"}, {"q": "wh/new"}, {"q": "new_user", "status": "behind"}):
            page = secrets_page(app, everybody, {**asked, "target": "outlet"}, known, lambda _: None)  # type: ignore[arg-type,return-value]
            assert [(row["name"], row["target"], row["status"]) for row in page["rows"]] == [
                ("new_user", "outlet", "behind")
            ]
        assert not secrets_page(app, everybody, {"q": "nosuch", "target": "outlet"}, known, lambda _: None)["rows"]  # type: ignore[arg-type,return-value]
        assert secret_story(app, everybody, (outlet, "nosuch"), [], lambda _: None) is None
        assert secret_story(app, everybody, (outlet, "new"), [], lambda _: None) is None, "part of a name is none"


@pytest.mark.parametrize("why", ["orphan", "excluded", "gone"])
def test_what_will_never_come_to_a_site_is_not_told_there(sites: Lab, bao: Bao, why: str) -> None:
    """Its name and path are another site's, which whoever sees this one alone is not to learn."""
    sites.config["jobs"]["job"]["targets"] = ["shop"]
    bao.put("wh/payroll", key="k")
    assert sites.run("sync").code == 0
    job = sites.config["jobs"]["job"]
    if why == "orphan":
        job["secrets"] = [{"path": f"{bao.mount}/wh/db"}]
    elif why == "excluded":
        job["secrets"][0]["exclude"] = [f"{bao.mount}/wh/payroll"]
    else:
        bao.remove("wh/payroll")
    job["targets"] = ["shop", "outlet"]
    for _ in range(2):
        sites.run("sync")
    outlet_alone = Principal(name="a", kind="token", may=ALL, targets=frozenset({"outlet"}))
    known = {"jobs": ["job"], "targets": ["outlet"], "rules": []}
    with App(load(sites.config_file)) as app:
        asked = {"q": "payroll", "target": "outlet"}
        assert not secrets_page(app, outlet_alone, asked, known, lambda _: None)["rows"]  # type: ignore[arg-type,return-value]
        assert secret_story(app, outlet_alone, (app.site_of("outlet"), "payroll_key"), [], lambda _: None) is None


def test_what_waits_for_its_first_arrival_everywhere_is_told(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("solo/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/solo/*"}, windows=closed_window())
    lab.run("sync")
    result = lab.run("where", f"{bao.mount}/solo/x", "--json")
    assert result.code == 1 and [row["status"] for row in result.json] == ["behind"]


def test_a_frozen_secret_has_what_it_holds(sites: Lab, bao: Bao) -> None:
    path = f"{bao.mount}/wh/db#user"
    for target in ("shop", "outlet"):
        frozen = sites.run("state", "freeze", "db_user", "--target", target, "--until", "3h", "--reason", "x")
        assert frozen.code == 0
    assert sites.run("where", path).code == 0
    bao.put("wh/db", user="u2", password="p2")
    sites.run("sync")
    assert sites.run("where", path).code == 1 and sites.run("where", path, "--version", "1").code == 0


def test_numbers_that_began_anew_are_no_later_ones(sites: Lab, bao: Bao) -> None:
    for count in range(2, 6):
        bao.put("wh/db", user=f"old-{count}", password="p")
    assert sites.run("sync").code == 0
    bao.remove("wh/db")
    for count in (1, 2):
        bao.put("wh/db", user=f"new-{count}", password="p")
    for target in ("shop", "outlet"):
        revoke(sites, target)
    sites.run("sync")
    path = f"{bao.mount}/wh/db"
    for version in ("1", "2", "5"):
        assert sites.run("where", path, "--version", version).code == 1, version


def test_news_that_another_job_saw_are_news(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    second = str(uuid.uuid4())
    lab.secret_file("k2", lab.wix.issue_key(second))
    lab.config["targets"]["outlet"] = lab.target(second, "k2")
    bao.put("both/a", v="1")
    for job, target in (("one", "shop"), ("two", "outlet")):
        lab.job(job, "vault", {"path": f"{bao.mount}/both/*"})
        lab.config["jobs"][job]["targets"] = [target]
    assert lab.run("sync").code == 0
    assert lab.run("pause", "two", "--reason", "x").code == 0
    bao.put("both/a", v="2")
    assert lab.run("sync").code == 0
    assert lab.run("where", f"{bao.mount}/both/a").code == 1
    listed = {row["target"]: row["status"] for row in lab.run("state", "list", "--json").json}
    assert listed == {"shop": "synced", "outlet": "behind"}


def test_while_it_is_rolled_back_nobody_has_the_newest(sites: Lab, bao: Bao) -> None:
    path = f"{bao.mount}/wh/db"
    bao.put("wh/db", user="u2", password="p2")
    assert sites.run("state", "freeze", "db_user", "--target", "shop", "--until", "3h", "--reason", "x").code == 0
    sites.run("sync")
    assert sites.run("where", f"{path}#user").code == 1
    assert sites.run("rollback", path, "--to", "1", "--reason", "x").code == 0
    assert sites.run("where", f"{path}#user").code == 1
    assert sites.run("where", path, "--version", "1").code == 0


def test_what_was_deleted_is_not_missing(sites: Lab, bao: Bao) -> None:
    sites.config["jobs"]["job"] |= DELETING
    bao.put("wh/gone", v="1")
    assert sites.run("sync").code == 0
    path = f"{bao.mount}/wh/gone"
    assert sites.run("where", path).code == 0
    bao.remove("wh/gone")
    for _ in range(3):
        sites.run("sync")
    result = sites.run("where", path)
    assert result.code == 3 and "no site has a secret" in result.err, result.out


@pytest.mark.sweep
@pytest.mark.parametrize("anew", [2, 3])
def test_numbers_of_a_secret_that_was_made_anew_are_others(sites: Lab, bao: Bao, anew: int) -> None:
    bao.put("wh/db", user="u", password="p2")
    assert sites.run("sync").code == 0
    sites.run("pause", "--target", "outlet", "--reason", "x")
    bao.remove("wh/db")
    for number in range(anew):
        bao.put("wh/db", user="u", password=f"anew-{number}")
    sites.run("sync")
    path = f"{bao.mount}/wh/db"
    for words in ((), ("--version", "1"), ("--version", "2")):
        assert sites.run("where", path, *words).code == 1, "the paused site holds a version of the secret before"
    sites.run("resume", "--target", "outlet")
    assert sites.run("sync").code == 0 and sites.run("where", path, "--version", str(anew)).code == 0


@pytest.mark.sweep
@pytest.mark.parametrize("then", ["a window", "a rule", "a rollback", "gone", "no rule's any more", "frozen"])
def test_what_others_changed_is_no_version_of_the_source(sites: Lab, bao: Bao, then: str) -> None:
    """Whatever the row is called by then: a pipeline goes on by this answer."""
    path = f"{bao.mount}/wh/db"
    bao.put("wh/db", user="u", password="p2")
    sites.config["jobs"]["job"] |= {"drift_policy": "report", "targets": ["shop"]}
    sites.run("sync")
    for name in ("db_password", "db_user"):
        changed_by_hand(sites, name)
    assert sites.run("sync").code in {0, 1}, "seen, and left as it is"
    if then == "frozen":
        for name in ("db_password", "db_user"):
            frozen = sites.run("state", "freeze", name, "--target", "shop", "--until", "3h", "--reason", "x")
            assert frozen.code == 0
    sites.run("sync")
    if then == "a window":
        sites.config["jobs"]["job"]["windows"] = closed_window()
    elif then == "a rule":
        sites.config["rules"] = [{"id": "all", "job": "job", "then": "hold"}]
    elif then == "a rollback":
        sites.run("rollback", path, "--reason", "x")
    elif then == "no rule's any more":
        sites.config["jobs"]["job"]["secrets"][0]["exclude"] = [path]
    if then == "gone":
        bao.remove("wh/db")
    elif then in {"a window", "a rule"}:
        bao.put("wh/db", user="u", password="p3")
    sites.run("sync")
    # A rollback is a new value, which goes out whatever was there.
    assert (sites.site.values()["db_password"] == "HAND-MADE") is (then != "a rollback")
    back = then == "a rollback"
    assert sites.run("where", f"{path}#password", "--version", "1").code == (0 if back else 1)
    # The same in both versions, so nothing of it is written.
    assert sites.run("where", f"{path}#user", "--version", "1").code == 1


@pytest.mark.parametrize("waits_for", ["max_updates", "a window"])
def test_what_others_changed_and_waits_to_be_put_back_is_no_version(sites: Lab, bao: Bao, waits_for: str) -> None:
    sites.config["jobs"]["job"]["targets"] = ["shop"]
    if waits_for == "max_updates":
        sites.config["jobs"]["job"]["guard"] = {"max_updates": 0}
    else:
        sites.config["jobs"]["job"]["windows"] = closed_window()
    for name in ("db_password", "db_user"):
        changed_by_hand(sites, name)
    sites.run("sync")
    assert sites.site.values()["db_password"] == "HAND-MADE"
    assert sites.run("where", f"{bao.mount}/wh/db", "--version", "1").code == 1


def test_what_lacks_says_why_and_what_was_taken_back_is_told_apart(sites: Lab, bao: Bao) -> None:
    path = f"{bao.mount}/wh/db"
    bao.put("wh/db", user="u", password="p2")
    sites.run("sync")
    assert sites.run("rollback", path, "--reason", "leak").code == 0
    done = sites.run("where", path)
    assert done.code == 1 and "4 of 4 hold version 1, as rolled back; the newest waits" in done.err, done.err
    assert "not there yet" not in done.err and sites.run("where", path, "--version", "1").code == 0
    sites.config["rules"] = [{"id": "weak", "placeholder": True, "then": "deny"}]
    bao.put("wh/weak", user="changeme")
    sites.run("sync")
    done = sites.run("where", f"{bao.mount}/wh/weak")
    assert done.code == 1 and "2 of 2 are not there yet" in done.err and done.err.count("rule weak: ") == 1, done.err
    assert "fix: change it at the source" in done.err
    rows = sites.run("where", f"{bao.mount}/wh/weak", "--json").json
    assert all("rule weak" in row["why"] and row["fix"] for row in rows)


def test_a_path_that_no_cycle_has_seen_is_waited_for(sites: Lab, bao: Bao) -> None:
    """The first deployment of a secret: a rule takes it, and nobody has looked since it was put there."""
    bao.put("wh/new", user="u")
    path = f"{bao.mount}/wh/new"
    for words in ((path,), (f"vault:{path}",), (f"{path}#user", "--version", "1"), (path, "--wait", "1s")):
        done = sites.run("where", *words)
        assert done.code == 3 and "a rule takes it, and no cycle has seen it yet; the last look at" in done.err, (
            done.err
        )
    process = sites.popen("where", path, "--wait", "60s")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)  # it has looked by then, and goes on
    assert sites.run("sync").code == 0
    process.communicate(timeout=60)
    assert process.returncode == 0
    bao.remove("wh/new")
    sites.config["jobs"]["job"] |= DELETING
    for _ in range(3):
        sites.run("sync")
    assert sites.run("where", path).code == 3, "it was seen, and is gone"


def test_a_path_that_no_rule_takes_is_a_slip(sites: Lab, bao: Bao) -> None:
    for path in (f"{bao.mount}/other/new", "wh/new", f"{bao.mount}/wh/deep/er"):
        assert sites.run("where", path).code == 3


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"value": "postgres://{user}:{password|url}@db", "name": "URL"}, {"password", "user"}),
        ({"value": "{user}", "name": "URL"}, {"user"}),
        ({"format": "json", "name": "URL"}, {"user", "password"}),
        ({"field": "user", "name": "URL"}, {"user"}),
    ],
    ids=["template", "template without it", "whole", "field"],
)
def test_where_a_field_is_within_another_value(sites: Lab, bao: Bao, rule: dict[str, str], holds: set[str]) -> None:
    sites.job("urls", "vault", {"path": f"{bao.mount}/wh/db", **rule}, targets=["shop"])
    sites.config["jobs"]["job"]["secrets"] = [{"path": f"{bao.mount}/wh/db", "field": "user", "name": "USER"}]
    sites.config["jobs"]["job"]["deletion_policy"] = "keep"
    assert sites.run("sync", "urls").code == 0
    for field in ("user", "password"):
        rows = sites.run("where", f"{bao.mount}/wh/db#{field}", "--json").json
        assert ("URL" in {row["name"] for row in rows}) == (field in holds), (field, rows)
        assert f"db_{field}" in {row["name"] for row in rows}


def test_where_a_field_is_when_its_template_is_gone(sites: Lab, bao: Bao) -> None:
    rule = {"path": f"{bao.mount}/wh/db", "value": "{user}:{password}", "name": "URL"}
    sites.config["jobs"] = {}
    sites.job("urls", "vault", rule, targets=["shop"])
    assert sites.run("sync").code == 0
    sites.config["jobs"]["urls"]["secrets"][0]["value"] = "{user}"
    done = sites.run("where", f"{bao.mount}/wh/db#password", "--json")
    assert {row["name"]: row["why"] for row in done.json if row["name"] == "URL"}["URL"].startswith(
        "whether the field is in it is not known"
    )
    assert done.code == 1, "nobody knows, so it is not told as there"


@pytest.mark.parametrize("rule", [{"format": "json"}, {"value": "{user}:{password}"}])
@pytest.mark.parametrize("change", ["a newer version", "made anew"])
def test_where_a_field_of_an_older_value_is(sites: Lab, bao: Bao, rule: dict[str, str], change: str) -> None:
    """The site keeps what had the field; what the source has by now does not."""
    sites.config["jobs"] = {}
    sites.job("urls", "vault", {"path": f"{bao.mount}/wh/db", "name": "URL", **rule}, targets=["shop"])
    assert sites.run("sync").code == 0
    sites.run("state", "freeze", "URL", "--target", "shop", "--until", "1d", "--reason", "agreed")
    if change == "made anew":
        bao.remove("wh/db")
    bao.put("wh/db", user="u", other="x")
    sites.run("sync")
    for field in ("password", "other") if "format" in rule else ("password",):
        done = sites.run("where", f"{bao.mount}/wh/db#{field}", "--json")
        (row,) = [row for row in done.json if row["name"] == "URL"]
        assert ("is not known" in row.get("why", "")) == ("format" in rule) == (not row.get("is_known", True))


@pytest.mark.parametrize("rule", [{"format": "json"}, {"value": "{user}:{password}"}, {"field": "user"}])
def test_a_field_that_its_path_does_not_have_is_nowhere(sites: Lab, bao: Bao, rule: dict[str, str]) -> None:
    sites.config["jobs"] = {}
    sites.job("urls", "vault", {"path": f"{bao.mount}/wh/db", "name": "URL", **rule}, targets=["shop"])
    assert sites.run("sync").code == 0
    for typo in ("pasword", "User", "user "):
        done = sites.run("where", f"{bao.mount}/wh/db#{typo}")
        assert done.code == 3 and "no site has a secret from" in done.err, done.out


def test_plain_text_has_no_fields(lab: Lab, aws: Any, aws_url: str) -> None:
    lab.aws(aws_url)
    aws.create_secret(Name="wh/text", SecretString="not JSON")
    lab.job("job", "aws", {"path": "wh/text", "name": "TEXT"})
    assert lab.run("sync").code == 0 and lab.run("where", "wh/text").code == 0
    assert lab.run("where", "wh/text#nosuch").code == 3
