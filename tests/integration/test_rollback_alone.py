"""A rollback goes by itself: what waits beside it neither holds it up nor goes with it, and is told on."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.cli import rollback as command
from syncd.sandbox.wix_site import Refusal, Site
from tests.lab import Bao, Lab
from tests.support.policies import closed
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind
KEYS = [f"K{number}" for number in range(12)]


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    """Twelve secrets that hold `two`, of which one was updated to that."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    for version, keys in (("one", KEYS[:1]), ("two", KEYS)):
        for key in keys:
            bao.put(f"app/{key}", v=version)
        assert lab.run("sync").code == 0
    return lab


def roll(lab: Lab, *words: str) -> Any:
    return lab.run("rollback", *words, "--reason", "two leaked")


@pytest.mark.parametrize("shut", [True, False], ids=["the window is shut", "the window is open"])
@pytest.mark.parametrize("waits", ["updates", "updates over the limit", "deletions over the limit"])
def test_what_waits_beside_it_holds_it_up_in_no_limit(job: Lab, bao: Bao, waits: str, shut: bool) -> None:
    settings = job.config["jobs"]["job"]
    settings |= {"guard": {"max_updates": 2, "max_deletes": 2}, "deletion_policy": "delete", "deletion_grace": "0s"}
    if waits != "updates":
        for key in KEYS[1:7]:
            if waits.startswith("updates"):
                bao.put(f"app/{key}", v="three")
            else:
                bao.remove(f"app/{key}")
    if shut:
        settings["windows"] = {"allow": closed()}
    done = roll(job, "K0")
    assert done.code == 0, done.out + done.err
    assert job.site.values() == {**dict.fromkeys(KEYS, "two"), "K0": "one"}
    assert job.run("held", "--json").json == [], "what waits for the window is put before nobody"


def test_a_rotation_that_a_limit_withholds_does_not_hold_back_what_is_taken_back(job: Lab, bao: Bao) -> None:
    job.config["jobs"]["job"]["guard"] = {"max_updates": 2}
    for key in KEYS[1:7]:
        bao.put(f"app/{key}", v="three")
    job.wix.fault("503", "PATCH", times=1000)
    assert roll(job, "K0").code == 5
    job.wix.faults.clear()
    assert job.run("sync").code == 6
    assert job.site.values() == {**dict.fromkeys(KEYS, "two"), "K0": "one"}


def test_a_rollback_that_ran_out_while_it_waited_sends_nothing_newer(
    job: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process had the site for as long as it was to hold."""
    bao.put("app/K0", v="three")
    job.config["jobs"]["job"]["windows"] = {"allow": closed()}
    cycles = command.run_cycles

    def late(app: Any, wanted: Any, *words: Any, **more: Any) -> int:
        app.ledger.decisions.end_rollbacks(list(wanted), [])
        return cycles(app, wanted, *words, **more)

    monkeypatch.setattr(command, "run_cycles", late)
    done = roll(job, "K0", "--to", "1")
    assert done.code == 1 and "the rollback has ended" in done.err, done.out + done.err
    assert job.site.values()["K0"] == "two", "three waits for the window"


@pytest.mark.parametrize("way", ["another is rolled back", "its window shuts"])
def test_what_was_not_tried_is_told_on(job: Lab, bao: Bao, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure and a change by hand have not ended because nothing was done about them."""
    settings = job.config["jobs"]["job"]
    settings["drift_policy"] = "report"
    bao.put("app/K1", v="fails")
    update = Site.update

    def picky(self: Site, secret_id: str, body: dict[str, Any]) -> Any:
        if "fails" in str(body):
            raise Refusal(403, "PERMISSION_DENIED")
        return update(self, secret_id, body)

    monkeypatch.setattr(Site, "update", picky)
    changed_by_hand(job, "K2")
    assert job.run("sync").code == 5
    bao.put("app/K2", v="three")
    if way == "its window shuts":
        settings["windows"] = {"allow": closed()}
        job.run("sync")
    else:
        assert roll(job, "K0").code in {0, 1}
    lines = job.run("audit", "show", "--json").json
    assert not [line for line in lines if line["event"] == "finding.ended"]
    assert len([line for line in lines if line["event"] == "drift.found"]) == 1
    assert "permission" in job.run("explain", "K1").out


def test_a_job_goes_back_but_for_what_cannot(job: Lab, bao: Bao) -> None:
    """One path is back at its newest version, one lost its older ones, and the others were rotated badly."""
    for key in KEYS:
        bao.put(f"app/{key}", v="three")
    assert job.run("sync").code == 0
    assert roll(job, "K0").code == 0 and job.run("rollback", "K0", "--end", "--reason", "x").code == 0
    bao.root.secrets.kv.v2.destroy_secret_versions("app/K1", versions=[1], mount_point=bao.mount)
    done = job.run("rollback", "--job", "job", "--since", "1h", "--reason", "three is bad")
    assert done.code == 1 and "app/K1" in done.err, done.out + done.err
    values = job.site.values()
    assert values["K1"] == "three" and {values[key] for key in KEYS[2:]} == {"two"}, values
