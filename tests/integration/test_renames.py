"""A renamed source, job, target or owner changes marks and records, and no value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in range(5):
        bao.put(f"app/s{number}", v=f"value {number}")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING)
    assert lab.run("sync").code == 0
    lab.site.options.may_read = False
    return lab


def values_sent(lab: Lab, words: tuple[str, ...] = ("sync",), code: int = 0) -> list[str]:
    """The names whose value was written by a command."""
    before = {one.id: one for one in lab.site.secrets.values()}
    sent: list[str] = []
    honest = lab.site.update

    def update(secret_id: str, told: dict[str, object]) -> dict[str, object]:
        if "value" in told:
            sent.append(before[secret_id].name)
        return honest(secret_id, told)

    lab.site.update = update  # type: ignore[method-assign]
    try:
        done = lab.run(*words)
    finally:
        lab.site.update = honest  # type: ignore[method-assign]
    assert done.code == code, done.out + done.err
    assert lab.site.secrets.keys() == before.keys(), "the same secrets under the same ids"
    return sent


def source(lab: Lab) -> None:
    lab.config["sources"]["openbao"] = lab.config["sources"].pop("vault")
    lab.config["jobs"]["job"]["source"] = "openbao"


def job_name(lab: Lab) -> None:
    lab.config["jobs"] = {"work": lab.config["jobs"]["job"]}


def target(lab: Lab) -> None:
    lab.config["targets"] = {"store": lab.config["targets"]["shop"]}
    lab.config["jobs"]["job"]["targets"] = ["store"]


def everything(lab: Lab) -> None:
    source(lab)
    target(lab)
    job_name(lab)


@pytest.mark.sweep
@pytest.mark.parametrize("rename", [source, job_name, target, everything], ids=lambda one: one.__name__)
def test_a_rename_sends_no_value(job: Lab, bao: Bao, rename: Callable[[Lab], None]) -> None:
    ids, values = job.ids(), job.site.values()
    rename(job)
    assert values_sent(job) == []
    assert job.ids() == ids and job.site.values() == values
    assert set(job.statuses().values()) == {"synced"}
    assert job.run("plan", "--detailed-exitcode").code == 0, "and then nothing more"
    bao.put("app/s0", v="rotated")
    assert values_sent(job) == ["s0_v"]


def test_a_moved_path_with_the_same_value_sends_none(job: Lab, bao: Bao) -> None:
    bao.put("moved/s0", v="value 0")
    rules = job.config["jobs"]["job"]["secrets"]
    rules[0]["exclude"] = [f"{bao.mount}/app/s0"]
    rules.append({"path": f"{bao.mount}/moved/*"})
    assert values_sent(job) == []
    assert job.statuses()["s0_v"] == "synced"


def test_what_somebody_changed_meanwhile_is_written_again(job: Lab, bao: Bao) -> None:
    changed = job.site.by_name("s1_v")
    assert changed is not None
    later = changed.updated + timedelta(minutes=1)
    job.site.secrets[changed.id] = replace(changed, value="by hand", updated=later)
    source(job)
    assert values_sent(job) == ["s1_v"] and job.site.values()["s1_v"] == "value 1"


@pytest.mark.parametrize("words", [("sync",), ("plan",), ("status",), ("state", "list"), ("check", "--connect")])
def test_another_owner_is_refused_with_the_fix(job: Lab, words: tuple[str, ...]) -> None:
    job.config["owner"] = "renamed-team"
    before = dict(job.site.secrets)
    done = job.run(*words)
    assert done.code == 3 and "syncd state rename-owner lab renamed-team" in done.err
    assert job.site.secrets == before


def test_rename_owner_changes_the_marks_only(job: Lab, bao: Bao) -> None:
    assert job.run("state", "rename-owner", "lab", "new").code == 3, "the configuration says it first"
    job.config["owner"] = "new"
    assert job.run("state", "rename-owner", "somebody", "new").code == 3
    assert job.run("state", "rename-owner", "lab", "new").code == 0
    assert values_sent(job) == []
    assert all("[syncd:new:" in one.description for one in job.site.secrets.values())
    assert job.run("plan", "--detailed-exitcode").code == 0
    assert job.run("state", "rename-owner", "lab", "new").code == 3, "it is done already"
    job.state.unlink()
    for left in job.state.parent.glob("state.db-*"):
        left.unlink()
    assert job.run("sync").code in {0, 1}, "a lost ledger takes them back by the new mark"
    assert len(job.site.created_ids) == 5


@pytest.mark.parametrize("way", ["source and owner", "remount between", "job and owner"])
def test_an_owner_that_is_renamed_before_a_cycle_saw_the_other_rename(job: Lab, bao: Bao, way: str) -> None:
    """The marks at Wix are those of before, of a reference that no row has any more."""
    values = job.site.values()
    if way == "job and owner":
        job_name(job)
    else:
        source(job)
    if way == "remount between":
        bao.root.sys.disable_secrets_engine(bao.mount)
        bao.enable()
        for number in range(5):
            bao.put(f"app/s{number}", v=f"value {number}")
        assert job.run("sync").code == 4
        assert job.run("state", "remount", "openbao", f"{bao.mount}/").code == 0
    job.config["owner"] = "new"
    assert job.run("state", "rename-owner", "lab", "new").code == 0
    for _ in range(2):
        done = job.run("sync")
    assert done.code == 0 and "handed over" not in done.out and job.site.values() == values, done.out
    bao.put("app/s0", v="rotated")
    assert job.run("sync").code == 0 and job.site.values()["s0_v"] == "rotated"


def test_nothing_is_renamed_while_something_is_under_way(job: Lab, bao: Bao) -> None:
    bao.put("app/new", v="1")
    job.wix.fault("reset_before", "POST", times=9)
    job.run("sync")
    job.config["owner"] = "new"
    done = job.run("state", "rename-owner", "lab", "new")
    assert done.code == 6 and "new_v" in done.err
    job.wix.faults.clear()
    job.config["owner"] = "lab"
    assert job.run("sync").code == 0
    job.config["owner"] = "new"
    assert job.run("state", "rename-owner", "lab", "new").code == 0


def test_a_ledger_from_before_owners_were_kept_is_known_by_its_marks(job: Lab) -> None:
    import sqlite3

    with sqlite3.connect(job.state) as connection:
        connection.execute("DELETE FROM syncd_meta WHERE key = 'owner'")
    connection.close()
    job.config["owner"] = "renamed-team"
    assert job.run("sync").code == 3
    job.config["owner"] = "lab"
    assert job.run("sync").code == 0
