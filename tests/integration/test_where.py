"""`syncd where`: on which sites a path's secret is, in which version, and when all have it."""

from __future__ import annotations

import uuid

import pytest

from tests.lab import Bao, Lab


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
