"""What a cycle planned and did not send never reads `synced`: silence is no evidence."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from tests.lab import Bao, Lab
from tests.support.policies import DELETING
from tests.support.waiting import until
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind

MANY = 40


def untrue(lab: Lab, honest: str = "new") -> list[str]:
    """Names that read `synced` while the site holds something else than the source."""
    values = lab.site.values()
    return [name for name, status in lab.statuses().items() if status == "synced" and values.get(name) != honest]


def rotated(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    for value in ("old", "new"):
        for number in range(MANY):
            bao.put(f"app/s{number:02}", v=value)
        if value == "old":
            assert lab.run("sync").code == 0


@pytest.mark.sweep
@pytest.mark.parametrize("fault", ["403", "401", "503", "reset_before"])
def test_a_site_that_takes_only_some(lab: Lab, bao: Bao, fault: str) -> None:
    rotated(lab, bao)
    lab.wix.fault(fault, "PATCH", times=10_000)
    result = lab.run("sync")
    assert result.code == 5 and untrue(lab) == []
    assert "not sent" in result.out
    lab.wix.faults.clear()
    assert lab.settle().code == 0 and untrue(lab) == [] and set(lab.statuses().values()) == {"synced"}


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_rotation(lab: Lab, bao: Bao, number: int) -> None:
    rotated(lab, bao)
    lab.site.options.latency = 0.5
    before = lab.wix.count("PATCH")
    process = lab.popen("sync")
    until(lambda: lab.wix.count("PATCH") > before)
    process.send_signal(number)
    process.communicate(timeout=30)
    lab.site.options.latency = 0
    assert untrue(lab) == [] and "behind" in lab.statuses().values()
    assert lab.settle().code == 0 and set(lab.statuses().values()) == {"synced"}


@pytest.mark.sweep
@pytest.mark.parametrize("change", ["rotated", "by hand"])
def test_what_waits_for_a_slow_site_is_behind_meanwhile(lab: Lab, bao: Bao, change: str) -> None:
    rotated(lab, bao)
    if change == "by hand":  # of which no news of the source tells
        assert lab.settle().code == 0
        for name in lab.ids():
            changed_by_hand(lab, name)
    lab.wix.fault("429_retry_after", "PATCH", times=10_000, seconds=60)
    process = lab.popen("sync")
    try:
        until(lambda: lab.wix.count("PATCH") > 0 and "behind" in lab.statuses().values())
    finally:
        process.kill()  # while it waits
        process.communicate()
    assert change == "by hand" or untrue(lab) == []
    lab.wix.faults.clear()
    assert lab.settle().code == 0 and set(lab.statuses().values()) == {"synced"}


def test_what_a_kept_plan_leaves_out(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for name in "xy":
        bao.put(f"app/{name}", v="old")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    bao.put("app/x", v="new")
    plan = str(lab.folder / "plan.json")
    assert lab.run("plan", "--out", plan).code == 0
    bao.put("app/y", v="new")
    result = lab.run("apply", plan)
    assert result.code == 0 and "not part of what this command sends" in result.out
    assert lab.statuses() == {"x_v": "synced", "y_v": "behind"} and untrue(lab) == []
    assert lab.run("sync").code == 0 and lab.statuses() == {"x_v": "synced", "y_v": "synced"}


def test_what_a_kept_plan_cannot_hold(lab: Lab, bao: Bao) -> None:
    bao.root.sys.disable_secrets_engine(path=bao.mount)
    bao.enable("1")
    lab.vault(bao)
    source = bao.root.secrets.kv.v1
    for name in "xy":
        source.create_or_update_secret(f"app/{name}", {"v": "old"}, mount_point=bao.mount)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    assert lab.run("sync").code == 0
    source.create_or_update_secret("app/x", {"v": "new"}, mount_point=bao.mount)
    source.delete_secret("app/y", mount_point=bao.mount)
    plan = str(lab.folder / "plan.json")
    lab.run("plan", "--out", plan)
    assert "not part of what this command sends" in lab.run("apply", plan).out
    assert lab.statuses()["x_v"] == "behind"


def put_back(lab: Lab) -> None:
    """The source was restored from a backup: it shows an earlier version than the ledger knows."""
    ledger = Ledger(sqlite_engine(lab.state), "lab", lab.state)
    try:
        with ledger.lock(lab.site_id, holder="lab", wait=timedelta(0)) as journal:
            tokens, states = {}, []
            for state in ledger.known_paths("vault").values():
                number = state.version.number + 1
                version = replace(state.version, token=f"kv2:{number}@2026-01-01T00:00:00Z", number=number)
                tokens[state.path] = version.token
                states.append(replace(state, version=version))
            journal.paths(states)
            journal.write(
                put=[
                    replace(row, version="~".join([tokens[row.ref.path], *row.version.split("~")[1:]]))
                    for row in ledger.records(lab.site_id)
                ]
            )
    finally:
        ledger.close()


def deleted(lab: Lab) -> None:
    lab.site.delete(lab.ids()["URL"])


def other_template(lab: Lab) -> None:
    lab.config["jobs"]["job"]["secrets"][0]["value"] = "{u}@{p}"


@pytest.mark.parametrize("change", [deleted, other_template])
def test_an_older_version_that_is_not_believed_yet(lab: Lab, bao: Bao, change: Callable[[Lab], None]) -> None:
    lab.vault(bao)
    bao.put("app/x", u="U", p="P")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/x", "value": "{u}:{p}", "name": "URL"})
    assert lab.run("sync").code == 0
    put_back(lab)
    change(lab)
    for _ in range(2):
        result = lab.run("sync")
        assert lab.statuses() == {"URL": "behind"} and "older version" in result.out


def test_an_id_that_is_looked_for_is_no_update(lab: Lab, bao: Bao) -> None:
    """The site was emptied while its source could not be read: nothing was updated there."""
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    lab.site.delete(lab.ids()["x_v"])
    bao.root.sys.disable_secrets_engine(path=bao.mount)
    assert "0 to update" in (planned := lab.run("plan")).out or "to update" not in planned.out
    result = lab.run("sync")
    assert result.code == 4 and "0 updated" in result.out and "1 sought" in result.out
