"""Page, metric and command show one number, and each job judges its own secrets only."""

from __future__ import annotations

import json
import os
import secrets
import signal
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable

import pytest

from syncd.sandbox.launchers import free_ports
from tests.lab import Bao, Lab
from tests.support.policies import DELETING
from tests.support.waiting import until

TOKEN = "t" * 40


def served(lab: Lab) -> Callable[[str], str]:
    port = free_ports(1)
    lab.config["server"] = {"listen": f"127.0.0.1:{port}", "token": {"file": str(lab.secret_file("tok", TOKEN))}}

    def get(path: str) -> str:
        url = f"http://127.0.0.1:{port}{path}"
        asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        try:
            with urllib.request.urlopen(asked) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    return get


def counted(exposition: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for line in exposition.splitlines():
        if line.startswith("syncd_secrets{") and not line.endswith(" 0.0"):
            found[line.split('status="')[1].split('"')[0]] += int(float(line.split()[-1]))
    return dict(found)


@pytest.mark.sweep
@pytest.mark.parametrize(
    "what", ["plain", "a conflict without a row", "a job that is gone", "two targets on one site", "a refused value"]
)
def test_page_metric_and_command(lab: Lab, bao: Bao, what: str) -> None:
    lab.vault(bao)
    for number in range(3):
        bao.put(f"app/s{number}", v="" if what == "a refused value" and number == 2 else "1")
    every = {"schedule": {"every": "1h"}}
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **every)
    if what == "a conflict without a row":
        lab.site.create({"name": "s0_v", "value": "foreign"})
    elif what == "two targets on one site":
        lab.config["targets"]["outlet"] = lab.target(lab.site_id, "wix-key")
        lab.config["jobs"]["job"]["targets"] = ["shop", "outlet"]
    elif what == "a job that is gone":
        bao.put("old/t", v="1")
        lab.job("old", "vault", {"path": f"{bao.mount}/old/*"}, **every)
        lab.run("sync")
        del lab.config["jobs"]["old"]
    get = served(lab)
    targets = lab.config["jobs"]["job"]["targets"]
    process = lab.popen("run")
    try:
        last = f'syncd_cycle_duration_seconds_count{{job="job",target="{targets[-1]}"}} 1.0'
        until(lambda: last in get("/metrics"), 30)
        page, metric = json.loads(get("/status")), counted(get("/metrics"))
        rows = lab.run("state", "list", "--json").json
        never = [row["target"] for row in lab.run("status", "--json").json["jobs"] if row["last_run_at"] is None]
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert page["secrets"] == metric == dict(Counter(row["status"] for row in rows)) and never == []


def test_a_healthy_secret_has_not_failed_because_another_job_wants_its_name(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/x", v="1")
    bao.put("other/x", v="")
    lab.job("a", "vault", {"path": f"{bao.mount}/app/*"})
    lab.job("b", "vault", {"path": f"{bao.mount}/other/*"})
    for words in (("sync",), ("sync", "b"), ("sync", "a")):
        lab.run(*words)
        assert lab.statuses()["x_v"] == "synced"


def test_a_secret_that_is_gone_is_not_synced_because_another_job_wants_its_name(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for path, value in (("app/x", "A"), ("app/y", "A"), ("other/x", "B")):
        bao.put(path, v=value)
    lab.job("a", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    lab.job("b", "vault", {"path": f"{bao.mount}/other/*"})
    lab.run("sync")
    bao.remove("app/x")
    lab.run("sync", "a")
    assert lab.statuses()["x_v"] != "synced" and "as its source says" not in lab.run("explain", "x_v").out


def test_a_database_that_is_down_is_not_damaged(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for address in (f"postgresql://syncd@127.0.0.1:{free_ports(1)}/postgres", "postgresql://u:p@ss@w:rd@[::/x"):
        lab.config["state"] = {
            "url": {"file": str(lab.secret_file("url", address))},
            "fingerprint_key": {"file": str(lab.secret_file("key", secrets.token_hex(32)))},
        }
        lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
        done = lab.run("sync")
        assert done.code in {3, 7} and "move it away" not in done.err and "bug" not in done.err


@pytest.mark.long
def test_an_id_that_comes_beside_a_renaming_of_the_owner_is_ours(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    second = str(uuid.uuid4())
    lab.secret_file("k2", lab.wix.issue_key(second))
    lab.config["targets"]["second"] = lab.target(second, "k2")
    lab.wix.site(second).options.quota = 10**6
    lab.job("two", "vault", {"path": f"{bao.mount}/app/*"}, targets=["second"])
    assert lab.run("sync", "two").code == 0
    lab.wix.fault("slow", "GET", seconds=3)
    process = lab.popen("sync", "job")  # its site has no row yet
    until(lambda: not any(fault.times for fault in lab.wix.faults), 20)
    lab.wix.fault("reset_after", "POST", on=lambda: os.kill(process.pid, signal.SIGKILL))
    lab.config["owner"] = "newname"
    lab.run("state", "rename-owner", "lab", "newname")
    process.communicate()
    assert lab.ids(), "it was created"
    if lab.run("state", "rename-owner", "lab", "newname").code:  # refused while something is under way
        lab.config["owner"] = "lab"
    lab.settle()
    assert lab.ledger().get("a_v") == lab.ids()["a_v"]


def test_what_a_cycle_says_of_a_new_name_is_so_at_its_end(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for name in "ab":
        bao.put(f"app/{name}", v=name)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "OLD_{path}_{field}"}, **DELETING)
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["secrets"][0]["name"] = "NEW_{path}_{field}"
    first = lab.run("sync")
    assert first.code == 0 and "is not settled yet" not in first.out and "NEW_a_v is settled now" in first.out
    assert lab.run("sync").code == 0 and set(lab.site.values()) == {"NEW_a_v", "NEW_b_v"}
    writes = lab.writes()
    assert lab.run("sync").code == 0 and lab.writes() == writes


def test_a_chain_of_names_is_handed_on_in_one_run(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for name in "xyz":
        bao.put(f"app/{name}", v=name)
    rules = [
        {"path": f"{bao.mount}/app/{path}", "field": "v", "name": name} for path, name in zip("xyz", "ABC", strict=True)
    ]
    lab.job("job", "vault", *rules)
    assert lab.run("sync").code == 0
    for rule, name in zip(lab.config["jobs"]["job"]["secrets"], "BCD", strict=True):
        rule["name"] = name
    first = lab.run("sync")
    assert first.code == 0, first.out
    assert {name: value for name, value in lab.site.values().items() if name in "BCD"} == {"B": "x", "C": "y", "D": "z"}
