"""Pauses and windows: nothing is listed, recovered or sent; plans work; what runs hears it at once."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING
from tests.support.waiting import until


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in range(6):
        bao.put(f"app/s{number}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"}, **DELETING)
    return lab


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
    assert job.run("resume", *words).code == 0 and "was not paused" in job.run("resume", *words).out
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
    began = time.monotonic()
    assert job.run("pause", "--all", "--reason", "stop").code == 0
    out, _ = running.communicate(timeout=20)
    assert time.monotonic() - began < 8 and running.returncode == 0, out
    sent = job.wix.count("POST")
    assert sent < 6 and "paused" in out
    assert job.run("resume", "--all").code == 0
    job.config["targets"]["shop"]["rate_limit"] = "5000/1s"
    assert job.settle().code == 0 and len(job.site.values()) == 6
    assert job.run("audit", "verify").code == 0


def test_what_is_paused_must_be_there(job: Lab) -> None:
    assert job.run("pause", "jbo", "--reason", "x").code == 3 and job.run("pause", "--reason", "x").code == 3
    assert job.run("pause", "job", "--all", "--reason", "x").code == 3


def closed() -> list[str]:
    """A window that is not open today."""
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    return [f"{days[(datetime.now(UTC) + timedelta(days=3)).weekday()]} 08:00-09:00 UTC"]


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
