"""What protects a secret follows its id into whatever row takes it; a limit counts what was sent, by the site's clock."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from syncd.reconcile.run_job import Run, sync_job
from syncd.sandbox.wix_site import Refusal
from tests.lab import Bao, Lab
from tests.support.logins import by_app, key_of
from tests.support.waiting import until

pytestmark = pytest.mark.kind

DELETING: dict[str, Any] = {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 100}}


def job(lab: Lab, bao: Bao, names: str, *, rule: dict[str, Any] | None = None, **more: Any) -> None:
    lab.vault(bao)
    for name in names:
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", **(rule or {})}, **more)


def hidden(lab: Lab, *ids: str) -> None:
    lab.site.options.hide = lambda one: one.id in ids


@pytest.mark.parametrize("what", ["adopted", "frozen"])
def test_a_pending_creation_that_meets_a_known_id(lab: Lab, bao: Bao, what: str) -> None:
    if what == "adopted":
        lab.site.create({"name": "t_v", "value": "made by hand"})
    job(lab, bao, "topq", conflict_policy="adopt", **DELETING)
    assert lab.settle().code == 0
    known = lab.ids()["t_v"]
    if what == "frozen":
        lab.run("state", "freeze", "t_v", "--reason", "agreed", "--until", "3d")
    lab.run("state", "forget", "t_v")
    hidden(lab, known)
    lab.run("sync")
    hidden(lab)
    if what == "frozen":
        bao.put("app/t", v="2")
        lab.run("sync")
        assert lab.site.values()["t_v"] == "1"
    else:
        lab.settle()
        bao.remove("app/t")
        for _ in range(3):
            lab.run("sync")
        assert "t_v" in lab.site.values()


def test_an_adopted_secret_that_a_backup_of_the_site_brought_back(lab: Lab, bao: Bao) -> None:
    theirs = str(lab.site.create({"name": "t_v", "value": "made by hand"})["id"])
    job(lab, bao, "topq", conflict_policy="adopt", **DELETING)
    assert lab.settle().code == 0
    backup = lab.site.secrets[theirs]
    lab.site.delete(theirs)
    lab.rewrite(lambda record: replace(record, unlisted_tried_at=None))
    lab.settle()
    lab.site.delete(lab.ids()["t_v"])
    lab.site._put(backup)
    hidden(lab, theirs)
    lab.run("sync")
    hidden(lab)
    lab.settle()
    bao.remove("app/t")
    for _ in range(3):
        lab.run("sync")
    assert "t_v" in lab.site.values()


@pytest.mark.parametrize("door", ["policy", "grant"])
def test_a_frozen_secret_is_not_adopted(lab: Lab, bao: Bao, door: str) -> None:
    job(lab, bao, "io", conflict_policy="adopt" if door == "policy" else "report", **DELETING)
    lab.settle()
    lab.run("state", "freeze", "i_v", "--reason", "agreed", "--until", "3d")
    lab.run("state", "forget", "i_v")
    lab.site.update(lab.ids()["i_v"], {"description": "kept by hand"})
    bao.put("app/i", v="newer")
    lab.run("sync")
    if door == "grant":
        lab.run("state", "adopt", "i_v", "--reason", "agreed", "--target", "shop")
        lab.run("sync")
    assert lab.site.values()["i_v"] == "1" and "frozen" in lab.run("sync").out


def test_a_refused_adoption_keeps_what_was_known(lab: Lab, bao: Bao) -> None:
    lab.site.create({"name": "t_v", "value": "hand"})
    job(lab, bao, "to", conflict_policy="adopt", **DELETING)
    lab.settle()
    lab.run("state", "freeze", "t_v", "--reason", "agreed", "--until", "3d")
    lab.run("state", "forget", "t_v")
    secret_id = lab.ids()["t_v"]
    kept = lab.site.secrets[secret_id].description
    lab.site.update(secret_id, {"description": "mine"})
    lab.wix.fault("403", "PATCH", times=5)
    lab.run("sync")
    lab.wix.faults.clear()
    lab.site.update(secret_id, {"description": kept})
    bao.put("app/t", v="9")
    lab.run("sync")
    assert lab.site.values()["t_v"] != "9"


@pytest.mark.parametrize("way", ["thaw", "freeze"])
def test_a_thaw_counts_for_the_id(lab: Lab, bao: Bao, way: str) -> None:
    job(lab, bao, "i", **DELETING)
    lab.settle()
    lab.run("state", "freeze", "i_v", "--reason", "agreed", "--until", "3d")
    lab.run("state", "forget", "i_v")
    lab.run("sync")
    lab.run(
        "state",
        *(("thaw", "i_v") if way == "thaw" else ("freeze", "i_v", "--until", "2020-01-01", "--reason", "agreed")),
    )
    bao.put("app/i", v="2")
    assert lab.settle().code == 0
    lab.run("state", "forget", "i_v")
    bao.put("app/i", v="3")
    lab.settle()
    assert lab.site.values()["i_v"] == "3"


def test_a_used_permission_adopts_nothing_again(lab: Lab, bao: Bao) -> None:
    job(lab, bao, "topq", **DELETING)
    lab.site.create({"name": "t_v", "value": "made by hand"})
    lab.run("sync")
    assert lab.run("state", "adopt", "t_v", "--reason", "agreed").code == 0
    assert lab.settle().code == 0 and lab.site.values()["t_v"] == "1"
    assert lab.run("state", "forget", "t_v").code == 0
    lab.site.update(lab.ids()["t_v"], {"value": "made by hand again", "description": "theirs"})
    assert lab.run("sync").code == 1 and lab.site.values()["t_v"] == "made by hand again"


@pytest.mark.sweep
@pytest.mark.parametrize("trouble", ["killed", "listing refused", "answer lost"])
def test_a_permission_is_used_once(lab: Lab, bao: Bao, trouble: str) -> None:
    job(lab, bao, "topq", **DELETING)
    lab.site.create({"name": "t_v", "value": "made by hand"})
    lab.run("sync")
    lab.run("state", "adopt", "t_v", "--reason", "agreed")
    if trouble == "killed":
        lab.wix.fault("slow", "PATCH", seconds=0.7)
        process = lab.popen("sync")
        until(lambda: not any(fault.times > 0 for fault in lab.wix.faults))
        process.kill()
        process.communicate()
        until(lambda: lab.site.values()["t_v"] == "1")
    elif trouble == "answer lost":
        lab.wix.fault("reset_after", "PATCH", times=1)
        lab.run("sync")
    else:
        bao.remove("app/o")
        honest, asked = lab.site.listing, list[int]()

        def listing() -> Any:
            asked.append(1)
            if len(asked) > 1:
                raise Refusal(403, "PERMISSION_DENIED")
            return honest()

        lab.site.listing = listing  # type: ignore[method-assign]
        lab.run("sync")
        lab.site.listing = honest  # type: ignore[method-assign]
    assert lab.settle().code == 0 and lab.site.values()["t_v"] == "1"
    lab.site.delete(lab.ids()["t_v"])
    lab.site.create({"name": "t_v", "value": "again by hand"})
    for _ in range(3):
        lab.run("sync")
    assert lab.site.values()["t_v"] == "again by hand"


def two_keys(lab: Lab, bao: Bao) -> None:
    """Job `two` wants x under another key of the very same site, which holds nothing yet."""
    lab.vault(bao)
    bao.put("app/y", v="1")
    lab.config["targets"]["app"] = by_app(lab)
    lab.job("two", "vault", {"path": f"{bao.mount}/app/x", "name": "{path}"}, targets=["app"], **DELETING)
    lab.run("sync", "two")
    bao.put("app/x", v="1")
    lab.job("one", "vault", {"path": f"{bao.mount}/app/*", "name": "{path}"}, **DELETING)
    assert lab.run("sync", "one").code == 0
    lab.config["jobs"]["one"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/x"]


@pytest.mark.parametrize("door", ["sync", "forget"])
def test_a_key_that_was_listed_long_ago_is_listed_again(lab: Lab, bao: Bao, door: str) -> None:
    two_keys(lab, bao)
    for _ in range(2):
        lab.run(*(("sync", "one") if door == "sync" else ("state", "forget", "x", "--delete", "--reason", "agreed")))
    assert "x" in lab.site.values()


def test_forgetting_deletes_nothing_frozen_and_counts(lab: Lab, bao: Bao) -> None:
    job(lab, bao, "abcd", rule={"name": "{path}"}, **(DELETING | {"guard": {"max_deletes": 1}}))
    lab.run("sync")
    lab.run("state", "freeze", "a", "--reason", "agreed", "--until", "3d")
    lab.config["jobs"]["job"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/{name}" for name in "ab"]
    lab.config["jobs"]["job"]["deletion_policy"] = "keep"
    assert lab.run("state", "forget", "a", "--delete", "--reason", "agreed").code == 6 and "a" in lab.site.values()
    assert lab.run("state", "forget", "b", "--delete", "--reason", "agreed").code == 0 and "b" not in lab.site.values()
    lab.config["jobs"]["job"]["deletion_policy"] = "delete"
    bao.remove("app/c")
    assert lab.run("sync").code == 6 and "c" in lab.site.values(), "one went today"


def test_two_different_sites_are_never_joined(lab: Lab, bao: Bao) -> None:
    other = "11111111-2222-3333-4444-555555555555"
    lab.secret_file("k2", lab.wix.issue_key(other))
    lab.wix.site(other).options.quota = 10**6
    job(lab, bao, "to", **DELETING)
    lab.config["targets"]["two"] = lab.target(other, "k2")
    lab.job("two", "vault", {"path": f"{bao.mount}/app/*", "name": "TWO_{path}"}, targets=["two"], **DELETING)
    lab.settle()
    result = lab.run("state", "join-site", lab.site_id, other)
    assert result.code == 3 and "in common" in result.err
    assert key_of(lab.config["targets"]["two"]) == other


def test_a_refusal_speaks_of_its_own_sending(lab: Lab, bao: Bao) -> None:
    job(lab, bao, "abcdefgh", **(DELETING | {"guard": {"max_deletes": 1}}))
    lab.settle()
    bao.remove("app/a")
    lab.wix.fault("late", "DELETE", times=20)
    lab.run("sync")
    lab.wix.faults.clear()
    lab.wix.fault("403", "DELETE", times=1)
    lab.run("sync")
    lab.wix.faults.clear()
    lab.wix.commit_late()
    bao.remove("app/b")
    for _ in range(3):
        lab.run("sync")
    assert len(lab.site.values()) == 7


@pytest.mark.parametrize("refusal", ["403", "401"])
@pytest.mark.parametrize(("kind", "method"), [("max_deletes", "DELETE"), ("max_updates", "PATCH")])
def test_a_refusal_frees_no_room_of_what_a_killed_process_sent(
    lab: Lab, bao: Bao, kind: str, method: str, refusal: str
) -> None:
    """The killed one's requests may take effect yet; the next one's own tries were refused, and nothing else."""
    job(lab, bao, "abcdefgh", **(DELETING | {"guard": {kind: 2}}))
    lab.settle()
    arrived, killed = threading.Semaphore(0), threading.Event()

    def hold() -> None:
        arrived.release()
        killed.wait(30)

    def change(names: str) -> None:
        for name in names:
            if kind == "max_deletes":
                bao.remove(f"app/{name}")
            else:
                bao.put(f"app/{name}", v="2")

    change("ab")
    lab.wix.fault("late", method, times=2, on=hold)
    process = lab.popen("sync")
    assert arrived.acquire(timeout=30) and arrived.acquire(timeout=30)
    process.kill()
    process.communicate()
    killed.set()
    until(lambda: len(lab.wix.late) == 2)
    lab.wix.faults.clear()
    lab.wix.fault(refusal, method, times=20)
    lab.run("sync")
    lab.wix.faults.clear()
    for name in "ab" if kind == "max_deletes" else "":
        bao.put(f"app/{name}", v="1")
    change("cd")
    for _ in range(3):
        lab.run("sync")
    lab.wix.commit_late()
    values = lab.site.values()
    touched = {"a_v", "b_v", "c_v", "d_v"} - {name for name, value in values.items() if value == "1"}
    assert touched == {"a_v", "b_v"} and len(values) == (6 if kind == "max_deletes" else 8)


@pytest.mark.parametrize(
    ("kind", "most"), [("max_deletes", "10%"), ("max_deletes", 2), ("max_updates", 2), ("max_creates", 2)]
)
def test_a_job_that_is_renamed_goes_on_in_its_own_day(lab: Lab, bao: Bao, kind: str, most: Any) -> None:
    names = [f"n{number:02}" for number in range(20)]
    job(lab, bao, "", **(DELETING | {"guard": {"max_deletes": 2}}))
    for name in names[: 0 if kind == "max_creates" else 20]:
        bao.put(f"app/{name}", v="1")
    lab.settle()
    guard = lab.config["jobs"]["job"]["guard"] = {kind: most}
    before = len(lab.ids())
    for number in range(4):
        for name in names[10 + 2 * number :][:2]:
            if kind == "max_deletes":
                bao.remove(f"app/{name}")
            else:
                bao.put(f"app/{name}", v="2")
        lab.run("sync")
        lab.run("sync")
        lab.config["jobs"][f"job{number}"] = lab.config["jobs"].pop(f"job{number - 1}" if number else "job")
    assert guard == {kind: most}
    lab.run("sync")
    values = list(lab.site.values().values())
    done = {"max_deletes": before - len(values), "max_updates": values.count("2"), "max_creates": len(values) - before}
    assert done[kind] == 2


def test_what_a_person_removed_of_a_job_that_is_gone_takes_no_jobs_room(lab: Lab, bao: Bao) -> None:
    job(lab, bao, "abcd", **DELETING)
    for name in "abcdefgh":
        bao.put(f"two/{name}", v="1")
    lab.job("two", "vault", {"path": f"{bao.mount}/two/*", "name": "TWO_{basename}"}, **DELETING)
    lab.settle()
    del lab.config["jobs"]["job"]
    lab.config["jobs"]["two"]["guard"] = {"max_deletes": "25%"}
    for name in "abcd":
        assert lab.run("state", "forget", f"{name}_v", "--delete", "--reason", "old").code == 0
        bao.remove(f"app/{name}")
    lab.config["jobs"]["two"]["guard"] = {"max_deletes": 5}
    bao.remove("two/a")
    lab.settle()
    assert set(lab.ids()) == {f"TWO_{name}" for name in "bcdefgh"}


def a_failed_deletion_by_command(lab: Lab, bao: Bao, fault: str) -> None:
    """Of one of four, under a limit of one."""
    job(lab, bao, "abcd", **(DELETING | {"guard": {"max_deletes": 1}}))
    lab.settle()
    bao.remove("app/a")
    lab.wix.fault(fault, "DELETE", times=20)
    assert lab.run("state", "forget", "a_v", "--delete", "--reason", "old").code == 5
    lab.wix.faults.clear()


def test_a_deletion_by_command_that_was_refused_takes_no_room(lab: Lab, bao: Bao) -> None:
    a_failed_deletion_by_command(lab, bao, "403")
    bao.put("app/a", v="1")
    bao.remove("app/b")
    lab.settle()
    assert set(lab.ids()) == {"a_v", "c_v", "d_v"}


def test_a_refusal_frees_no_room_of_a_deletion_by_command(lab: Lab, bao: Bao) -> None:
    a_failed_deletion_by_command(lab, bao, "late")
    del lab.wix.late[1:]
    lab.wix.fault("403", "DELETE", times=20)
    lab.run("sync")
    lab.wix.faults.clear()
    bao.put("app/a", v="1")
    bao.remove("app/b")
    for _ in range(2):
        assert "max_deletes 1 leaves 0" in lab.run("sync").out
    lab.wix.commit_late()
    assert set(lab.ids()) == {"b_v", "c_v", "d_v"}


@pytest.mark.sweep
@pytest.mark.parametrize("kind", ["max_creates", "max_updates"])
def test_a_kill_does_not_empty_a_limit(lab: Lab, bao: Bao, kind: str) -> None:
    job(lab, bao, "abcd" if kind == "max_updates" else "")
    if kind == "max_updates":
        lab.settle()
    lab.config["jobs"]["job"]["guard"] = {kind: 2}
    for name in "ab":
        bao.put(f"app/{name}", v="2")

    def changed() -> int:
        return list(lab.site.values().values()).count("2")

    method = "POST" if kind == "max_creates" else "PATCH"
    for _ in range(2):
        lab.wix.fault("slow", method, seconds=0.7)
    process = lab.popen("sync")
    until(lambda: not any(fault.times > 0 for fault in lab.wix.faults))
    process.kill()
    process.communicate()
    until(lambda: changed() == 2)
    lab.wix.faults.clear()
    lab.run("sync")
    for name in "cd":
        bao.put(f"app/{name}", v="2")
    for _ in range(3):
        lab.run("sync")
    assert changed() == 2


@pytest.mark.sweep
@pytest.mark.parametrize("wrong", [timedelta(days=-2), timedelta(days=2), timedelta(days=-400), timedelta(hours=-25)])
def test_a_limit_goes_by_the_sites_clock(lab: Lab, bao: Bao, wrong: timedelta) -> None:
    job(lab, bao, "abcdefgh", **(DELETING | {"guard": {"max_deletes": 1}}))
    lab.settle()
    bao.remove("app/a")
    with App(load(lab.config_file), Surroundings(clock=lambda: datetime.now(UTC) + wrong)) as app:
        for _ in range(2):
            sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="t", wait=timedelta(0)))
    assert len(lab.site.values()) == 7
    bao.remove("app/b")
    for _ in range(3):
        lab.run("sync")
    assert len(lab.site.values()) == 7


@pytest.mark.parametrize("text", ["[syncd:other-team:0123abcd] edited by Bob", "[syncd:other-team:0123abcd].", "[syncd:other-team:0123abcd]\u200b", "x [SYNCD:other-team:0123ABCD]", "x[syncd:other-team:0123abcd]y [syncd:lab:00000000]"])  # fmt: skip
def test_another_owners_mark_is_seen_wherever_it_stands(lab: Lab, bao: Bao, text: str) -> None:
    job(lab, bao, "t", conflict_policy="adopt", **DELETING)
    lab.site.create({"name": "t_v", "value": "made by hand", "description": text})
    assert lab.run("sync").code == 1
    assert lab.site.values()["t_v"] == "made by hand" and threading
