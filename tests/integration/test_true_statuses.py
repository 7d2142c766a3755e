"""What is told is true, and nothing is deleted while its own job cannot tell what it wants."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.lab import Bao, Lab

pytestmark = pytest.mark.kind

DELETING: dict[str, Any] = {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 100}}


def job(lab: Lab, bao: Bao, names: str, **more: Any) -> None:
    lab.vault(bao)
    for name in names:
        bao.put(f"a/{name}", v="1")
    lab.job("j", "vault", {"path": f"{bao.mount}/a/*", "name": "{basename}"}, **more)


def by_hand(lab: Lab, name: str, value: str) -> None:
    one = lab.site.secrets[lab.ids()[name]]
    lab.site._put(replace(one, value=value, updated=lab.site._clock() + timedelta(seconds=9)))


def denying(lab: Lab, bao: Bao, path: str, ability: str = "data") -> None:
    """From now on, one path may not be read."""
    rules = (
        f'path "{bao.mount}/*" {{ capabilities=["read","list","scan"] }}\n'
        f'path "{bao.mount}/{ability}/{path}" {{ capabilities=["deny"] }}\npath "sys/*" {{ capabilities=["read","list"] }}'
    )
    lab.secret_file("vault-token", bao.policy(f"deny-{bao.mount}", rules))


@pytest.mark.sweep
@pytest.mark.parametrize("kind", ["moved", "removed", "field gone", "another's name"])
def test_nothing_is_deleted_while_its_own_job_cannot_read_everything(lab: Lab, bao: Bao, kind: str) -> None:
    lab.vault(bao)
    bao.put("a/x", v="1", w="2")
    bao.put("a/keep", v="1")
    rule = {"path": f"{bao.mount}/**", "name": "{basename}_{field}"}
    lab.job("j", "vault", rule, **DELETING)
    assert lab.settle().code == 0
    before = lab.ids()
    denying(lab, bao, "b/x")
    bao.put("b/x", v="2")
    if kind == "field gone":
        bao.put("a/x", w="2")
    elif kind != "another's name":
        bao.remove("a/x")
    for _ in range(3):
        assert lab.run("sync").code == 4
        assert lab.ids() == before
    lab.secret_file("vault-token", bao.token)
    lab.settle()
    assert lab.ids()["x_v"] == before["x_v"]


def test_restores_count_for_the_limit_of_updates(lab: Lab, bao: Bao) -> None:
    job(lab, bao, "abcd", guard={"max_updates": 1})
    assert lab.settle().code == 0
    for name in "abcd":
        by_hand(lab, name, "evil")
        lab.run("sync")
    assert list(lab.site.values().values()).count("1") <= 1


def test_what_a_limit_keeps_from_being_put_back_is_told(lab: Lab, bao: Bao) -> None:
    """It counts like any update; it is somebody's change all the same, and not only an update that waits."""
    job(lab, bao, "abcd", guard={"max_updates": 1})
    assert lab.settle().code == 0
    for name in "ab":
        by_hand(lab, name, "evil")
    assert lab.run("sync").code == 6
    drift = lab.run("audit", "show", "--event", "drift.found", "--json").json
    assert {line["name"] for line in drift} == {"a", "b"}
    (batch,) = lab.run("held", "--json").json
    assert lab.run("release", batch["batch"], "--reason", "put them back").code == 0
    assert lab.settle().code == 0 and "evil" not in lab.site.values().values()
    ended = lab.run("audit", "show", "--event", "drift.restored", "--json").json
    assert {line["name"] for line in ended} == {"a", "b"}


def test_what_a_job_takes_over_counts_for_it(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for name in "abcd":
        bao.put(f"old/{name}", v="1")
    bao.put("new/z", v="1")
    for name, folder in (("j", "old"), ("k", "new")):
        rule = {"path": f"{bao.mount}/{folder}/*", "name": "{basename}"}
        lab.job(name, "vault", rule, guard={"max_updates": 1})
    assert lab.settle().code == 0
    for name in "abcd":
        bao.put(f"new/{name}", v="2")
        bao.remove(f"old/{name}")
        lab.run("sync", "k")
    assert list(lab.site.values().values()).count("2") <= 1


def test_a_lost_description_is_no_reason_to_write_a_value(lab: Lab, bao: Bao) -> None:
    job(lab, bao, "a", drift_policy="report")
    assert lab.settle().code == 0
    lab.config["jobs"]["j"]["secrets"][0]["description"] = "another"
    lab.wix.fault("reset_before", "PATCH", times=4)
    lab.run("sync")
    lab.wix.faults.clear()
    assert lab.settle().code == 0
    by_hand(lab, "a", "hand")
    lab.run("sync")
    assert lab.site.values()["a"] == "hand"


@pytest.mark.sweep
@pytest.mark.parametrize(("kind", "status"), [("withheld", "held"), ("denied", "behind"), ("refused", "failed"), ("drift", "behind"), ("deletion withheld", "held"), ("orphan withheld", "held")])  # fmt: skip
def test_nothing_reads_synced_that_the_site_does_not_hold(lab: Lab, bao: Bao, kind: str, status: str) -> None:
    guard: dict[str, Any] = {"max_updates": 0} if kind == "withheld" else {"max_deletes": 0}
    policy = "report" if kind == "drift" else "restore"
    job(lab, bao, "ab", drift_policy=policy, **(DELETING | {"guard": guard}))
    assert lab.settle().code == 0
    if kind == "denied":
        denying(lab, bao, "a/a")
    if kind == "deletion withheld":
        bao.remove("a/a")
    elif kind == "orphan withheld":
        lab.config["jobs"]["j"]["secrets"][0]["exclude"] = [f"{bao.mount}/a/a"]
    elif kind == "drift":
        by_hand(lab, "a", "hand")
    else:
        bao.put("a/a", v="2")
    if kind == "refused":
        lab.wix.fault("403", "PATCH", times=50)
    for _ in range(2):
        lab.run("sync")
        assert lab.statuses() == {"a": status, "b": "synced"}
    counts = lab.run("status", "--json").json["jobs"][0]["secrets"]
    assert counts == {status: 1, "synced": 1}
    lab.wix.faults.clear()


def test_a_site_that_asks_for_no_time_at_all_is_not_asked_without_end(lab: Lab, bao: Bao) -> None:
    job(lab, bao, "a")
    lab.wix.fault("429_retry_after", times=10**6, seconds=0)
    process = lab.popen("sync")
    try:
        process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 5
