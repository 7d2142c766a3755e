"""Taking over what somebody else made: compared first, said before, and never another installation's."""

from __future__ import annotations

import pytest

from syncd.domain import SecretRef
from syncd.domain.ownership import mark_of
from tests.lab import Bao, Lab


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/x", same="1", other="2", new="3")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{field}"})
    lab.site.create({"name": "same", "value": "1", "description": "made by hand"})
    lab.site.create({"name": "other", "value": "by hand", "description": ""})
    return lab


def consent(job: Lab, door: str) -> None:
    if door == "policy":
        job.config["jobs"]["job"]["conflict_policy"] = "adopt"
    else:
        assert job.run("sync").code == 1
        for name in ("same", "other"):
            assert job.run("state", "adopt", name, "--reason", "agreed").code == 0


@pytest.mark.sweep
@pytest.mark.parametrize("door", ["policy", "grant"])
@pytest.mark.parametrize("may_read", [True, False])
def test_the_plan_says_what_is_overwritten_and_the_same_value_is_not_sent(job: Lab, door: str, may_read: bool) -> None:
    job.site.options.may_read = may_read
    consent(job, door)
    plan = {one["name"]: one["reason"] for part in job.run("plan", "--json").json["plans"] for one in part["actions"]}
    if may_read:
        assert plan["same"] == "taken over, its value is the same"
        assert plan["other"] == "taken over, another value is overwritten"
    else:
        assert plan["same"] == plan["other"] == "taken over, whatever it holds"
    before = job.site.by_name("same")
    assert job.run("sync").code == 0
    assert job.site.values() == {"same": "1", "other": "2", "new": "3"}
    after = job.site.by_name("same")
    assert before is not None and after is not None and after.id == before.id and "[syncd:lab:" in after.description
    assert job.statuses() == {"same": "synced", "other": "synced", "new": "synced"}
    assert job.run("plan", "--detailed-exitcode").code == 0, "a second run does nothing"


@pytest.mark.sweep
@pytest.mark.parametrize("fault", ["reset_after", "504_after", "500", "403", "reset_before"])
def test_an_adoption_of_the_same_value_that_fails(job: Lab, bao: Bao, fault: str) -> None:
    consent(job, "policy")
    job.wix.fault(fault, "PATCH", times=30)
    job.run("sync")
    job.wix.faults.clear()
    assert job.site.values()["same"] == "1"
    for _ in range(3):
        job.run("sync")
    assert job.statuses() == {"same": "synced", "other": "synced", "new": "synced"}
    bao.put("app/x", same="9", other="2", new="3")
    assert job.run("sync").code == 0 and job.site.values()["same"] == "9"


@pytest.mark.sweep
@pytest.mark.parametrize("owner", ["others", "LAB", "lab2", "l-a-b"])
@pytest.mark.parametrize("text", ["Stripe key {mark}", "{mark} edited by hand", "{mark}"])
def test_another_installations_secret_is_a_conflict_that_names_it(job: Lab, owner: str, text: str) -> None:
    mark = mark_of(owner, "theirs", SecretRef(source="v", path="p", field="theirs"))
    job.site.create({"name": "theirs", "value": "theirs", "description": text.format(mark=mark)})
    job.config["jobs"]["job"]["secrets"][0]["name"] = "theirs"
    job.config["jobs"]["job"]["secrets"][0]["field"] = "same"
    job.config["jobs"]["job"]["conflict_policy"] = "adopt"
    for _ in range(2):
        done = job.run("sync")
        assert done.code == 1 and owner in done.out and "state adopt theirs" in done.out
    assert job.site.values()["theirs"] == "theirs"
    assert job.run("state", "adopt", "theirs", "--reason", "they moved out").code == 0
    assert job.run("sync").code == 0 and job.site.values()["theirs"] == "1"
    assert f"[syncd:{owner}:" not in job.site.by_name("theirs").description or owner == "LAB"
