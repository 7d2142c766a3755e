"""What leaves the configuration is still judged, by job and site, whatever was removed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING

OTHER = "00000000-0000-4000-8000-0000000000aa"


@pytest.fixture
def lab2(lab: Lab, bao: Bao) -> Lab:
    """Two sites, two jobs; `one` sends to both, `two` to the second."""
    lab.vault(bao)
    lab.secret_file("other-key", lab.wix.issue_key(OTHER))
    lab.wix.site(OTHER).options.quota = 10**6
    lab.config["targets"]["outlet"] = lab.target(OTHER, "other-key")
    bao.put("app/x", v="1")
    bao.put("two/y", v="2")
    lab.job("one", "vault", {"path": f"{bao.mount}/app/*"}, targets=["shop", "outlet"], **DELETING)
    lab.job("two", "vault", {"path": f"{bao.mount}/two/*"}, targets=["outlet"], **DELETING)
    assert lab.run("sync").code == 0
    return lab


def target_from_job(lab: Lab) -> None:
    lab.config["jobs"]["one"]["targets"].remove("outlet")


def the_job(lab: Lab) -> None:
    del lab.config["jobs"]["one"]


def job_renamed(lab: Lab) -> None:
    lab.config["jobs"]["uno"] = lab.config["jobs"].pop("one") | {"targets": ["shop"]}


def both_jobs_of_the_site(lab: Lab) -> None:
    target_from_job(lab)
    lab.config["jobs"]["two"]["targets"] = ["shop"]


def rows(lab: Lab) -> dict[tuple[str, str], str]:
    return {(row["target"], row["name"]): row["status"] for row in lab.run("state", "list", "--json").json}


@pytest.mark.sweep
@pytest.mark.parametrize(
    "change", [target_from_job, the_job, job_renamed, both_jobs_of_the_site], ids=lambda one: one.__name__
)
def test_it_is_an_orphan_wherever_it_is_told(lab2: Lab, bao: Bao, change: Callable[[Lab], None]) -> None:
    change(lab2)
    bao.put("app/x", v="newer")
    assert rows(lab2)["outlet", "x_v"] == "orphan", "at once, without a cycle"
    result = lab2.run("sync")
    assert result.code == 0
    if change is not both_jobs_of_the_site:
        assert "x_v" in result.out and "orphan" in result.out
    assert rows(lab2)["outlet", "x_v"] == "orphan"
    assert "left over" in lab2.run("status").out or change is the_job
    assert "orphan" in lab2.run("explain", "x_v").out
    assert lab2.wix.site(OTHER).values()["x_v"] == "1", "it goes by command only"
    assert lab2.run("state", "forget", "x_v", "--target", "outlet", "--delete", "--reason", "agreed").code == 0
    assert "x_v" not in lab2.wix.site(OTHER).values() and "x_v" in lab2.site.values()


def test_a_site_that_no_target_names_is_detached(lab2: Lab) -> None:
    target_from_job(lab2)
    del lab2.config["jobs"]["two"], lab2.config["targets"]["outlet"]
    assert lab2.run("sync").code == 0
    assert rows(lab2)["outlet", "x_v"] == rows(lab2)["outlet", "y_v"] == "detached"


def test_what_another_job_wants_passes_to_it(lab2: Lab, bao: Bao) -> None:
    target_from_job(lab2)
    lab2.config["jobs"]["two"]["secrets"].append({"path": f"{bao.mount}/app/*"})
    before = lab2.wix.site(OTHER).values()
    bao.put("app/x", v="newer")
    assert lab2.run("sync").code == 0
    assert rows(lab2)["outlet", "x_v"] == "synced" and lab2.wix.site(OTHER).values() == before | {"x_v": "newer"}


@pytest.mark.parametrize("back", [True, False])
def test_a_target_that_comes_back_is_served_again(lab2: Lab, bao: Bao, back: bool) -> None:
    target_from_job(lab2)
    lab2.run("sync")
    if back:
        lab2.config["jobs"]["one"]["targets"].append("outlet")
    bao.put("app/x", v="newer")
    lab2.run("sync")
    assert (lab2.wix.site(OTHER).values()["x_v"] == "newer") is back
    assert (rows(lab2)["outlet", "x_v"] == "synced") is back


@pytest.mark.parametrize("door", ["state list", "where", "status"])
@pytest.mark.parametrize("change", [target_from_job, the_job, job_renamed], ids=lambda one: one.__name__)
def test_what_failed_for_a_job_that_is_gone_fails_no_more(
    lab2: Lab, bao: Bao, change: Callable[[Lab], None], door: str
) -> None:
    """A conflict of a job that sends nothing to the site any more is nobody's to settle."""
    lab2.wix.site(OTHER).create({"name": "new_v", "value": "made by hand"})
    bao.put("app/new", v="1")
    assert lab2.run("sync").code == 1
    change(lab2)
    assert lab2.run("sync").code == 0
    words = {"state list": ["state", "list"], "where": ["where", f"{bao.mount}/app/new"], "status": ["status"]}[door]
    assert "conflict" not in lab2.run(*words).out
