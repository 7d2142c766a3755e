"""What Vault's versions mean, as people meet them: deleted, destroyed, due for deletion, undeleted, without a value."""

from __future__ import annotations

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/x", v="1")
    bao.put("app/x", v="2")
    bao.put("app/other", v="o")
    return lab


@pytest.mark.sweep
@pytest.mark.parametrize("how", ["deleted", "destroyed"])
@pytest.mark.parametrize("door", ["exact", "glob"])
def test_an_older_version_does_not_stand_in_for_a_current_one_that_is_gone(
    job: Lab, bao: Bao, how: str, door: str
) -> None:
    """Vault goes on naming the deleted version the current one; the one before is not sent in its place."""
    path = f"{bao.mount}/app/x" if door == "exact" else f"{bao.mount}/app/*"
    job.job("job", "vault", {"path": path}, **DELETING)
    assert job.run("sync").code == 0
    kv = bao.root.secrets.kv.v2
    if how == "deleted":
        kv.delete_latest_version_of_secret("app/x", mount_point=bao.mount)
    else:
        kv.destroy_secret_versions("app/x", versions=[2], mount_point=bao.mount)
    told = job.run("plan").out
    if door == "exact":
        assert f"its current version 2 is {how} at the source" in told
    for _ in range(2):
        job.run("sync")
    assert "x_v" not in job.site.values(), "gone is gone, by consent"
    if how == "deleted":
        kv.undelete_secret_versions("app/x", versions=[2], mount_point=bao.mount)
        assert job.run("sync").code == 0 and job.site.values()["x_v"] == "2"


def test_a_version_that_is_deleted_only_later_is_there(job: Lab, bao: Bao) -> None:
    bao.root.secrets.kv.v2.update_metadata("app/x", delete_version_after="1h", mount_point=bao.mount)
    bao.put("app/x", v="3")
    job.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    assert job.run("sync").code == 0 and job.site.values()["x_v"] == "3"


def test_metadata_without_a_version_is_told_as_such(job: Lab, bao: Bao) -> None:
    bao.root.secrets.kv.v2.update_metadata("app/empty", custom_metadata={"owner": "team"}, mount_point=bao.mount)
    job.job("job", "vault", {"path": f"{bao.mount}/app/empty"}, {"path": f"{bao.mount}/app/other"})
    done = job.run("sync")
    assert done.code == 1 and "has no version yet" in done.out and job.site.values() == {"other_v": "o"}


def test_a_key_that_is_missing_is_not_told_as_synced(job: Lab, bao: Bao) -> None:
    job.job(
        "job",
        "vault",
        {"path": f"{bao.mount}/app/x", "field": "v", "name": "X"},
        {"path": f"{bao.mount}/app/x", "field": "no", "name": "N"},
    )
    done = job.run("sync")
    assert done.code == 1 and "there is no field no" in done.out and set(job.site.values()) == {"X"}
    bao.put("app/x", w="other")
    done = job.run("sync")
    assert done.code == 1 and job.statuses()["X"] == "missing" and job.site.values()["X"] == "2", "kept, and not synced"


@pytest.mark.parametrize("password", ["randompassw#ord", "p@ss:w/o?rd", "100%", "a b+c", "é", '"quoted"'])
def test_a_password_in_an_address(job: Lab, bao: Bao, password: str) -> None:
    from urllib.parse import unquote, urlsplit

    bao.put("app/db", user="app", password=password)
    job.job(
        "job",
        "vault",
        {"path": f"{bao.mount}/app/db", "name": "URL", "value": "postgresql://{user}:{password|url}@db:5432/x"},
    )
    assert job.run("sync").code == 0
    parts = urlsplit(job.site.values()["URL"])
    assert unquote(parts.password or "") == password and parts.port == 5432 and parts.path == "/x"


@pytest.mark.parametrize("first", ["the newest", "the pinned one"])
@pytest.mark.parametrize("late", ["a-job", "z-job"])
@pytest.mark.parametrize("form", ["path", "glob"])
def test_two_jobs_that_want_two_versions_under_one_name(lab: Lab, bao: Bao, first: str, late: str, form: str) -> None:
    """The first to create it has the name; else they would write over one another in every cycle."""
    lab.vault(bao)
    for value in ("old", "new"):
        bao.put("team/x", v=value)
    rule = {"path": f"{bao.mount}/team/{'x' if form == 'path' else '*'}", "field": "v", "name": "KEY"}
    newest, pinned = rule, {**rule, "path": f"{bao.mount}/team/x", "version": 1}
    lab.job("job", "vault", newest if first == "the newest" else pinned)
    assert lab.run("sync").code == 0
    holds = lab.site.values()
    lab.job(late, "vault", pinned if first == "the newest" else newest)
    for _ in range(3):
        for job in (late, "job"):
            done = lab.run("sync", job)
            assert lab.site.values() == holds, done.out
            assert done.code == (0 if job == "job" else 1) and ("belongs to" in done.out) == (job == late), done.out
    lab.config["jobs"].pop("job")
    assert lab.run("sync").code == 0 and lab.site.values() != holds, "it passes on once nobody else wants it"
