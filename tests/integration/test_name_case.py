"""Names that differ in case alone are one name for a site, and lose nothing on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING
from tests.support.wix_people import changed_by_hand


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


@pytest.mark.parametrize("case_insensitive", [False, True])
def test_a_name_that_changes_in_case_alone_is_renamed(lab: Lab, bao: Bao, case_insensitive: bool) -> None:
    lab.site.options.case_insensitive = case_insensitive
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{field}"}, **DELETING)
    bao.put("app/a", v="1")
    lab.run("sync")
    (secret_id,) = lab.ids().values()
    rules(lab)[0]["name"] = "PAY_{field}"
    bao.put("app/a", v="2")
    assert lab.settle().code == 0
    assert lab.ids() == {"PAY_v": secret_id} == lab.ledger() and lab.site.values() == {"PAY_v": "2"}


def test_the_exact_name_goes_before_one_in_another_case(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "{field}"}, conflict_policy="adopt")
    lab.site.create({"name": "KEY", "value": "theirs"})
    lab.site.create({"name": "key", "value": "also theirs"})
    bao.put("app/a", KEY="ours")
    lab.run("sync")
    assert lab.site.values() == {"KEY": "ours", "key": "also theirs"}


def named(lab: Lab, *names: str) -> None:
    for rule, name in zip(rules(lab), names, strict=True):
        rule["name"] = name


def one_two(lab: Lab, bao: Bao, *names: str, **more: Any) -> None:
    vault_job(
        lab,
        bao,
        *({"path": f"app/{p}", "field": "v", "name": n} for p, n in zip(("one", "two"), names, strict=True)),
        **more,
    )
    bao.put("app/one", v="v-one")
    bao.put("app/two", v="v-two")
    assert lab.run("sync").code == 0


def test_jobs_whose_names_differ_in_case_do_not_fight(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{field}"}, name="one")
    vault_job(lab, bao, {"path": "app/*", "name": "PAY_{field}"}, name="two")
    bao.put("app/a", v="1")
    assert lab.run("sync").code == 1
    before = lab.writes()
    assert lab.run("sync").code == 1
    assert lab.writes() == before and set(lab.ids()) == {"pay_v"}


def test_a_squatter_of_the_new_case_is_a_conflict(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{field}"})
    bao.put("app/a", v="1")
    lab.run("sync")
    lab.site.create({"name": "PAY_v", "value": "theirs"})
    rules(lab)[0]["name"] = "PAY_{field}"
    before = lab.writes()
    for _ in range(2):
        result = lab.run("sync")
        assert result.code == 1 and "another one has its name" in result.out
    assert lab.writes() == before and set(lab.ledger()) >= {"pay_v"}


def test_a_frozen_name_keeps_its_case(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{field}"})
    bao.put("app/a", v="1")
    lab.run("sync")
    lab.run("state", "freeze", "pay_v", "--reason", "agreed", "--until", "1d")
    rules(lab)[0]["name"] = "PAY_{field}"
    lab.run("sync")
    assert set(lab.ledger()) == {"pay_v"} == set(lab.ids())
    assert lab.run("state", "freeze", "pay_v", "--reason", "agreed", "--until", "0s").code == 0
    lab.settle()
    assert set(lab.ledger()) == {"PAY_v"} == set(lab.ids())


def test_names_that_cross_in_case_lose_nothing(lab: Lab, bao: Bao) -> None:
    one_two(lab, bao, "key", "x")
    named(lab, "X", "KEY")
    for _ in range(2):
        assert lab.run("sync").code == 1
    assert lab.site.values() == {"key": "v-one", "x": "v-two"}


def hidden_once(lab: Lab, *names: str) -> None:
    lab.site.options.hide = lambda one: one.name in names
    lab.run("sync")
    lab.site.options.hide = lambda _one: False


def test_a_change_of_case_goes_through_an_unlisted_moment(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{path}"}, drift_policy="report")
    rules(lab)[0]["field"] = "v"
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    bao.put("app/c", v="1")
    lab.run("sync")
    rules(lab)[0]["name"] = "PAY_{path}"
    hidden_once(lab, "pay_a")
    assert lab.settle().code == 0
    assert set(lab.ids()) == {"PAY_a", "PAY_b", "PAY_c"} and lab.ids() == lab.ledger()


@pytest.mark.parametrize("way", ["held", "denied", "limit", "reported"])
def test_a_change_of_case_that_waits_is_not_told_as_synced(lab: Lab, bao: Bao, way: str) -> None:
    more: dict[str, Any] = {"guard": {"max_updates": 0}} if way == "limit" else {}
    policy = "report" if way == "reported" else "restore"
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{field}"}, drift_policy=policy)
    bao.put("app/a", v="1")
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"] |= more
    if way in {"held", "denied"}:
        lab.config["rules"] = [{"id": "r", "name": "PAY_*", "then": "hold" if way == "held" else "deny"}]
    if way == "reported":
        changed_by_hand(lab, "pay_v")
    else:
        bao.put("app/a", v="2")
    rules(lab)[0]["name"] = "PAY_{field}"
    lab.run("sync")
    told = {"held": "held", "denied": "behind", "limit": "held", "reported": "behind"}[way]
    assert set(lab.statuses().values()) == {told}, "under the old spelling as under the new one"
    assert "synced" not in lab.run("where", f"{bao.mount}/app/a", "--json").out


@pytest.mark.parametrize("lag", [3, 60])
@pytest.mark.parametrize("policy", ["restore", "report"])
@pytest.mark.parametrize("may_read", [True, False])
def test_a_listing_that_lags_behind_a_new_case_is_nobodys_change(
    lab: Lab, bao: Bao, may_read: bool, policy: str, lag: int
) -> None:
    """It shows the name of before, and nobody renamed anything: nothing is put back, told or written again."""
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{path}_{field}"}, drift_policy=policy)
    for name in "abc":
        bao.put(f"app/{name}", v="1")
    lab.run("sync")
    lab.site.options.may_read = may_read
    # There it was a minute ago, so that a listing may show it as it was.
    lab.site._past.clear()
    for one in list(lab.site.secrets.values()):
        lab.site.secrets[one.id] = replace(one, updated=one.updated - timedelta(minutes=1))
    lab.rewrite(lambda row: replace(row, window=None, pinned_at=lab.site.secrets[str(row.remote_id)].updated))
    lab.site.options.listing_lag = timedelta(seconds=lag)
    rules(lab)[0]["name"] = "PAY_{path}_{field}"
    assert lab.run("sync").code == 0
    before = lab.writes()
    for _ in range(5):
        assert lab.run("sync").code == 0
    assert lab.writes() == before
    # back again, while no listing has shown the new name
    rules(lab)[0]["name"] = "pay_{path}_{field}"
    for _ in range(2):
        lab.run("sync")
    assert set(lab.site.values()) == {"pay_a_v", "pay_b_v", "pay_c_v"}
    lab.site.options.listing_lag = timedelta(0)
    assert lab.run("sync").code == 0 and set(lab.statuses().values()) == {"synced"}
    lines = lab.run("audit", "show", "--json").json
    assert not [line for line in lines if line["event"].startswith("drift.")]


@pytest.mark.parametrize("door", ["sync", "apply", "rollback"])
@pytest.mark.parametrize("rule", ["PAY_*", ["pay_*", "PAY_*"]])
def test_a_rule_that_holds_a_name_holds_its_new_case(lab: Lab, bao: Bao, rule: Any, door: str) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "pay_{field}"})
    bao.put("app/a", v="1")
    bao.put("app/a", v="2")
    assert lab.run("sync").code == 0
    lab.config["rules"] = [{"id": "r", "name": rule, "then": "hold"}]
    rules(lab)[0]["name"] = "PAY_{field}"
    plan = str(lab.folder / "plan.json")
    lab.run("plan", "--out", plan)
    lab.run(*{"sync": ["sync"], "apply": ["apply", plan], "rollback": ["rollback", "pay_v", "--reason", "x"]}[door])
    assert set(lab.site.values()) == {"pay_v"}
    if door == "rollback":
        assert lab.run("rollback", f"vault:{bao.mount}/app/a", "--end", "--reason", "x").code in {0, 6}
    assert lab.run("sync").code == 6
    (batch,) = lab.run("held", "--json").json
    assert [action["name"] for action in batch["actions"]] == ["PAY_v"]
    assert lab.run("release", batch["batch"], "--reason", "agreed").code == 0
    assert lab.run("sync").code == 0 and lab.site.values() == {"PAY_v": "2"}
