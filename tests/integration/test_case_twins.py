"""Names that differ only in case are one name at Wix: the id passes, and the site never has neither."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING
from tests.support.token import rule, token_and_other

pytestmark = pytest.mark.kind


def one(bao: Bao, path: str, name: str) -> dict[str, Any]:
    return rule(bao, f"app/{path}", name)


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    token_and_other(lab, bao)
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


@pytest.mark.sweep
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


@pytest.mark.sweep
@pytest.mark.parametrize("kept", ["by its policy", "because it was adopted", "by another job's policy"])
def test_what_is_kept_is_lent_to_no_other_secret(job: Lab, bao: Bao, kept: str) -> None:
    """Who would not delete it does not give its id away, either."""
    name = "token"
    if kept == "by its policy":
        job.config["jobs"]["job"]["deletion_policy"] = "keep"
    elif kept == "because it was adopted":
        name = "made"
        job.site.create({"name": name, "value": "of a"})
        job.config["jobs"]["job"]["conflict_policy"] = "adopt"
        job.config["jobs"]["job"]["secrets"][0] = one(bao, "a", name)
        assert job.settle().code == 0
    job.config["jobs"]["job"]["secrets"].pop(0)
    wanted = one(bao, "b", name.upper())
    if kept == "by another job's policy":
        job.config["jobs"]["job"]["deletion_policy"] = "keep"
        job.job("second", "vault", wanted, **DELETING)
    else:
        job.config["jobs"]["job"]["secrets"].append(wanted)
    result = job.settle()
    assert result.code == 1 and name.upper() not in job.site.values() and job.site.values()[name] == "of a"


def test_a_frozen_one_is_left(job: Lab, bao: Bao) -> None:
    assert job.run("state", "freeze", "token", "--until", "1d", "--reason", "x").code == 0
    job.config["jobs"]["job"]["secrets"][0] = one(bao, "b", "TOKEN")
    job.run("sync")
    assert job.site.values() == {"token": "of a", "other": "of c"}


@pytest.mark.sweep
@pytest.mark.parametrize("then", ["hold", "deny"])
@pytest.mark.parametrize("path", ["a", "b"])
def test_a_rule_about_a_name_is_about_each_of_its_spellings(job: Lab, bao: Bao, path: str, then: str) -> None:
    job.config["rules"] = [{"id": "r", "name": "tok*", "then": then}]
    bao.put("app/a", v="new")
    job.config["jobs"]["job"]["secrets"][0] = one(bao, path, "TOKEN")
    for _ in range(2):
        job.run("sync")
        assert job.site.values() == {"token": "of a", "other": "of c"}


@pytest.mark.parametrize("case_insensitive", [True, False])
def test_a_late_creation_of_the_other_spelling_doubles_nothing(lab: Lab, bao: Bao, case_insensitive: bool) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.site.options.case_insensitive = case_insensitive
    lab.job("job", "vault", one(bao, "a", "KEY"))
    lab.wix.fault("late", "POST", times=1)
    lab.wix.fault("reset_before", "POST", times=5)
    lab.run("sync")
    lab.wix.faults.clear()
    lab.config["jobs"]["job"]["secrets"] = [one(bao, "a", "Key")]
    lab.run("sync")
    for commit in lab.wix.late:
        commit()
    lab.settle()
    assert len(lab.site.values()) == 1 and len(lab.ids()) == 1
