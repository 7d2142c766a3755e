"""What somebody changed at Wix stays under `drift_policy: report`, whatever else changes around it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import closed
from tests.support.wix_people import changed_by_hand


@pytest.mark.sweep
@pytest.mark.parametrize("may_read", [True, False])
@pytest.mark.parametrize("kv", ["1", "2"])
def test_after_a_ledger_was_moved(lab: Lab, bao: Bao, tmp_path: Path, kv: str, may_read: bool) -> None:
    lab.vault(bao)
    mount = Bao(bao.server, bao.mount + "x", bao.token)
    mount.enable(kv)
    store = mount.root.secrets.kv.v1 if kv == "1" else mount.root.secrets.kv.v2
    store.create_or_update_secret("app/a", {"u": "1", "p": "1"}, mount_point=mount.mount)
    lab.job("job", "vault", {"path": f"{mount.mount}/app/*"}, drift_policy="report")
    assert lab.run("sync").code == 0
    changed_by_hand(lab, "a_u")
    lab.run("sync")
    lab.site.options.may_read = may_read
    (tmp_path / "export.json").write_text(lab.run("state", "export", "--full").out)
    lab.config["state"] = {"path": str(tmp_path / "new" / "state.db")}
    assert lab.run("state", "import", str(tmp_path / "export.json")).code == 0
    lab.run("sync")
    # Whatever lets the path be read: here another rule on it.
    lab.config["jobs"]["job"]["secrets"].append({"path": f"{mount.mount}/app/a", "field": "p", "name": "SECOND"})
    lab.run("sync")
    lab.run("sync")
    mount.root.sys.disable_secrets_engine(mount.mount)
    assert lab.site.values()["a_u"] == "HAND-MADE" and lab.statuses()["a_u"] == "behind"


@pytest.mark.parametrize("change", ["source", "path"])
def test_when_its_reference_changes(lab: Lab, bao: Bao, change: str) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{basename}"}, drift_policy="report")
    assert lab.run("sync").code == 0
    changed_by_hand(lab, "a")
    lab.run("sync")
    if change == "source":
        lab.config["sources"]["other"] = lab.config["sources"].pop("vault")
        lab.config["jobs"]["job"]["source"] = "other"
    else:
        bao.put("new/a", v="1")
        lab.config["jobs"]["job"]["secrets"][0]["path"] = f"{bao.mount}/new/*"
    lab.run("sync")
    assert lab.site.values() == {"a": "HAND-MADE"} and lab.statuses()["a"] != "synced"


def test_an_adopted_secret_stays_so_under_a_new_id(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for name in ("ad", "b", "c"):
        bao.put(f"app/{name}", v="ours")
    lab.site.create({"name": "ad_v", "value": "THEIRS"})
    deleting = {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 100}}
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **deleting)
    lab.run("sync")
    lab.run("state", "adopt", "ad_v", "--reason", "x")
    assert lab.run("sync").code == 0
    fresh = [replace(one, id=str(uuid.uuid4())) for one in lab.site.secrets.values()]  # the site was put back
    lab.site.secrets = {one.id: one for one in fresh}
    lab.site._named.clear()
    for one in fresh:
        lab.site._named[one.name.casefold()].append(one.id)
    for _ in range(4):
        lab.run("sync")
    bao.remove("app/ad")
    for _ in range(3):
        lab.run("sync")
    assert "ad_v" in lab.site.values() and "b_v" in lab.site.values()


def test_what_is_reported_is_told_with_its_reason_until_it_ends(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, drift_policy="report")
    assert lab.run("sync").code == 0
    changed_by_hand(lab, "a_v")
    for _ in range(2):
        assert lab.run("sync").code == 0
        (trouble,) = lab.run("status", "--json").json["troubles"]
        assert (trouble["name"], trouble["status"]) == ("a_v", "behind"), trouble
        assert "changed at Wix by somebody else" in lab.run("status").out
    bao.put("app/a", v="2")
    lab.config["jobs"]["job"]["drift_policy"] = "restore"
    assert lab.run("sync").code == 0 and lab.site.values() == {"a_v": "2"}
    assert lab.run("status", "--json").json["troubles"] == []


@pytest.mark.parametrize("way", ["reported", "not seen yet", "job renamed", "contested", "restored"])
def test_to_forget_it_needs_a_reason_where_it_would_be_left(lab: Lab, bao: Bao, way: str) -> None:
    """The row alone tells whose value it is: without it the next cycle writes over it."""
    lab.vault(bao)
    bao.put("app/a", v="1")
    policy = "restore" if way in {"contested", "restored"} else "report"
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, drift_policy=policy)
    assert lab.run("sync").code == 0
    for _ in range(6 if way == "contested" else 1):
        changed_by_hand(lab, "a_v")
        if way != "not seen yet":
            lab.run("sync")
    if way == "job renamed":
        lab.config["jobs"]["job2"] = lab.config["jobs"].pop("job")
    forgotten = lab.run("state", "forget", "a_v")
    if way == "restored":
        assert forgotten.code == 0
        return
    assert forgotten.code == 3 and "writes over" in forgotten.err and "--reason" in forgotten.err
    lab.run("sync")
    assert lab.site.values()["a_v"] == "HAND-MADE"
    assert lab.run("state", "forget", "a_v", "--reason", "ours is right").code == 0
    assert lab.run("sync").code == 0 and lab.site.values()["a_v"] == "1"
    lines = lab.run("audit", "show", "--json").json
    assert [line["reason"] for line in lines if line["event"] == "secret.forgotten"] == ["ours is right"]


@pytest.mark.parametrize("change", ["source", "path", "both"])
@pytest.mark.parametrize("waits", ["no", "limit", "window", "deny"])
def test_what_is_undone_with_a_new_reference_is_told(lab: Lab, bao: Bao, change: str, waits: str) -> None:
    """drift_policy: restore. Somebody's change goes, or waits to go, in the cycle in which the reference changes."""
    lab.vault(bao)
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{basename}"})
    assert lab.run("sync").code == 0
    changed_by_hand(lab, "a")
    if change in {"source", "both"}:
        lab.config["sources"]["other"] = lab.config["sources"].pop("vault")
        lab.config["jobs"]["job"]["source"] = "other"
    if change in {"path", "both"}:
        for name in ("a", "b"):
            bao.put(f"new/{name}", v="1")
        lab.config["jobs"]["job"]["secrets"][0]["path"] = f"{bao.mount}/new/*"
    lab.config["jobs"]["job"] |= {
        "limit": {"guard": {"max_updates": 0}},
        "window": {"windows": {"allow": closed()}},
    }.get(waits, {})
    lab.config["rules"] = [{"id": "no", "name": "a", "then": "deny"}] if waits == "deny" else []
    lab.run("sync")
    events = [line["event"] for line in lab.run("audit", "show", "--name", "a", "--json").json]
    where = lab.run("where", f"{bao.mount}/{'app' if change == 'source' else 'new'}/a", "--version", "1")
    if waits == "no":
        assert lab.site.values()["a"] == "1" and "drift.restored" in events and where.code == 0, events
    else:
        assert lab.site.values()["a"] == "HAND-MADE" and "drift.found" in events, events
        assert where.code == 1 and lab.statuses()["a"] != "synced"
