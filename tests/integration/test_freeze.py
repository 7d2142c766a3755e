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
