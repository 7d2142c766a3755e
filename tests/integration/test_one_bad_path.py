"""One path or folder that the server fails on leaves the rest of its job as it is: it alone is told, by its name."""

from __future__ import annotations

import pytest

from tests.chaos.peers import Answer, peer
from tests.lab import Bao, Lab
from tests.support.fronts import before
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind
FAULTS = {
    "a damaged entry": Answer({"errors": ["1 error occurred: decryption failed"]}, 500),
    "a firewall's page": Answer(b"<html>blocked</html>", 403, {"Content-Type": "text/html"}),
    "a gateway's page": Answer(b"<html>bad gateway</html>", 502, {"Content-Type": "text/html"}),
    "an answer that holds the login": Answer(b"", 200),
}


@pytest.mark.parametrize("where", ["its metadata", "its value", "its folder", "its mount"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_rest_of_the_job_goes_on(lab: Lab, bao: Bao, fault: str, where: str) -> None:
    for path in ("app/bad/x", "app/good/y", "single"):
        bao.put(path, v="1")
    lab.vault(bao)
    rules = [f"{bao.mount}/app/bad/x", f"{bao.mount}/app/good/*", f"{bao.mount}/single"]
    if where == "its folder":
        rules[:2] = [f"{bao.mount}/app/**"]
    lab.job("job", "vault", *({"path": rule, "name": "{basename}_{field}"} for rule in rules), **DELETING)
    assert lab.run("sync").code == 0
    for path in ("app/bad/x", "app/good/y", "single"):
        bao.put(path, v="2")
    answered = FAULTS[fault]
    if "login" in fault:
        answered = Answer({"data": {"data": {"v": bao.token}, "metadata": {"version": 2}, "keys": [bao.token]}}, 200)

    def is_bad(_method: str, path: str) -> bool:
        if where == "its folder":
            return path.partition("?")[0].endswith("app/bad")
        kind = {"its metadata": "/metadata/", "its value": "/data/", "its mount": "/mounts/"}[where]
        return "app/bad" in path and kind in path

    with peer(before(bao, is_bad, answered)) as front:
        lab.config["sources"]["vault"]["address"] = front.url
        result = lab.run("sync")
    assert result.code == 4, result.out + result.err
    values = lab.site.values()
    assert (values["y_v"], values["single_v"]) == ("2", "2"), result.out
    assert "app/bad" in result.out and values["x_v"] == "1"
    assert bao.token not in result.out + result.err


def test_a_server_that_fails_on_everything_is_not_asked_for_ever(
    lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.reconcile.observe.rule_listings.GIVE_UP", 1.0)
    lab.vault(bao)
    lab.job("job", "vault", *({"path": f"{bao.mount}/app/{number}", "field": "v"} for number in range(40)))
    asked: list[str] = []
    fault = Answer({"errors": ["internal error"]}, 500)
    with peer(before(bao, lambda _, path: asked.append(path) or "mounts" in path, fault)) as front:
        lab.config["sources"]["vault"]["address"] = front.url
        result = lab.run("sync")
    assert result.code == 4 and len(asked) < 100, len(asked)


def test_a_credential_beside_one_secret_costs_that_one(lab: Lab, bao: Bao) -> None:
    """OpenBao's one-call listing holds it, and with it the versions of all others."""
    lab.vault(bao)
    for path in ("app/bad", "app/good"):
        bao.put(path, v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{basename}"})
    assert lab.run("sync").code == 0
    bao.root.secrets.kv.v2.update_metadata("app/bad", custom_metadata={"note": bao.token}, mount_point=bao.mount)
    bao.put("app/good", v="2")
    told = lab.run("sync")
    assert told.code == 4 and "app/bad" in told.out and bao.token not in told.out + told.err
    assert lab.site.values() == {"bad": "1", "good": "2"}
    lab.config["jobs"]["job"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/bad"]
    assert lab.run("sync").code in {0, 1}, "the fix that it names is one"


@pytest.mark.parametrize("at", ["first", "last"])
def test_bad_paths_leave_the_others_wherever_they_stand(lab: Lab, bao: Bao, at: str) -> None:
    lab.vault(bao)
    names = [f"bad{number}" for number in range(7)] + [f"good{number}" for number in range(4)]
    for name in names:
        bao.put(f"app/{name}", v="1")
    ordered = names if at == "first" else names[::-1]
    lab.job("job", "vault", *({"path": f"{bao.mount}/app/{name}", "name": "{basename}"} for name in ordered))
    with peer(before(bao, lambda _, path: "metadata/app/bad" in path, FAULTS["a damaged entry"])) as front:
        lab.config["sources"]["vault"]["address"] = front.url
        told = lab.run("sync")
    assert told.code == 4 and "app/bad" in told.out
    assert set(lab.site.values()) == {name for name in names if "good" in name}
