"""One run on a machine whose clock is wrong, while the site's is right: what protects ends late, consent ends early."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from syncd.reconcile.cycle import Cycle
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.planned_pass import Look
from syncd.sandbox.wix_site import Site
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock, one_cycle

pytestmark = pytest.mark.kind

AHEAD, BEHIND = timedelta(days=2), timedelta(days=-3)


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in "123":
        bao.put("app/a", v=number)
    bao.put("app/b", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    return lab


def once(lab: Lab, off: timedelta) -> int:
    with machine_clock(lab, off) as app:
        return one_cycle(app).exit_code


def made_older(lab: Lab, table: str, *columns: str) -> None:
    with closing(sqlite3.connect(lab.state)) as ledger, ledger:
        for column in columns:
            ledger.execute(f"UPDATE {table} SET {column} = {column} - {2 * 86_400 * 10**6}")


@pytest.mark.parametrize("scope", [("job",), ("--target", "shop"), ("--all",)], ids=str)
def test_a_pause_is_not_ended_by_a_clock_that_is_ahead(job: Lab, bao: Bao, scope: tuple[str, ...]) -> None:
    assert job.run("pause", *scope, "--until", "4h", "--reason", "x").code == 0
    bao.put("app/a", v="4")
    once(job, AHEAD)
    assert job.site.values()["a_v"] == "3"
    assert "is paused" in job.run("sync").out, "and it holds still"
    ended = [line for line in job.run("audit", "show", "--json").json if line["event"] == "job.resumed"]
    assert not ended


def test_nor_is_a_rollback(job: Lab) -> None:
    assert job.run("rollback", "a_v", "--to", "1", "--until", "24h", "--reason", "leak").code == 0
    assert once(job, AHEAD) == 0
    assert job.site.values()["a_v"] == "1" and job.run("sync").code == 0
    assert job.site.values()["a_v"] == "1" and job.statuses()["a_v"] == "rolled_back"


def test_a_plan_foresees_no_end_by_a_clock_that_is_ahead(job: Lab) -> None:
    """Nothing is asked again before a request where none is sent."""
    assert job.run("rollback", "a_v", "--to", "1", "--until", "24h", "--reason", "leak").code == 0
    with machine_clock(job, AHEAD) as app:
        look = Look(runtime=app.runtime, job=app.runtime.jobs["job"], target_name="shop", holder="test")
        assert not Cycle(look).plan(ObservationCache()).plan.actions


def test_both_end_by_a_clock_that_is_right(job: Lab, bao: Bao) -> None:
    assert job.run("pause", "job", "--until", "4h", "--reason", "x").code == 0
    bao.put("app/a", v="4")
    made_older(job, "syncd_pauses", "at", "until")
    assert job.run("sync").code == 0 and job.site.values()["a_v"] == "4"
    lines = [line for line in job.run("audit", "show", "--json").json if line["event"] == "job.resumed"]
    assert len(lines) == 1


@pytest.mark.parametrize("off", [timedelta(0), BEHIND], ids=str)
def test_an_exception_that_ended_is_no_consent(job: Lab, bao: Bao, off: timedelta) -> None:
    bao.put("app/c", v="forbidden")
    day = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"
    item = {"name": "c_v", "until": day, "reason": "x"}
    job.config["rules"] = [{"id": "no", "name": "c_v", "then": "deny", "except": [item]}]
    assert once(job, off) == 1 and "c_v" not in job.site.values()


@pytest.mark.parametrize("off", [timedelta(0), BEHIND], ids=str)
def test_nor_is_a_permission_to_adopt(job: Lab, bao: Bao, off: timedelta) -> None:
    job.site.create({"name": "d_v", "value": "THEIRS"})
    bao.put("app/d", v="ours")
    job.run("sync")
    assert job.run("state", "adopt", "d_v", "--reason", "x").code == 0
    made_older(job, "syncd_grants", "at", "until")
    once(job, off)
    assert job.site.values()["d_v"] == "THEIRS"


@pytest.mark.parametrize("off", [timedelta(0), BEHIND], ids=str)
def test_nor_is_a_release(job: Lab, bao: Bao, off: timedelta) -> None:
    job.config["rules"] = [{"id": "hold", "name": "a_v", "then": "hold"}]
    bao.put("app/a", v="4")
    assert job.run("sync").code == 6
    (held,) = job.run("held", "--json").json
    assert job.run("release", held["batch"], "--reason", "x").code == 0
    made_older(job, "syncd_held", "released_at")
    once(job, off)
    assert job.site.values()["a_v"] == "3"


def test_a_site_of_two_clocks_is_not_listed_for_ever(job: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two front ends of one site, of which every second answer is an hour behind."""
    listings, listing = [0], Site.listing

    def listed(self: Site) -> dict[str, object]:
        listings[0] += 1
        return listing(self)

    monkeypatch.setattr(Site, "listing", listed)
    job.wix.clock = lambda: datetime.now(UTC) - timedelta(hours=listings[0] % 2)
    assert job.run("sync").code in {0, 1}
    assert listings[0] < 12, listings
