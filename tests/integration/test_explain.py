"""`syncd explain` answers for any name, path or id, synced or not: rule or exclude, listed, readable, what comes next."""

from __future__ import annotations

import pytest

from tests.lab import Bao, Lab

OTHER = "00000000-0000-4000-8000-0000000000ac"


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/a", v="1")
    bao.put("app/legacy/b", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**", "exclude": [f"{bao.mount}/app/legacy/**"]})
    assert lab.run("sync").code == 0
    return lab


def test_a_name_that_the_next_sync_creates(job: Lab, bao: Bao) -> None:
    bao.put("app/new", v="1")
    for what in ("new_v", f"{bao.mount}/app/new", f"vault:{bao.mount}/app/new#v"):
        done = job.run("explain", what)
        assert done.code == 0 and "next cycle of job on shop: create new_v" in done.out, done.out
        rows = job.run("explain", what, "--json").json["next"]
        assert [row["actions"][0]["action"] for row in rows] == ["create"] and rows[0]["listed"] and rows[0]["readable"]


def test_a_typo_is_not_said_to_wait_for_a_sync(job: Lab, bao: Bao) -> None:
    done = job.run("explain", f"{bao.mount}/app/tpyo")
    assert done.code == 0 and "does not list this path" in done.out and "syncd sync" not in done.out
    done = job.run("explain", "a_w")
    assert done.code == 3 and "did you mean a_v" in done.err


@pytest.mark.parametrize("path", ["app/legacy/b", "app/legacy/deep/er", "app/legacy/not-there"])
def test_an_excluded_path_names_the_exclude(job: Lab, bao: Bao, path: str) -> None:
    done = job.run("explain", f"{bao.mount}/{path}")
    assert done.code == 0 and f"by exclude {bao.mount}/app/legacy/**" in done.out and "syncd sync" not in done.out
    assert job.run("explain", f"{bao.mount}/{path}", "--json").json["excluded"][0]["job"] == "job"


def test_an_unreadable_path_says_why(job: Lab, bao: Bao) -> None:
    bao.put("app/closed", v="1")
    policy = f"part-{bao.mount}"
    bao.root.sys.create_or_update_policy(
        policy,
        f'path "{bao.mount}/*" {{ capabilities = ["read", "list", "scan"] }}\n'
        f'path "{bao.mount}/data/app/closed" {{ capabilities = ["deny"] }}',
    )
    job.secret_file("vault-token", bao.root.auth.token.create(policies=[policy])["auth"]["client_token"])
    done = job.run("explain", f"{bao.mount}/app/closed")
    assert done.code == 0 and "could not be read" in done.out and "permission denied" in done.out
    row = job.run("explain", f"{bao.mount}/app/closed", "--json").json["next"][0]
    assert row["listed"] and not row["readable"] and "permission denied" in row["failures"][0]["message"]


@pytest.mark.parametrize("what", ["a_v", "never_heard_of", "path"])
def test_a_source_that_is_down_is_said(job: Lab, bao: Bao, what: str) -> None:
    job.config["sources"]["vault"]["address"] = "http://127.0.0.1:1"
    done = job.run("explain", f"{bao.mount}/app/x" if what == "path" else what)
    assert done.code == (4 if what == "never_heard_of" else 0)
    assert "nothing can be told" in done.out and "does not answer" in done.out
    assert "nothing is known" not in done.err


def test_two_sites_have_two_histories(job: Lab, bao: Bao) -> None:
    job.secret_file("other-key", job.wix.issue_key(OTHER))
    job.wix.site(OTHER).options.quota = 10**6
    job.config["targets"]["outlet"] = job.target(OTHER, "other-key")
    job.config["jobs"]["job"]["targets"].append("outlet")
    bao.put("app/a", v="2")
    assert job.run("sync").code == 0
    done = job.run("explain", "a_v").out
    first, second = sorted((done.index("a_v on shop"), done.index("a_v on outlet")))
    shop = done[first:second] if done.index("a_v on shop") == first else done[second:]
    outlet = done[second:] if done.index("a_v on shop") == first else done[first:second]
    assert "update: done" in shop and "create: done" in shop
    assert "create: done" in outlet and "update:" not in outlet.split("next cycle")[0]


def test_what_is_and_what_waits(job: Lab, bao: Bao) -> None:
    assert "nothing, a_v is as its source says" in job.run("explain", "a_v").out
    assert "nothing, a_v is as its source says" in job.run("explain", job.ids()["a_v"]).out
    bao.put("app/a", v="2")
    assert "update a_v (new source version)" in job.run("explain", "a_v").out
    bao.remove("app/a")
    bao.put("app/c", v="1")
    assert "missing a_v" in job.run("explain", "a_v").out
    job.site.create({"name": "c_v", "value": "by hand", "description": ""})
    done = job.run("explain", "c_v").out
    assert "conflict c_v" in done and "state adopt c_v" in done


@pytest.mark.parametrize("missing", ["path", "field"])
def test_a_name_that_a_rule_gives_outright_is_known(job: Lab, bao: Bao, missing: str) -> None:
    """Nothing came of it yet: there is no such path, or no such field."""
    path, field = ("app/nothing", "v") if missing == "path" else ("app/a", "nothing")
    job.config["jobs"]["job"]["secrets"].append({"path": f"{bao.mount}/{path}", "field": field, "name": "BY_HAND"})
    for _ in range(2):
        told = job.run("explain", "BY_HAND")
        assert told.code == 0 and path in told.out and "BY_HAND" in told.out, told.out + told.err
        job.run("sync")
    assert job.run("explain", "BY_HAMD").code == 3
