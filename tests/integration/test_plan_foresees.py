"""`syncd plan` foresees what `syncd sync` meets, and its JSON holds every reason that its text has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("a/x", v="1")
    bao.put("b/x", v="2")
    return lab


@pytest.mark.parametrize("names", [("SAME", "SAME"), ("same", "SAME")])
def test_a_name_that_two_jobs_want(job: Lab, bao: Bao, names: tuple[str, str]) -> None:
    for letter, name in zip("ab", names, strict=True):
        job.job(letter, "vault", {"path": f"{bao.mount}/{letter}/*", "name": name})
    plan = job.run("plan")
    told = job.run("plan", "--json")
    assert plan.code == told.code == 1 and "conflict" in plan.out and "of job a" in plan.out
    assert [len(one["actions"]) for one in told.json["plans"]] == [1, 0]
    assert "of job a" in told.json["plans"][1]["findings"][0]["message"]
    synced = job.run("sync")
    assert synced.code == 1 and job.site.values() == {names[0]: "1"}


def test_the_same_name_from_the_same_path_is_no_conflict(job: Lab, bao: Bao) -> None:
    for letter in "ab":
        job.job(letter, "vault", {"path": f"{bao.mount}/a/*", "name": "SAME"})
    assert job.run("plan").code == 0 and job.run("sync").code == 0


def test_what_is_taken_back(job: Lab, bao: Bao) -> None:
    job.job("a", "vault", {"path": f"{bao.mount}/a/*"})
    assert job.run("sync").code == 0
    for left in job.state.parent.glob("state.db*"):
        if not left.name.endswith(".key"):
            left.unlink()
    plan = job.run("plan")
    assert "taken back  x_v" in plan.out
    assert [one["kind"] for one in job.run("plan", "--json").json["plans"][0]["findings"]][-1] == "taken back"
    assert job.run("sync").code in {0, 1}


def test_an_unreadable_rule_is_in_the_json(job: Lab, bao: Bao) -> None:
    job.job("a", "vault", {"path": f"{bao.mount}/a/*"}, {"path": "nowhere/a/*"})
    plan = job.run("plan")
    told = job.run("plan", "--json")
    assert plan.code == told.code == 4
    (failure,) = told.json["plans"][0]["failures"]
    assert failure["place"] == "nowhere/a/*" and failure["message"] in plan.out and failure["hint"] in plan.out


def test_every_line_of_the_text_is_in_the_json(job: Lab, bao: Bao) -> None:
    bao.put("a/empty", v="")
    job.site.create({"name": "x_v", "value": "by hand", "description": ""})
    job.job("a", "vault", {"path": f"{bao.mount}/a/*"}, {"path": f"{bao.mount}/missing"}, {"path": "nowhere/*"})
    job.job("b", "vault", {"path": f"{bao.mount}/b/*", "name": "{path}_{field}"})
    text, told = job.run("plan").out, job.run("plan", "--json").out
    for line in text.splitlines():
        if line.startswith("  ") and ": " in line:
            # What is added for whoever typed -c is of no use to a program.
            reason = line.rpartition(": ")[2].partition(f" (with -c {job.config_file})")[0]
            assert reason in told, line


def test_the_total_of_several_jobs(job: Lab, bao: Bao) -> None:
    for letter in "ab":
        job.job(letter, "vault", {"path": f"{bao.mount}/{letter}/*", "name": letter.upper()})
    assert job.run("plan").out.rstrip().endswith("in all: 2 to create, 0 to update, 0 to delete")


@pytest.mark.parametrize("gone", [(1, 1, 0), (1, 1, 1), (0, 2, 1)])
def test_the_limit_of_a_site_that_several_jobs_share(lab: Lab, bao: Bao, gone: tuple[int, int, int]) -> None:
    """A later job's deletions have the room that earlier ones leave, in the plan as in the sync."""
    lab.vault(bao)
    limits: dict[str, Any] = {
        "deletion_policy": "delete",
        "deletion_grace": "0s",
        "guard": {"max_deletes": sum(gone) - 1},
    }
    for number in range(3):
        for name in "abcd":
            bao.put(f"j{number}/{name}", v="1")
        lab.job(
            f"j{number}", "vault", {"path": f"{bao.mount}/j{number}/*", "name": f"J{number}_{{basename}}"}, **limits
        )
    assert lab.run("sync").code == 0
    for number, most in enumerate(gone):
        for name in "abcd"[:most]:
            bao.remove(f"j{number}/{name}")
    file = lab.folder / "plan.json"
    planned = lab.run("plan", "--out", str(file), "--json")
    deletes = [action["name"] for part in planned.json["plans"] for action in part["actions"]]
    before = set(lab.ids())
    assert planned.code == 6
    applied = lab.run("apply", str(file))
    print(planned.err, applied.out, applied.err)
    assert applied.code in {0, 6}, applied.err
    assert before - set(lab.ids()) == set(deletes) and len(deletes) == sum(gone) - 1
    assert lab.run("sync").code == 6 and before - set(lab.ids()) == set(deletes)


@pytest.mark.parametrize("way", ["paused", "its window is closed", "its part is left out"])
def test_what_rests_takes_no_room_of_a_later_job(lab: Lab, bao: Bao, way: str) -> None:
    lab.vault(bao)
    limits: dict[str, Any] = {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 1}}
    for job in ("one", "two"):
        for name in "abc":
            bao.put(f"{job}/{name}", v="1")
        lab.job(job, "vault", {"path": f"{bao.mount}/{job}/*", "name": f"{job.upper()}_{{basename}}"}, **limits)
    assert lab.run("sync").code == 0
    for job in ("one", "two"):
        bao.remove(f"{job}/a")
    if way == "paused":
        assert lab.run("pause", "one", "--until", "1h", "--reason", "x").code == 0
    if way == "its window is closed":
        later = (datetime.now(UTC).hour + 12) % 24
        lab.config["jobs"]["one"]["windows"] = {"allow": [f"Mon-Sun {later:02}:00-{later:02}:30 UTC"]}
    planned = lab.run("plan", "--json", *(["two"] if way == "its part is left out" else []))
    deletes = [action["name"] for part in planned.json["plans"] for action in part["actions"] if part["job"] == "two"]
    before = set(lab.ids())
    lab.run("sync", *(["two"] if way == "its part is left out" else []))
    assert deletes == ["TWO_a"] and "TWO_a" in before - set(lab.ids())


@pytest.mark.parametrize("first", ["old", "new"])
@pytest.mark.parametrize("way", ["deleted", "passed on"])
def test_what_waits_for_a_name_that_the_plan_settles(job: Lab, bao: Bao, way: str, first: str) -> None:
    """The new name is another job's, and once that is there the old one may go in the same run."""
    bao.put("a/k", v="3")
    job.job("old", "vault", {"path": f"{bao.mount}/a/x", "name": "OLD"}, {"path": f"{bao.mount}/a/k"}, **DELETING)
    job.job("new", "vault", {"path": f"{bao.mount}/b/x", "name": "B"}, **DELETING)
    assert job.run("sync").code == 0
    rules = job.config["jobs"]["old"]["secrets"]
    rules.pop(0)
    if way == "passed on":
        rules.append({"path": f"{bao.mount}/b/x", "name": "OLD"})
    job.config["jobs"]["new"]["secrets"].append({"path": f"{bao.mount}/a/x", "name": "NEW"})
    order = ["new", "old"] if first == "new" else ["old", "new"]
    plan, synced = job.run("plan", *order), job.run("sync", *order)
    foretold = "once this plan has settled it" in plan.out
    went = job.site.values().get("OLD") != "1"
    assert foretold == went == (first == "new"), plan.out
    assert synced.code in {0, 1} and job.site.values()["NEW"] == "1"
