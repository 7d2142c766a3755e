"""A frozen secret is left alone."""

from __future__ import annotations

from typing import Any

from tests.lab import Bao, Lab


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


def test_a_frozen_secret_is_not_written_to_in_any_way(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.run("sync")
    lab.run("state", "freeze", "a_v", "--reason", "agreed", "--until", "1d")
    bao.remove("app/a")
    lab.site.options.hide = lambda one: one.name == "a_v"
    before = lab.writes()
    lab.run("sync")
    assert lab.writes() == before


def test_status_names_the_frozen_secrets_of_the_job_that_is_asked_for(lab: Lab, bao: Bao) -> None:
    """Those of another job, which end earlier, hide none of them."""
    vault_job(lab, bao, {"path": "many/*"}, name="many")
    vault_job(lab, bao, {"path": "few/*"}, name="few")
    bao.put_all("many/a", {f"k{number:02}": "1" for number in range(22)})
    bao.put("few/x", v="1")
    assert lab.run("sync").code == 0
    for number in range(22):
        lab.run("state", "freeze", f"a_k{number:02}", "--until", "1d", "--reason", "agreed")
    lab.run("state", "freeze", "x_v", "--until", "3d", "--reason", "agreed")
    few, every = lab.run("status", "--job", "few").out, lab.run("status", "--status", "frozen").out
    assert "x_v on shop: frozen until" in few and "syncd state thaw x_v --target shop" in few and "a_k" not in few
    assert every.count("frozen until") == 20 and "and more are frozen" in every


def test_status_of_what_is_frozen_where_no_target_leads_gives_no_command_that_fails(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    bao.put("app/a", v="1")
    lab.run("sync")
    lab.run("state", "freeze", "a_v", "--until", "1d", "--reason", "agreed")
    lab.config["targets"]["new"] = lab.config["targets"].pop("shop") | {
        "auth": {
            **lab.config["targets"].get("new", {}).get("auth", {}),
            "method": "api_key",
            "site_id": "another",
            "api_key": {"env": "HOME"},
        }
    }
    lab.config["jobs"]["job"]["targets"] = ["new"]
    said = lab.run("status").out
    assert "a_v on " in said and "frozen until" in said and "state thaw" not in said
