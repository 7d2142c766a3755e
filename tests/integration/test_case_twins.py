"""Names that differ only in case are one name at Wix: the id passes, and the site never has neither."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING

KEEPING = {"deletion_policy": "keep"}


def one(bao: Bao, path: str, name: str) -> dict[str, Any]:
    return {"path": f"{bao.mount}/app/{path}", "field": "v", "name": name}


@pytest.fixture(params=[DELETING, KEEPING], ids=["delete", "keep"])
def job(request: pytest.FixtureRequest, lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for path in "abc":
        bao.put(f"app/{path}", v=f"of {path}")
    lab.job("job", "vault", one(bao, "a", "token"), one(bao, "c", "other"), **request.param)
    assert lab.run("sync").code == 0
    return lab


def test_one_cycle_is_enough(job: Lab, bao: Bao) -> None:
    before = job.ids()["token"]
    job.config["jobs"]["job"]["secrets"][0] = one(bao, "b", "TOKEN")
    assert job.run("sync").code == 0
    assert job.site.values() == {"TOKEN": "of b", "other": "of c"} and job.ids()["TOKEN"] == before
    assert job.wix.count("DELETE") == 0 and not job.run("sync").out.count("1 updated")


def test_a_kept_plan_does_it_whole(job: Lab, bao: Bao) -> None:
    job.config["jobs"]["job"]["secrets"][0] = one(bao, "b", "tOkEn")
    file = job.folder / "plan.json"
    assert job.run("plan", "--out", str(file)).code == 0
    assert job.run("apply", str(file)).code == 0
    assert job.site.values() == {"tOkEn": "of b", "other": "of c"}


@pytest.mark.parametrize("names", [("first", "second"), ("second", "first")], ids=str)
def test_it_passes_from_job_to_job(job: Lab, bao: Bao, names: tuple[str, str]) -> None:
    """Whichever of the two comes first in the file."""
    rules = job.config["jobs"].pop("job")
    for name in names:
        job.config["jobs"][name] = dict(rules)
    job.config["jobs"]["first"]["secrets"] = [one(bao, "a", "token")]
    job.config["jobs"]["second"]["secrets"] = [one(bao, "c", "other")]
    assert job.settle().code == 0
    job.config["jobs"]["first"]["secrets"] = [one(bao, "c", "third")]
    job.config["jobs"]["second"]["secrets"] = [one(bao, "c", "other"), one(bao, "b", "Token")]
    assert job.settle().code == 0
    assert job.site.values() == {"Token": "of b", "other": "of c", "third": "of c"}


def test_what_another_job_wants_still_stays(job: Lab, bao: Bao) -> None:
    job.job("second", "vault", one(bao, "b", "TOKEN"), **DELETING)
    result = job.run("sync")
    assert result.code == 1 and "token of job job differs only in case" in result.out
    assert job.site.values() == {"token": "of a", "other": "of c"}


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "504_after", "late"])
def test_whatever_becomes_of_the_request(job: Lab, bao: Bao, fault: str) -> None:
    job.config["jobs"]["job"]["secrets"][0] = one(bao, "b", "TOKEN")
    job.wix.fault(fault, "PATCH", times=20)
    job.run("sync")
    job.wix.faults.clear()
    for commit in job.wix.late:
        commit()
    assert job.settle().code == 0
    assert job.site.values() == {"TOKEN": "of b", "other": "of c"} and set(job.ids()) == {"TOKEN", "other"}


def test_an_adopted_one_stays_adopted(job: Lab, bao: Bao) -> None:
    job.site.create({"name": "made", "value": "by hand"})
    job.config["jobs"]["job"]["conflict_policy"] = "adopt"
    job.config["jobs"]["job"]["secrets"].append(one(bao, "a", "made"))
    assert job.run("sync").code == 0
    job.config["jobs"]["job"]["secrets"][-1] = one(bao, "b", "MADE")
    assert job.run("sync").code == 0 and job.site.values()["MADE"] == "of b"
    job.config["jobs"]["job"]["secrets"].pop()
    for _ in range(3):
        job.run("sync")
    assert job.site.values()["MADE"] == "of b"


def test_a_frozen_one_is_left(job: Lab, bao: Bao) -> None:
    assert job.run("state", "freeze", "token", "--until", "1d", "--reason", "x").code == 0
    job.config["jobs"]["job"]["secrets"][0] = one(bao, "b", "TOKEN")
    job.run("sync")
    assert job.site.values() == {"token": "of a", "other": "of c"}
