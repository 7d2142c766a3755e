"""Pauses and windows: nothing is listed, recovered or sent; plans work; what runs hears it at once."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from datetime import timedelta

import pytest

from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from tests.fakes import FakeClock
from tests.lab import Bao, Lab
from tests.support.logins import by_app
from tests.support.policies import DELETING, closed
from tests.support.waiting import until, within

NOT_PAUSED = "was not paused|there was no pause of everything"
pytestmark = pytest.mark.kind


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in range(6):
        bao.put(f"app/s{number}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"}, **DELETING)
    return lab


@pytest.mark.sweep
@pytest.mark.parametrize("words", [("job",), ("--target", "shop"), ("--all",)])
def test_a_paused_job_does_nothing_until_it_is_resumed(job: Lab, words: tuple[str, ...]) -> None:
    assert job.run("pause", *words).code == 3, "a reason is needed"
    assert job.run("pause", *words, "--reason", "freeze of the shop").code == 0
    seen = len(job.wix.seen)
    result = job.run("sync")
    assert result.code == 0 and "is paused" in result.out and "freeze of the shop" in result.out
    assert len(job.wix.seen) == seen and not job.site.values()
    assert job.run("plan", "--detailed-exitcode").code == 2
    plan = str(job.folder / "plan.json")
    assert job.run("plan", "--out", plan).code == 0
    assert job.run("apply", plan).code == 6
    assert job.run("resume", *words).code == 0 and re.search(NOT_PAUSED, job.run("resume", *words).out)
    assert job.run("apply", plan).code == 0 and len(job.site.values()) == 6
    events = [line["event"] for line in job.run("audit", "show", "--json").json]
    assert events.count("job.paused") == events.count("job.resumed") == 1


def test_a_pause_ends_by_itself_and_deletes_nothing_meanwhile(job: Lab, bao: Bao) -> None:
    assert job.run("sync").code == 0
    assert job.run("pause", "job", "--until", "1s", "--reason", "x").code == 0
    bao.remove("app/s0")
    assert job.run("sync").code == 0 and len(job.site.values()) == 6
    assert job.run("pause", "job", "--until", "2020-01-01", "--reason", "x").code == 3
    forgotten = job.run("state", "forget", "s0_v", "--delete", "--reason", "x")
    until(lambda: job.run("sync").code == 0 and len(job.site.values()) == 5, 20)
    assert forgotten.code == 6 and "paused" in forgotten.err


def test_a_running_process_hears_it_before_its_next_request(job: Lab) -> None:
    job.config["targets"]["shop"]["rate_limit"] = "2/4s"
    running = job.popen("sync")
    until(lambda: job.wix.count("POST") >= 1, 30)
    with within(8):
        assert job.run("pause", "--all", "--reason", "stop").code == 0
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 0, out
    sent = job.wix.count("POST")
    assert sent < 6 and "paused" in out
    assert job.run("resume", "--all").code == 0
    job.config["targets"]["shop"]["rate_limit"] = "5000/1s"
    assert job.settle().code == 0 and len(job.site.values()) == 6
    assert job.run("audit", "verify").code == 0


@pytest.mark.parametrize("door", ["renamed", "a second target", "a second target that is another's"])
def test_the_pause_of_a_target_is_of_its_site(job: Lab, door: str) -> None:
    assert job.run("pause", "--target", "shop", "--reason", "freeze of the shop").code == 0
    targets = job.config["targets"]
    targets["boutique"] = dict(targets["shop"])
    if door == "renamed":
        del targets["shop"]
    job.config["jobs"]["other" if door.endswith("another's") else "job"] = {
        **job.config["jobs"]["job"], "targets": ["boutique"],
    }  # fmt: skip
    result, name = job.run("sync"), "boutique" if door == "renamed" else "shop"
    assert f"target {name} is paused" in result.out and not job.site.values(), result.out
    assert job.run("plan", "--detailed-exitcode").code == 2
    assert "goes on" in job.run("resume", "--target", "boutique").out and job.run("sync").code == 0
    assert len(job.site.values()) == 6


def test_names_that_change_places_change_no_pause(job: Lab) -> None:
    bank = str(uuid.uuid4())
    job.secret_file("bank-key", job.wix.issue_key(bank))
    targets = job.config["targets"]
    targets["bank"] = job.target(bank, "bank-key")
    job.config["jobs"]["job"]["targets"] = ["shop", "bank"]
    assert job.run("pause", "--target", "shop", "--reason", "freeze").code == 0
    targets["shop"], targets["bank"] = targets["bank"], targets["shop"]
    assert job.run("pause", "--target", "shop", "--until", "1h", "--reason", "another").code == 0
    job.run("sync")
    assert not job.site.values() and not job.wix.site(bank).values()
    assert "goes on" in job.run("resume", "--target", "shop").out
    assert "target bank is paused" in job.run("sync").out
    assert not job.site.values() and len(job.wix.site(bank).values()) == 6
    assert "goes on" in job.run("resume", "--target", "bank").out
    assert job.run("sync").code == 0 and len(job.site.values()) == 6


def test_a_pause_holds_for_a_site_under_another_name_and_login(job: Lab, bao: Bao) -> None:
    assert job.run("sync").code == 0
    assert job.run("pause", "--target", "shop", "--reason", "freeze").code == 0
    bao.put("app/s0", v="2")
    job.config["targets"]["boutique"] = by_app(job)
    del job.config["targets"]["shop"]
    job.config["jobs"]["job"]["targets"] = ["boutique"]
    for _ in range(2):
        result = job.run("sync")
        assert job.site.values()["s0_v"] == "1" and "target boutique is paused" in result.out, result.out


def test_a_pause_of_what_is_gone_is_told(job: Lab) -> None:
    assert job.run("sync").code == 0
    assert job.run("pause", "job", "--reason", "freeze").code == 0
    job.config["jobs"]["late"] = job.config["jobs"].pop("job")
    said = job.run("check").out
    assert "pause of job job" in said and "syncd resume job" in said, said


@pytest.mark.sweep
@pytest.mark.parametrize("then", ["renamed", "its rule moves", "its name moves", "renamed with its source", "split"])
def test_what_is_of_a_paused_job_is_not_taken_over(job: Lab, bao: Bao, then: str) -> None:
    bao.put("other/x", v="another")
    job.job("second", "vault", {"path": f"{bao.mount}/other/*"}, **DELETING)
    assert job.run("sync").code == 0
    assert job.run("pause", "job", "--reason", "freeze").code == 0
    bao.put("app/s0", v="2")
    bao.put("other/x", v="rotated")
    configured = job.config["jobs"]
    if then == "its rule moves":
        configured["second"]["secrets"] += configured["job"]["secrets"]
        configured["job"]["secrets"] = [{"path": f"{bao.mount}/none/*"}]
    elif then == "its name moves":
        configured.pop("job")
        configured["second"]["secrets"].append({"path": f"{bao.mount}/other/x", "field": "v", "name": "s0_v"})
    elif then == "split":
        rest = configured.pop("job")
        for number in range(6):
            configured[f"part{number}"] = {**rest, "secrets": [{"path": f"{bao.mount}/app/s{number}"}]}
    else:
        configured["late"] = configured.pop("job")
    if then == "renamed with its source":
        job.config["sources"]["renamed"] = job.config["sources"].pop("vault")
        for one in configured.values():
            one["source"] = "renamed"
    for _ in range(3):
        result = job.run("sync")
        assert "job job is paused" in result.out and job.site.values()["s0_v"] == "1", result.out
    assert job.site.values()["x_v"] == "rotated", "who is not paused goes on"
    assert job.run("resume", "job").code == 0
    job.settle()
    assert job.site.values()["s0_v"] in {"2", "rotated"}


def test_the_end_of_a_pause_is_told_once_and_by_nobody(job: Lab) -> None:
    assert job.run("sync").code == 0
    assert job.run("pause", "job", "--until", "1s", "--reason", "x").code == 0
    until(lambda: "is paused" not in job.run("sync").out, 20)
    assert job.run("sync").code == 0
    ends = [line for line in job.run("audit", "show", "--json").json if line["event"] == "job.resumed"]
    assert len(ends) == 1 and ends[0]["reason"] == "its time ran out" and ends[0]["actor"]["id"] == "syncd", ends
    assert ends[0]["job"] == "job" and job.run("audit", "verify").code == 0


def test_what_is_paused_must_be_there(job: Lab) -> None:
    assert job.run("pause", "jbo", "--reason", "x").code == 3 and job.run("pause", "--reason", "x").code == 3
    assert job.run("pause", "job", "--all", "--reason", "x").code == 3


def test_outside_its_window_a_job_looks_and_sends_nothing(job: Lab, bao: Bao) -> None:
    assert job.run("sync").code == 0
    job.config["jobs"]["job"]["windows"] = {"allow": closed(), "except": ["update"]}
    bao.put("app/s0", v="2")
    bao.put("app/new", v="1")
    result = job.run("sync")
    assert result.code == 0 and "outside the job's window" in result.out, result.out
    assert job.site.values()["s0_v"] == "2" and "new_v" not in job.site.values()
    bao.remove("app/s1")
    assert job.run("sync").code == 0 and "s1_v" in job.site.values()
    assert job.run("sync", "--outside-window").code == 3
    assert job.run("sync", "--outside-window", "--reason", "incident").code == 0
    assert "new_v" in job.site.values() and "s1_v" not in job.site.values()


@pytest.mark.parametrize("window", ["Mon", "25:00-26:00", "Mon-Fri 08:00-18:00 Mars/Phobos"])
def test_a_window_that_does_not_parse(job: Lab, window: str) -> None:
    job.config["jobs"]["job"]["windows"] = {"allow": [window]}
    result = job.run("check")
    assert result.code == 3 and "jobs.job.windows.allow[0]" in result.err and "no window" in result.err, result.err


def test_pauses_move_with_the_ledger(job: Lab) -> None:
    assert job.run("pause", "job", "--reason", "x").code == 0
    exported = json.loads(job.run("state", "export", "--full").out)
    assert [row["name"] for row in exported["tables"]["syncd_pauses"]] == ["job"]


@pytest.mark.parametrize("how", ["resumed", "ran out"])
def test_absence_of_a_pause_does_not_count(lab: Lab, bao: Bao, how: str) -> None:
    lab.vault(bao)
    for name in "ab":
        bao.put(f"app/{name}", v="1")
    deleting = {"deletion_policy": "delete", "deletion_grace": "2h", "guard": {"max_deletes": 5}}
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"}, **deleting)
    assert lab.run("sync").code == 0
    bao.remove("app/a")
    assert lab.run("sync").code == 0
    assert lab.run("pause", "job", "--reason", "x", "--until", "6h").code == 0
    # Five hours pass, all of them paused.
    lab.let_pass(timedelta(hours=5))
    if how == "resumed":
        assert lab.run("resume", "job").code == 0
    else:
        with sqlite3.connect(lab.state) as database:
            database.execute("UPDATE syncd_pauses SET until = until - ?", (6 * 3600 * 10**6,))
    assert lab.run("sync").code == 0 and set(lab.site.values()) == {"a_v", "b_v"}
    lab.let_pass(timedelta(hours=3))
    with sqlite3.connect(lab.state) as database:
        database.execute("UPDATE syncd_pauses SET until = until - ?", (4 * 3600 * 10**6,))
    assert lab.run("sync").code == 0 and set(lab.site.values()) == {"b_v"}, "what is seen after it counts"


def test_nothing_is_deleted_by_command_on_a_site_of_which_a_target_is_paused(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.config["targets"]["second"] = dict(lab.config["targets"]["shop"])
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.config["jobs"]["job"]["targets"] = ["second"]
    assert lab.run("sync").code == 0
    bao.put("none/x", v="1")
    lab.config["jobs"]["job"]["secrets"] = [{"path": f"{bao.mount}/none/*"}]
    assert lab.run("sync").code == 0
    for paused in (["--target", "second"], ["--target", "shop"], ["job"], ["--all"]):
        assert lab.run("pause", *paused, "--reason", "hands off").code == 0
        assert lab.run("state", "forget", "a_v", "--delete", "--reason", "x").code == 6, paused
        assert "a_v" in lab.site.values()
        with sqlite3.connect(lab.state) as ledger:  # as a ledger of before has it: by the target's name alone
            ledger.execute("UPDATE syncd_pauses SET site = ''")
        assert lab.run("state", "forget", "a_v", "--delete", "--reason", "x").code == 6, paused
        assert lab.run("resume", *paused).code == 0
    assert lab.run("state", "forget", "a_v", "--delete", "--reason", "x").code == 0


@pytest.mark.parametrize(("steps", "paused"), [
    ([timedelta(days=1)], True), ([timedelta(days=1), timedelta(seconds=3)], True),
    ([timedelta(seconds=3), timedelta(days=1)], True), ([timedelta(hours=2), timedelta(hours=2)], True),
    ([timedelta(days=1), timedelta(hours=2), timedelta(minutes=1)], True),
])  # fmt: skip
def test_a_pause_outlasts_jumps_of_the_clock(steps: list[timedelta], paused: bool) -> None:
    clock = FakeClock()
    ledger = Ledger(sqlite_engine(None), "in memory", None, clock)
    ledger.decisions.pause("job", "job", clock() + timedelta(hours=3), "x")
    for step in steps:
        clock.skip(step)
        ledger.decisions.note_clock_jump(step)
        clock.skip(timedelta(minutes=1))
        assert bool(ledger.decisions.pauses()) is paused, step
    clock.skip(timedelta(hours=4))
    assert not ledger.decisions.pauses(), "a clock that has agreed with itself for an hour is believed"
    ledger.close()


def test_nothing_is_deleted_by_command_outside_the_window(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for name in "ab":
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    bao.remove("app/a")
    lab.run("sync")
    lab.config["jobs"]["job"]["windows"] = {"allow": ["00:00-00:01 Pacific/Kiritimati"]}
    result = lab.run("state", "forget", "a_v", "--delete", "--reason", "x")
    assert result.code == 6 and "a_v" in lab.site.values() and "windows" in result.err
    del lab.config["jobs"]["job"]["windows"]
    assert lab.run("state", "forget", "a_v", "--delete", "--reason", "x").code == 0
