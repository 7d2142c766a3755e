"""What carries our mark at Wix and is in no ledger: no cycle looks at it, so it is told wherever one looks for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.domain.write_window import LISTING_LAG
from syncd.sandbox.wix_site import Site
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock, one_cycle
from tests.support.policies import DELETING


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for name in ("x", "y", "z"):
        bao.put(f"app/{name}", v=name)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"}, **DELETING)
    assert lab.run("sync").code == 0
    return lab


@pytest.mark.parametrize("how", ["a deletion that did nothing", "a restored site", "forgotten"])
def test_it_is_told(job: Lab, bao: Bao, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(job.site.secrets)
    with monkeypatch.context() as patch:
        if "nothing" in how:
            patch.setattr(Site, "delete", lambda _self, _id: {})
        if how == "forgotten":
            job.config["jobs"]["job"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/x"]
            assert job.run("state", "forget", "x", "--reason", "x").code == 0
        else:
            bao.remove("app/x")
            for _ in range(3):
                assert job.run("sync").code == 0
    if "restored" in how:
        job.site.secrets.update({key: replace(secret) for key, secret in before.items() if secret.name == "x"})
    # By then no listing lags behind the deletion any more.
    with machine_clock(job, LISTING_LAG + timedelta(minutes=2)) as app:
        assert one_cycle(app).exit_code == 0
    assert "x" in job.site.values() and "x" not in job.statuses()
    assert "1 with our mark are at Wix and in no ledger" in job.run("status").out
    assert [row["name"] for row in job.run("status", "--json").json["strays"]] == ["x"]
    (row,) = job.run("report", "--format", "json").json["marked"]
    assert (row["name"], row["what"]) == ("x", "ours, and in no ledger")
    where = job.run("where", f"{bao.mount}/app/x")
    assert where.code == 3 and "1 with our mark are in no ledger: x" in where.err, where.err


def test_a_deletion_that_was_only_sent_hides_nothing(job: Lab, bao: Bao) -> None:
    """Its answer was lost and it never took effect; then a person forgets the row."""
    bao.remove("app/x")
    job.wix.fault("reset_before", "DELETE", times=1000)
    for _ in range(2):
        job.run("sync")
    job.wix.faults.clear()
    assert "x" in job.site.values() and job.run("state", "forget", "x", "--reason", "x").code == 0
    assert job.run("sync").code == 0 and "x" in job.site.values()
    assert [row["name"] for row in job.run("status", "--json").json["strays"]] == ["x"]
    assert "1 with our mark are not in the ledger" in job.run("check", "--connect").out


@pytest.mark.parametrize("how", ["by a cycle", "by a person"])
def test_a_listing_that_lags_brings_nothing_back(job: Lab, bao: Bao, how: str) -> None:
    """A second job lists the site right after the first one deleted there."""
    bao.put("later/w", v="w")
    job.job("later", "vault", {"path": f"{bao.mount}/later/*", "field": "v", "name": "{basename}"})
    assert job.run("sync").code == 0
    bao.remove("app/x")
    # As it was before the deletion, and with all that was made earlier.
    job.site._past.clear()
    job.site.options.listing_lag = timedelta(seconds=30)
    if how == "by a person":
        job.config["jobs"]["job"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/x"]
        assert job.run("state", "forget", "x", "--delete", "--reason", "x").code == 0
    for _ in range(3):
        assert job.run("sync").code == 0
    assert "x" not in job.site.values() and job.run("status", "--json").json["strays"] == []
    assert "in no ledger" not in job.run("where", f"{bao.mount}/app/x").err
    told = job.run("check", "--connect").out
    assert "3 secrets on the site" not in told and "not in the ledger" not in told, told


@pytest.mark.parametrize("how", ["by a cycle", "by a person"])
def test_what_was_just_deleted_is_told_no_more(job: Lab, bao: Bao, how: str) -> None:
    """No listing follows the deletion in its cycle, and the next cycle may be a day away."""
    assert job.run("sync").code == 0, "it is listed once it is there"
    bao.remove("app/x")
    if how == "by a person":
        job.config["jobs"]["job"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/x"]
        assert job.run("state", "forget", "x", "--delete", "--reason", "x").code == 0
    for _ in range(3):
        if "x" in job.site.values():
            assert job.run("sync").code == 0
    assert "x" not in job.site.values()
    assert job.run("status", "--json").json["strays"] == [] == job.run("report", "--format", "json").json["marked"]
    assert "no ledger" not in job.run("where", f"{bao.mount}/app/x").err


def test_another_installations_is_known_by_name(job: Lab) -> None:
    job.site.create({"name": "THEIRS", "value": "1", "description": "[syncd:rival:12345678]"})
    assert job.run("sync").code == 0
    (row,) = job.run("report", "--format", "json").json["marked"]
    assert (row["name"], row["owner"], row["what"]) == ("THEIRS", "rival", "another installation's")
    assert "no ledger" not in job.run("status").out


def test_status_counts_what_never_arrived_and_tells_a_rollback_of_its_job(job: Lab, bao: Bao) -> None:
    job.config["rules"] = [{"id": "no-new", "name": "w", "then": "deny"}]
    bao.put("app/w", v="1")
    job.run("sync")
    (entry,) = job.run("status", "--json").json["jobs"]
    assert entry["secrets"] == {"denied": 1, "synced": 3}
    assert "job" in job.run("status", "--status", "denied").out.partition("STATUS")[0]
    bao.put("app/x", v="leaked")
    job.run("sync")
    assert job.run("rollback", "x", "--reason", "leaked").code == 0
    assert "--end" in job.run("status", "--job", "job").out and "--end" in job.run("status", "--target", "shop").out
