"""What is known of a secret follows its id at Wix: another login, another target, a forgotten row."""

from __future__ import annotations

import uuid

import pytest

from tests.lab import Bao, Lab
from tests.support.logins import by_app
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for name in ("a", "b", "theirs", "ice"):
        bao.put(f"app/{name}", v=f"value of {name}")
    lab.site.create({"name": "theirs_v", "value": "made by hand"})
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, conflict_policy="adopt", **DELETING)
    assert lab.settle().code == 0
    assert lab.run("state", "freeze", "ice_v", "--reason", "agreed", "--until", "3d").code == 0
    return lab


@pytest.mark.sweep
@pytest.mark.parametrize("again", [False, True], ids=["there", "and back"])
def test_adopted_and_frozen_stay_so_under_another_login(job: Lab, bao: Bao, again: bool) -> None:
    first, second, ids = job.config["targets"]["shop"], by_app(job), job.ids()
    for target in (second, first) if again else (second,):
        job.config["targets"]["shop"] = target
        bao.put("app/ice", v=f"newer {uuid.uuid4().hex}")
        result = job.run("sync")
        assert result.code == 0 and "of this site, by their ids" in result.out
        assert "joined" not in job.run("sync").out, "said once"
    assert job.site.values()["ice_v"] == "value of ice", "frozen"
    for name in ("a", "theirs"):
        bao.remove(f"app/{name}")
    for _ in range(3):
        job.run("sync")
    assert set(job.site.values()) == {"theirs_v", "b_v", "ice_v"}, "adopted, so never deleted; ours is"
    assert job.ids().items() <= ids.items()
    assert {row["status"] for row in job.run("state", "list", "--json").json} <= {"synced", "frozen", "missing"}


@pytest.mark.sweep
@pytest.mark.parametrize("first", ["api_key", "app"])
def test_two_keys_that_are_both_configured_send_nothing(job: Lab, bao: Bao, first: str) -> None:
    other = by_app(job)
    job.config["targets"] = dict(
        sorted({"shop": job.config["targets"]["shop"], "app": other}.items(), reverse=first == "app")
    )
    job.job("second", "vault", {"path": f"{bao.mount}/app/b", "name": "SECOND_{field}"}, targets=["app"], **DELETING)
    before, writes = job.site.values(), job.writes()
    result = job.run("sync", "second")
    assert result.code == 3 and "join-site" in result.err
    assert (job.site.values(), job.writes()) == (before, writes)
    hint = next(line for line in result.err.split("\n") if line.startswith("  fix:")).partition("syncd ")[2].split()
    assert job.run(*hint).code == 0
    for _ in range(2):
        assert job.run("sync").code == 0
    assert set(job.site.values()) == set(before) | {"SECOND_v"}
    rows = {row["name"]: row for row in job.run("state", "list", "--json").json}
    assert set(rows) == set(before) | {"SECOND_v"} and "detached" not in {row["status"] for row in rows.values()}
    bao.put("app/ice", v="newer")
    assert job.run("sync").code == 0 and job.site.values()["ice_v"] == "value of ice", "still frozen"


def test_one_job_does_not_delete_what_another_wants_under_another_key(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/x", v="1")
    bao.put("app/y", v="2")
    lab.job("one", "vault", {"path": f"{bao.mount}/app/*", "name": "{path}"}, **DELETING)
    lab.config["targets"]["app"] = by_app(lab)
    lab.job("two", "vault", {"path": f"{bao.mount}/app/x", "name": "{path}"}, **DELETING)
    lab.config["jobs"]["two"]["targets"] = ["app"]
    lab.run("sync", "one")
    before = lab.site.values()
    lab.config["jobs"]["one"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/x"]
    for _ in range(3):
        assert lab.run("sync").code == 3
    assert lab.site.values() == before


def test_what_was_adopted_stays_so_when_its_row_is_forgotten(job: Lab, bao: Bao) -> None:
    assert job.run("state", "forget", "theirs_v").code == 0
    assert job.run("state", "forget", "ice_v").code == 0
    bao.put("app/ice", v="newer")
    assert job.settle().code == 0
    assert job.site.values()["ice_v"] == "value of ice"
    bao.remove("app/theirs")
    for _ in range(3):
        job.run("sync")
    assert "theirs_v" in job.site.values()


def test_a_plan_under_another_login_says_the_same_and_changes_nothing(job: Lab) -> None:
    job.config["targets"]["shop"] = by_app(job)
    before = job.run("state", "export").json["records"]
    result = job.run("plan", "--json")
    assert result.code == 0 and result.json["plans"][0]["actions"] == []
    assert [row["remote_id"] for row in job.run("state", "export").json["records"]] == [
        row["remote_id"] for row in before
    ]


def test_a_rename_of_the_target_forgets_nothing(job: Lab, bao: Bao) -> None:
    job.config["targets"] = {"store": job.config["targets"]["shop"]}
    job.config["jobs"]["job"]["targets"] = ["store"]
    bao.put("app/ice", v="newer")
    writes = job.writes()
    assert job.run("sync").code == 0
    assert job.writes() == writes and job.site.values()["ice_v"] == "value of ice"


@pytest.mark.parametrize("words", [("join-site", "x", "y"), ("join-site", "SITE", "SITE"), ("thaw", "nobody")])
def test_words_that_mean_nothing(job: Lab, words: tuple[str, ...]) -> None:
    result = job.run("state", *(job.site_id if word == "SITE" else word for word in words))
    assert result.code == 3 and "fix: " in result.err


@pytest.mark.sweep
@pytest.mark.parametrize("key", ["old", "new"])
def test_a_rule_names_a_site_by_any_of_its_keys(lab: Lab, bao: Bao, key: str) -> None:
    lab.vault(bao)
    for name in ("fine", "x"):
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    old = lab.site_id
    assert lab.run("sync").code == 0
    bao.put("more/one", v="1")
    lab.config["targets"]["again"] = by_app(lab)
    lab.job("more", "vault", {"path": f"{bao.mount}/more/*"})
    lab.config["jobs"]["more"]["targets"] = ["again"]
    refused = lab.run("sync")
    assert refused.code == 3
    hint = refused.err.partition("syncd state join-site ")[2].replace('"', " ").split()
    new = hint[1] if hint[0] == old else hint[0]
    assert lab.run("state", "join-site", *hint[:2]).code == 0
    bao.put("app/x", v="2")
    site = old if key == "old" else new
    lab.config["rules"] = [{"id": "no-x-there", "site": site, "path": "*/app/x", "then": "deny"}]
    assert lab.run("sync").code == 1 and lab.site.values()["x_v"] == "1"
    assert "1 hit" in lab.run("rules").out


def test_what_waits_for_a_release_follows_its_site(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    labels = {"labels": {"env": "prod"}}
    lab.config["rules"] = [{"id": "prod", "label": {"env": "prod"}, "then": "hold"}]
    lab.config["targets"]["shop"] |= labels
    bao.put("app/a", v="2")
    assert lab.run("sync").code == 6
    lab.config["targets"]["shop"] = {**by_app(lab), **labels}
    assert lab.run("sync").code == 6
    (batch,) = lab.run("held", "--json").json
    assert lab.run("release", batch["batch"], "--reason", "x").code == 0
    assert lab.run("sync").code == 0 and lab.site.values() == {"a_v": "2"} and not lab.run("held", "--json").json


@pytest.mark.parametrize("then", ["deny", "hold"])
def test_a_rule_goes_with_its_site_to_another_key(lab: Lab, bao: Bao, then: str) -> None:
    lab.vault(bao)
    bao.put("app/fine", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.config["rules"] = [{"id": "no-x-there", "site": lab.site_id, "path": "*/app/x", "then": then}]
    assert lab.run("sync").code == 0
    bao.put("app/x", v="1")
    assert lab.run("sync").code == {"deny": 1, "hold": 6}[then]
    lab.config["targets"]["shop"] = by_app(lab)
    for _ in range(2):
        assert lab.run("sync").code == {"deny": 1, "hold": 6}[then]
        assert set(lab.site.values()) == {"fine_v"}


@pytest.mark.parametrize("turns", [1, 2, 3, 4])
def test_what_is_unmanaged_is_told_whichever_login_lists_it(job: Lab, turns: int) -> None:
    """The login changes to and fro, and nothing changes at Wix."""
    job.site.create({"name": "LEGACY", "value": "made by hand"})
    job.run("sync")
    first, second = job.config["targets"]["shop"], by_app(job)
    for turn in range(turns):
        job.config["targets"]["shop"] = first if turn % 2 else second
        assert job.run("sync").code == 0
        found = job.run("report", "--format", "json").json["unmanaged"]
        assert [row["name"] for row in found] == ["LEGACY"], turn
