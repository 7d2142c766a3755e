"""A site of several jobs is listed once a tick, as long as nothing was written in between."""

from __future__ import annotations

import pytest

from tests.lab import Bao, Lab

pytestmark = pytest.mark.kind


@pytest.fixture
def ten(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in range(10):
        bao.put(f"j{number}/x", v="1")
        lab.job(f"j{number}", "vault", {"path": f"{bao.mount}/j{number}/*", "name": f"J{number}_{{field}}"})
    assert lab.run("sync").code == 0 and len(lab.site.values()) == 10
    lab.wix.seen.clear()
    return lab


def methods(lab: Lab) -> list[str]:
    return [one.method for one in lab.wix.seen]


@pytest.mark.sweep
@pytest.mark.parametrize("words", [("sync",), ("plan",)])
def test_an_idle_tick_of_ten_jobs_asks_once(ten: Lab, words: tuple[str, ...]) -> None:
    assert ten.run(*words).code == 0
    assert methods(ten) == ["GET"]


def test_two_targets_on_one_site_ask_once(ten: Lab) -> None:
    ten.config["targets"]["again"] = dict(ten.config["targets"]["shop"])
    for job in ten.config["jobs"].values():
        job["targets"] = ["shop", "again"]
    assert ten.run("sync").code == 0
    assert methods(ten) == ["GET"]


def test_a_write_makes_the_next_job_look_again(ten: Lab, bao: Bao) -> None:
    bao.put("j4/x", v="2")
    assert ten.run("sync").code == 0
    assert methods(ten).count("PATCH") == 1 and methods(ten).count("GET") == 2


@pytest.mark.sweep
@pytest.mark.parametrize("fault", ["reset_after", "504_after", "500"])
def test_a_lost_answer_makes_the_next_job_look_again(ten: Lab, bao: Bao, fault: str) -> None:
    bao.put("j4/x", v="2")
    bao.put("j5/x", v="2", w="new")
    ten.wix.fault(fault, "PATCH", times=9)
    ten.run("sync")
    ten.wix.faults.clear()
    assert ten.run("sync").code == 0
    assert ten.site.values()["J4_v"] == ten.site.values()["J5_v"] == "2" and len(set(ten.site.created_ids)) == 11


def test_what_one_job_creates_the_next_one_sees(ten: Lab, bao: Bao) -> None:
    """The second job wants a name that the first has just made: a conflict, and no second secret."""
    bao.put("j0/y", v="first")
    bao.put("j1/y", v="second")
    for number in (0, 1):
        ten.config["jobs"][f"j{number}"]["secrets"].append({"path": f"{bao.mount}/j{number}/y", "name": "BOTH"})
    done = ten.run("sync")
    assert done.code == 1 and "BOTH" in done.out and ten.site.values()["BOTH"] == "first"
    assert len(ten.site.created_ids) == 11
