"""A path that moves or a rule that renames: the old name stays until the new one is settled."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


@pytest.mark.parametrize("new", ["A_{path}", "TAKEN"])
def test_an_old_name_stays_while_its_new_one_cannot_be_made(lab: Lab, bao: Bao, new: str) -> None:
    """A bad name, a collision, somebody else's name: nothing of the old mapping is deleted."""
    vault_job(lab, bao, {"path": "app/**", "name": "OLD_{path}_{field}"}, **DELETING)
    bao.put("app/a", wix="1", v="2")
    bao.put("app/b", v="3")
    lab.site.create({"name": "TAKEN", "value": "theirs"})
    assert lab.run("sync").code == 0
    before = lab.site.values()
    rules(lab)[0]["name"] = "{field}" if new == "A_{path}" else new
    for _ in range(3):
        lab.run("sync")
        assert {name: value for name, value in lab.site.values().items() if name in before} == before


def test_a_name_that_is_still_anothers_does_not_settle_the_move(lab: Lab, bao: Bao) -> None:
    vault_job(
        lab,
        bao,
        {"path": "app/one", "field": "v", "name": "A"},
        {"path": "app/two", "field": "v", "name": "B"},
        **DELETING,
    )
    bao.put("app/one", v="v-one")
    bao.put("app/two", v="v-two")
    lab.run("sync")
    lab.run("state", "freeze", "B", "--reason", "agreed", "--until", "1d")
    rules(lab)[0]["name"], rules(lab)[1]["name"] = "B", "C"
    for _ in range(3):
        lab.run("sync")
    assert "v-one" in lab.site.values().values()


def test_a_field_that_moves_to_another_path_takes_its_name_along(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "{field}"})
    bao.put("app/a", STRIPE="old", OTHER="x")
    assert lab.run("sync").code == 0
    ids = lab.ids()
    bao.put("app/a", OTHER="x")
    bao.put("app/b", STRIPE="new")
    assert lab.run("sync").code == 0
    assert lab.site.values()["STRIPE"] == "new" and lab.ids() == ids


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


def test_a_name_passes_on_only_when_its_old_reference_has_its_new_name(lab: Lab, bao: Bao) -> None:
    one_two(lab, bao, "A", "B", **DELETING)
    lab.site.create({"name": "C", "value": "theirs"})
    named(lab, "B", "C")
    for _ in range(3):
        lab.run("sync")
        assert {"v-one", "v-two"} <= set(lab.site.values().values())
    lab.site.delete(lab.ids()["C"])
    for _ in range(4):
        lab.run("sync")
    assert lab.site.values() == {"B": "v-one", "C": "v-two"}


def test_names_that_wait_for_one_another_are_a_conflict_and_a_third_name_helps(lab: Lab, bao: Bao) -> None:
    one_two(lab, bao, "A", "B", **DELETING)
    named(lab, "B", "A")
    for _ in range(2):
        result = lab.run("sync")
        assert result.code == 1 and "a third name" in result.out
        assert lab.site.values() == {"A": "v-one", "B": "v-two"}
    named(lab, "B", "THIRD")
    lab.settle(4)
    named(lab, "B", "A")
    lab.settle(4)
    lab.run("sync")
    assert lab.site.values() == {"A": "v-two", "B": "v-one"}


def test_moved_and_renamed_is_one_write(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "{field}"})
    bao.put("app/a", KEY="one", OTHER="x")
    lab.run("sync")
    lab.site.update(lab.ids()["KEY"], {"name": "ELSE"})
    bao.put("app/a", OTHER="x")
    bao.put("app/b", KEY="two")
    assert lab.run("sync").code == 0
    before = lab.writes()
    assert lab.run("sync").code == 0
    assert lab.writes() == before and lab.site.values()["KEY"] == "two"


@pytest.mark.parametrize("trouble", ["pin", "bad name"])
def test_a_name_waits_for_what_cannot_be_made(lab: Lab, bao: Bao, trouble: str) -> None:
    field = "v" if trouble == "pin" else "wixk"
    vault_job(
        lab, bao, {"path": "app/one", "field": field, "name": "A"}, {"path": "app/two", "field": "v", "name": "B"}
    )
    bao.put("app/one", **{field: "v-one"})
    bao.put("app/two", v="v-two")
    lab.run("sync")
    lab.site.create({"name": "C", "value": "theirs"})
    named(lab, "C" if trouble == "pin" else "{field}", "A")
    if trouble == "pin":
        rules(lab)[0]["version"] = 1
    for _ in range(3):
        lab.run("sync")
        assert lab.site.values()["A"] == "v-one"


def test_a_path_that_goes_to_another_job_keeps_its_name_until_it_has_a_new_one(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "OLD_{path}_{field}"}, name="j1", **DELETING)
    bao.put("app/a", v="va")
    bao.put("app/b", v="vb")
    lab.run("sync")
    lab.site.create({"name": "NEW_a_v", "value": "theirs"})
    rules(lab, "j1")[0]["exclude"] = [f"{bao.mount}/app/a"]
    vault_job(lab, bao, {"path": "app/a", "name": "NEW_{path}_{field}"}, name="j2")
    for _ in range(3):
        lab.run("sync")
    assert lab.site.values()["OLD_a_v"] == "va"
    lab.site.delete(lab.ids()["NEW_a_v"])
    for _ in range(3):
        lab.run("sync")
    assert lab.site.values() == {"NEW_a_v": "va", "OLD_b_v": "vb"}


def test_a_pin_in_place_is_the_same_secret(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/one", "field": "v", "name": "A"})
    bao.put("app/one", v="first")
    bao.put("app/one", v="second")
    lab.run("sync")
    rules(lab)[0]["version"] = 1
    assert lab.run("sync").code == 0
    assert lab.site.values() == {"A": "first"} and len(lab.site.created_ids) == 1


def test_a_kept_secret_is_not_lent_to_another_reference(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*", "name": "{field}"})
    bao.put("app/one", key="v-one")
    lab.run("sync")
    rules(lab)[0]["exclude"] = [f"{bao.mount}/app/one"]
    bao.put("app/two", KEY="v-two")
    assert lab.run("sync").code == 1
    assert lab.site.values() == {"key": "v-one"}
