"""What protects a site, and what is known of it, stays when its ledger moves or its login changes, once or twice."""

from __future__ import annotations

import uuid

import pytest

from syncd.ledger import schema, transfer
from tests.lab import Bao, Lab
from tests.support.logins import by_app, key_of


def moved(lab: Lab) -> None:
    """The ledger goes to another place by an export and an import."""
    export = lab.folder / "ledger.json"
    export.write_text(lab.run("state", "export", "--full").out)
    lab.config["state"]["path"] = str(lab.folder / "elsewhere" / "state.db")
    assert lab.run("state", "import", str(export)).code == 0


def another_login(lab: Lab) -> None:
    lab.config["targets"]["shop"] = by_app(lab)
    lab.run("sync")


def joined(lab: Lab) -> None:
    """A person says that the site has another key now."""
    login = by_app(lab)
    lab.config["targets"]["second"] = login
    assert lab.run("state", "join-site", lab.site_id, key_of(login)).code == 0
    del lab.config["targets"]["second"]
    lab.config["targets"]["shop"] = login
    lab.run("sync")


WAYS = {
    "another login, and moved": (another_login, moved),
    "two logins": (another_login, another_login),
    "two logins, and moved": (another_login, another_login, moved),
    "joined, another login": (joined, another_login),
}


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/fine", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    return lab


@pytest.mark.sweep
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("then", ["deny", "hold"])
def test_a_rule_by_the_first_key_holds(job: Lab, bao: Bao, then: str, way: str) -> None:
    job.config["rules"] = [{"id": "no-x-there", "site": job.site_id, "path": "*/app/x", "then": then}]
    bao.put("app/x", v="1")
    code = {"deny": 1, "hold": 6}[then]
    assert job.run("sync").code == code
    for step in WAYS[way]:
        step(job)
        assert set(job.site.values()) == {"fine_v"}
    for _ in range(2):
        assert job.run("sync").code == code and set(job.site.values()) == {"fine_v"}
    job.config["rules"] = []
    assert job.run("sync").code == 0 and set(job.site.values()) == {"fine_v", "x_v"}


@pytest.mark.sweep
@pytest.mark.parametrize("way", WAYS)
def test_a_pause_made_under_the_first_login_holds(job: Lab, bao: Bao, way: str) -> None:
    assert job.run("pause", "--target", "shop", "--reason", "freeze of the shop").code == 0
    bao.put("app/fine", v="2")
    for step in WAYS[way]:
        step(job)
        assert job.site.values() == {"fine_v": "1"}
    result = job.run("sync")
    assert result.code == 0 and "target shop is paused" in result.out and job.site.values() == {"fine_v": "1"}
    assert "goes on" in job.run("resume", "--target", "shop").out
    assert job.settle().code == 0 and job.site.values() == {"fine_v": "2"}


def test_what_is_behind_stays_behind(job: Lab, bao: Bao) -> None:
    bank = str(uuid.uuid4())
    job.secret_file("bank-key", job.wix.issue_key(bank))
    job.config["targets"]["bank"] = job.target(bank, "bank-key")
    job.config["jobs"]["job"]["targets"].append("bank")
    assert job.run("sync").code == 0
    assert job.run("pause", "--target", "bank", "--reason", "quarter's end").code == 0
    bao.put("app/fine", v="2")
    assert job.run("sync").code == 0

    def told() -> dict[str, str]:
        return {row["target"]: row["status"] for row in job.run("state", "list", "--json").json}

    assert told() == {"shop": "synced", "bank": "behind"}
    moved(job)
    assert told() == {"shop": "synced", "bank": "behind"}
    assert job.run("where", f"{bao.mount}/app/fine").code == 1


def test_every_table_is_moved_or_says_why_not() -> None:
    assert set(transfer.MOVED) | transfer.STAYS.keys() == set(schema.metadata.tables.values())
    assert not set(transfer.MOVED) & transfer.STAYS.keys() and all(transfer.STAYS.values())
