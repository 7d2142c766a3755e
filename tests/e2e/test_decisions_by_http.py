"""What a person decides through the API does what the same command does, and says what it does not do."""

from __future__ import annotations

import json
import os
import secrets
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from syncd.sandbox.launchers import free_ports
from tests.lab import Bao, Lab
from tests.support.daemon import ask, running
from tests.support.policies import closed
from tests.support.waiting import until

pytestmark = pytest.mark.kind


@dataclass
class World:
    lab: Lab
    bao: Bao
    url: str
    token: str
    process: Any

    def post(self, call: str, /, **body: Any) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1/{call}", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def command(self, *words: str) -> Any:
        return self.lab.run(*words, "--server", self.url, "--token-file", str(self.lab.folder / "token"))

    def a_cycle_has_ended(self) -> None:
        def ran() -> str:
            return str(self.lab.run("status", "--json").out)

        before = ran()
        until(lambda: ran() != before, 30)


@pytest.fixture
def world(lab: Lab, bao: Bao) -> Iterator[World]:
    """A daemon whose job is outside its window, with a secret of two versions and one that waits for the window."""
    lab.vault(bao)
    for version in ("one", "two"):
        bao.put("app/a", v=version)
    bao.put("app/b", v="one")
    rule = {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"}
    lab.job("job", "vault", rule, schedule={"every": "1s"})
    lab.config["rules"] = [{"id": "watched", "path": "*/app/held", "then": "hold"}]
    bao.put("app/held", v="one")
    lab.run("sync")
    bao.put("app/b", v="two")
    lab.config["jobs"]["job"]["windows"] = {"allow": closed()}
    token = secrets.token_hex(32)
    listen = f"127.0.0.1:{free_ports(1)}"
    lab.config["server"] = {"listen": listen, "token": {"file": str(lab.secret_file("token", token))}}
    with running(lab) as (process, url):
        until(lambda: ask(url + "/readyz")[0] == 200, 60)
        yield World(lab, bao, url, token, process)


def test_a_rollback_waits_for_no_window_and_its_end_does(world: World) -> None:
    lab = world.lab
    # Whoever sees at once that it was the wrong one decides again while the first is under way.
    lab.wix.fault("slow", "PATCH", times=1, seconds=2)
    assert world.post("rollback", what="b", to="1", until="1h", reason="a slip")[0] == 200
    status, said = world.post("rollback", what="a", to="1", until="1h", reason="leaked")
    assert status == 200 and "rolled back to 1" in said and "window" not in said
    until(lambda: lab.site.values() == {"a": "one", "b": "one"}, 30)
    bao = world.bao
    cards = {
        card["where"]: card
        for card in json.loads(ask(world.url + "/api/v1/overview", token=world.token)[1])["attention"]
    }
    assert cards["a"]["kind"] == "rolled_back" and "leaked" in cards["a"]["what"] and "--end" in cards["a"]["fix"], (
        cards
    )
    bao.put("app/a", v="three")
    status, said = world.post("rollback", what="a", to="2", until="1h", reason="rather this one")
    until(lambda: lab.site.values()["a"] == "two", 30)
    status, said = world.post("rollback", what="a", end=True, reason="mended")
    assert status == 200 and "goes on" in said and "nothing is sent outside the job's window" in said
    world.a_cycle_has_ended()
    assert lab.site.values() == {"a": "two", "b": "one"}


def test_all_that_a_job_updated_goes_back_through_a_daemon(world: World) -> None:
    lab = world.lab
    assert lab.run("sync", "--outside-window", "--reason", "x").code in {0, 6} and lab.site.values()["b"] == "two"
    done = world.command("rollback", "--job", "job", "--since", "1h", "--reason", "broken")
    assert done.code == 0 and "app/b: rolled back to 1" in done.out and "was created" in done.out, done.err
    until(lambda: lab.site.values() == {"a": "two", "b": "one"}, 30)
    # The exit codes are those of the same command without a daemon.
    for words in (("--job", "nosuch", "--since", "1h"), ("--job", "job", "--since", "0s"), ("a", "--to", "9")):
        near, far = (run("rollback", *words, "--reason", "x") for run in (lab.run, world.command))
        assert near.code == far.code != 0 and far.err.startswith("syncd: "), (near, far)


def test_what_waits_for_the_window_is_told_so(world: World) -> None:
    (batch,) = {row["batch"] for row in world.lab.run("held", "--json").json}
    status, said = world.post("release", batch=batch, reason="CHG-1")
    assert "create held - -> 1 on shop" in said, "whoever is far away sees what goes, too"
    assert status == 200 and "nothing is sent outside the job's window" in said
    assert "outside the job's window" in world.post("sync", job="job")[1]
    world.post("pause", scope="job", name="job", reason="x")
    assert "outside the job's window" in world.post("resume", scope="job", name="job")[1]
    world.a_cycle_has_ended()
    assert "held" not in world.lab.site.values()


def test_what_a_pause_keeps_back_is_told_before_and_when_it_ends(world: World) -> None:
    (batch,) = {row["batch"] for row in world.lab.run("held", "--json").json}
    assert world.post("pause", scope="job", name="job", reason="x")[0] == 200
    assert world.post("release", batch=batch, reason="CHG-1")[0] == 200
    cards = json.loads(ask(world.url + "/api/v1/overview", token=world.token)[1])["attention"]
    (pause,) = [card for card in cards if card["kind"] == "paused"]
    assert "released already, and sent once it ends: create held" in pause["what"], pause
    said = world.post("resume", scope="job", name="job")[1]
    assert "released before, and free to go now: create held" in said, said


def test_a_rollback_names_where_it_is_frozen(world: World) -> None:
    frozen = {"site": world.lab.site_id, "name": "a", "until": "3h", "reason": "shop relaunch"}
    assert world.post("freeze", **frozen)[0] == 200
    status, said = world.post("rollback", what="a", to="1", until="1h", reason="leaked")
    assert status == 200 and "not on shop, where it is frozen" in said, said
    _, other = world.post("rollback", what="b", to="1", until="1h", reason="leaked")
    assert "frozen" not in other


def test_what_is_frozen_and_whose_objective_is_missed_is_on_the_first_page(world: World) -> None:
    lab = world.lab
    for name in ("a", "b"):
        frozen = {"site": lab.site_id, "name": name, "until": "3h", "reason": "shop relaunch"}
        assert world.post("freeze", **frozen)[0] == 200
    lab.config["jobs"]["job"]["objective"] = "1s"
    lab.config["jobs"]["job"]["windows"] = {"allow": ["00:00-24:00 UTC"]}
    assert lab.config_file.exists(), "written anew"
    assert ask(world.url + "/-/reload", "POST", world.token)[0] == 200

    def cards() -> dict[str, Any]:
        told = json.loads(ask(world.url + "/api/v1/overview", token=world.token)[1])["attention"]
        found = {card["kind"]: card for card in told}
        return found if {"late", "frozen"} <= found.keys() else {}

    found = until(cards, 30)
    assert found["frozen"]["where"] == "a, b" and "by token: shop relaunch" in found["frozen"]["what"], found
    assert "job job is over its objective of 1s: " in found["late"]["what"], found


def test_a_pause_of_everything_has_no_name_and_one_end(world: World) -> None:
    lab = world.lab
    for name in ("job", "x" * 3000, ""):
        assert world.post("pause", scope="all", name=name, reason="incident")[0] == 200
    assert "everything is paused" in lab.run("status").out
    assert "goes on" in lab.run("resume", "--all").out and "is paused" not in lab.run("status").out
    assert world.post("pause", scope="job", name="job", reason="x", until="1h")[0] == 200
    del lab.config["jobs"]["job"]
    lab.job("other", "vault", {"path": f"{world.bao.mount}/other/*"}, schedule={"every": "1h"})
    assert lab.config_file.exists(), "written anew"
    os.kill(world.process.pid, signal.SIGHUP)
    until(lambda: "other" in ask(world.url + "/status", token=world.token)[1], 30)
    assert "goes on" in world.post("resume", scope="job", name="job")[1], "the pause of a job that is gone ends, too"


SLIPS: list[tuple[str, dict[str, Any], str]] = [
    ("rollback", {"what": "a", "end": "false", "reason": "x"}, "end is no boolean"),
    ("rollback", {"what": ["a"], "reason": "x"}, "what is no string"),
    ("rollback", {"what": "a", "to": 1, "reason": "x"}, "to is no string"),
    ("rollback", {"reason": "x"}, "say what"),
    ("rollback", {"what": "a", "job": "job", "since": "1h", "reason": "x"}, "say what"),
    ("rollback", {"job": "job", "end": True, "since": "1h", "reason": "x"}, "say what"),
    ("pause", {"scope": "all", "untill": "4h", "reason": "x"}, "no field untill"),
    ("pause", {"scope": "all", "until": 4, "reason": "x"}, "until is no string"),
    ("freeze", {"site": "s", "name": "a", "until": 5, "reason": "x"}, "until is no string"),
    ("release", {"batch": {}, "reason": "x"}, "batch is no string"),
    ("sync", {"job": None}, "rights"),
    ("pause", {"scope": "s" * 5000, "reason": "x"}, "scope is longer than 4096"),
    ("freeze", {"site": "s", "name": "n" * 200_000, "reason": "x"}, "name is longer than 4096"),
]


def test_a_slip_in_a_body_does_nothing(world: World) -> None:
    # One daemon for all: starting it is what takes its time.
    for call, body, said in SLIPS:
        status, answer = world.post(call, **body)
        assert status == 400 and said in answer, (call, body, answer)
    assert "job.paused" not in world.lab.run("audit", "show", "--json").out
    assert "rolled back" not in world.lab.run("where", f"{world.bao.mount}/app/a").out
