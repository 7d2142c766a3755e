"""Writes whose answer was lost: whose a secret is, and what it holds, is found out and never guessed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from syncd.domain import SecretValue
from syncd.errors import TargetUnavailable
from syncd.targets.wix.auth import App as AppLogin
from syncd.targets.wix.auth import AppAuth
from tests.chaos.peers import Answer, peer
from tests.lab import Bao, Lab
from tests.support.elsewhere import elsewhere
from tests.support.policies import DELETING


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


def test_a_lost_creation_whose_reference_changes_is_still_ours(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/one", "field": "v", "name": "A"})
    bao.put("app/one", v="v-one")
    bao.put("app/two", v="v-two")
    lab.wix.fault("reset_after", "POST")
    lab.site.options.hide = lambda _one: True
    assert lab.run("sync").code in {1, 5}
    rules(lab)[0]["path"] = f"{bao.mount}/app/two"
    lab.run("sync")
    lab.site.options.hide = lambda _one: False
    assert lab.settle().code == 0
    assert lab.site.values() == {"A": "v-two"} and len(lab.site.created_ids) == 1


@pytest.mark.parametrize("cycle_first", [False, True])
def test_a_lost_creation_is_ours_though_another_vault_has_its_sources_name(
    lab: Lab, bao: Bao, cycle_first: bool
) -> None:
    there = elsewhere(bao)
    vault_job(lab, bao, {"path": "app/*", "field": "v", "name": "{basename}"}, name="ja")
    bao.put("app/x", v="x")
    assert lab.run("sync").code == 0
    bao.put("app/y", v="y")
    lab.wix.fault("504_after", "POST", times=100)
    lab.site.options.hide = lambda one: one.name == "y"
    lab.run("sync")
    lab.wix.faults.clear()
    lab.site.options.hide = lambda _one: False
    there.put("app/y", v="y there")
    # In one commit the source gets a name of its own, and another job reads another Vault by the old one.
    lab.config["sources"]["old"] = lab.config["sources"].pop("vault")
    lab.config["jobs"]["ja"]["source"] = "old"
    lab.vault(there, namespace=there.namespace)
    lab.job("jb", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    if cycle_first:
        lab.run("sync")
    assert lab.run("state", "remount", "vault", f"{bao.mount}/").code == 0
    lab.settle()
    assert lab.site.values() == {"x": "x", "y": "y"} and len(lab.site.created_ids) == 2


def test_adoption_does_not_throw_our_own_id_away(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, conflict_policy="adopt")
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    bao.put("app/c", v="1")
    lab.run("sync")
    ours = lab.ids()["a_v"]
    lab.site.update(ours, {"name": "moved"})
    lab.site.create({"name": "a_v", "value": "theirs"})
    lab.site.options.hide = lambda one: one.name == "moved"
    for _ in range(2):
        lab.run("sync")
    assert lab.site.values()["a_v"] == "theirs"
    assert lab.ledger()["a_v"] == ours


@pytest.mark.sweep
@pytest.mark.parametrize("lost", ["reset_after", "reset_before"])
@pytest.mark.parametrize("holds", ["ours", "theirs", "what may not be read"])
def test_an_unwanted_secret_whose_write_was_lost_goes_where_the_value_is_ours(
    lab: Lab, bao: Bao, lost: str, holds: str
) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **DELETING)
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    bao.put("app/a", v="2")
    lab.wix.fault(lost, "PATCH", times=4)
    lab.run("sync")
    lab.wix.faults.clear()
    if holds == "theirs":
        lab.site.update(lab.ids()["a_v"], {"value": "theirs"})
    lab.site.options.may_read = holds != "what may not be read"
    bao.remove("app/a")
    for _ in range(3):
        result = lab.run("sync")
    if holds == "ours":
        assert result.code == 0 and set(lab.ids()) == {"b_v"}, "whichever of our values it is"
    else:
        assert result.code == 1 and "is not known" in result.out and "a_v" in lab.ids()


def hidden_once(lab: Lab, *names: str) -> None:
    lab.site.options.hide = lambda one: one.name in names
    lab.run("sync")
    lab.site.options.hide = lambda _one: False


def test_looking_for_a_secret_does_not_hide_that_somebody_took_it_over(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **DELETING)
    for name in "abc":
        bao.put(f"app/{name}", v="1")
    lab.run("sync")
    lab.site.update(lab.ids()["a_v"], {"value": "THEIRS", "description": "now ours"})
    bao.remove("app/a")
    hidden_once(lab, "a_v")
    for _ in range(3):
        lab.run("sync")
    assert lab.site.values()["a_v"] == "THEIRS"


def test_the_mark_alone_never_lets_anything_be_deleted(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **DELETING)
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    for path in lab.state.parent.glob("state.db*"):
        path.unlink()
    lab.site.update(lab.ids()["a_v"], {"value": "theirs"})
    bao.put("app/a", v="x" * 4000)
    lab.run("sync")
    lab.rewrite(lambda record: replace(record, verified_at=record.verified_at - timedelta(hours=2.5)))
    bao.remove("app/a")
    for _ in range(3):
        assert lab.run("sync").code == 1
    assert lab.site.values()["a_v"] == "theirs"


def test_a_deletion_whose_write_was_lost_goes_on_where_the_value_was_seen(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"}, **DELETING)
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    bao.remove("app/a")
    hidden_once(lab, "a_v")
    lab.run("sync")
    assert set(lab.ids()) == {"b_v"}


CUT_OFF = {"Content-Length": "4000"}


@pytest.mark.parametrize("what", ["breaks off", "half a body", "no JSON"])
def test_a_login_that_breaks_off_says_nothing_of_the_write_that_it_is_for(what: str) -> None:
    """The write was never sent: told as lost it would be looked for, and count in a limit."""

    def answer(*_: object) -> Answer:
        if what == "breaks off":
            raise ConnectionAbortedError
        return Answer(b"<html>", 200) if what == "no JSON" else Answer(iter([b'{"access_tok']), 200, CUT_OFF)

    app = AppLogin(app_id="a", instance_id="i", secret=lambda: SecretValue("s" * 20))
    with peer(answer) as server, httpx.Client() as client, pytest.raises(TargetUnavailable) as refused:
        AppAuth(client, f"{server.url}/oauth2/token", app).headers()
    assert not refused.value.maybe_done
