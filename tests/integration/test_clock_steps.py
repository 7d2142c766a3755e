"""Clocks jump; intervals do not: one run with a wrong clock leaves nothing that holds for a year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock, one_cycle

pytestmark = pytest.mark.kind

YEAR = timedelta(days=365)


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in range(10):
        bao.put(f"app/s{number}", v="1")
    lab.job(
        "job",
        "vault",
        {"path": f"{bao.mount}/app/*"},
        deletion_policy="delete",
        deletion_grace="0s",
        guard={"max_deletes": 2},
    )
    assert lab.run("sync").code == 0
    return lab


STEPS = [YEAR, timedelta(days=2), timedelta(hours=25), 10 * YEAR]


@pytest.mark.sweep
@pytest.mark.parametrize("ahead", STEPS)
def test_quarantine_does_not_outlast_a_clock_that_was_ahead(job: Lab, bao: Bao, ahead: timedelta) -> None:
    bao.put("app/s0", v="x" * 4000)
    with machine_clock(job, ahead) as app:
        one_cycle(app)
    assert job.run("sync").code == 1, "tried at once: it may have been mended meanwhile"
    assert job.statuses()["s0_v"] in {"failed", "quarantined"}
    row = next(one for one in job.run("status", "--json").json["troubles"] if one["name"] == "s0_v")
    assert datetime.fromisoformat(row["retry_at"]) < datetime.now(UTC) + timedelta(days=1)
    bao.put("app/s0", v="short")
    assert job.run("sync").code == 0


@pytest.mark.sweep
@pytest.mark.parametrize("ahead", STEPS)
def test_contested_does_not_outlast_it(job: Lab, ahead: timedelta) -> None:
    def by_hand() -> None:
        one = job.site.by_name("s1_v")
        assert one
        job.site._clock = lambda: datetime.now(UTC) + timedelta(minutes=5)
        job.site.update(one.id, {"value": "by hand"})
        job.site._clock = lambda: datetime.now(UTC)

    with machine_clock(job, ahead) as app:
        for _ in range(3):
            by_hand()
            one_cycle(app)
    by_hand()
    job.run("sync")
    assert job.site.values()["s1_v"] == "1"


@pytest.mark.sweep
@pytest.mark.parametrize("ahead", STEPS)
def test_the_deletion_limit_neither_lasts_for_a_year_nor_is_forgotten(job: Lab, bao: Bao, ahead: timedelta) -> None:
    for number in range(4):
        bao.remove(f"app/s{number}")
    job.config["jobs"]["job"]["guard"] = {"max_deletes": 4}
    with machine_clock(job, ahead) as app:
        one_cycle(app)
    assert len(job.site.values()) == 6
    job.config["jobs"]["job"]["guard"] = {"max_deletes": 4}
    bao.remove("app/s4")
    assert job.run("sync").code == 6 and len(job.site.values()) == 6, "four went today"
    later = timedelta(hours=73)  # a day after each moment that a clock said it was
    job.wix.clock = lambda: datetime.now(UTC) + later
    with machine_clock(job, later) as app:
        assert one_cycle(app).exit_code == 0
    assert len(job.site.values()) == 5, "a day later, also at Wix, there is room"


@pytest.mark.sweep
@pytest.mark.parametrize("ahead", STEPS)
def test_history_and_verification_survive_it(job: Lab, ahead: timedelta) -> None:
    before = job.run("explain", "s2_v", "--json").json["history"]
    with machine_clock(job, ahead) as app:
        one_cycle(app)
    assert job.run("explain", "s2_v", "--json").json["history"][-len(before) :] == before
    assert any(one["event"] == "clock.set_back" for one in job.run("sync").events)
    with machine_clock(job, timedelta(hours=25)) as app:
        one_cycle(app)
        now = datetime.now(UTC) + timedelta(hours=25)
        assert all(
            record.verified_at and abs(now - record.verified_at) < timedelta(hours=1) for record in app.ledger.records()
        )


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=30), YEAR])
def test_set_back_it_goes_on(job: Lab, bao: Bao, back: timedelta) -> None:
    bao.put("app/s3", v="2")
    bao.put("app/new", v="3")
    with machine_clock(job, -back) as app:
        assert one_cycle(app).exit_code == 0
        assert {"2", "3"} <= set(job.site.values().values())
        assert not one_cycle(app).outcomes


@pytest.mark.parametrize("ahead", STEPS)
def test_the_quota_is_not_emptied_by_a_step(job: Lab, bao: Bao, ahead: timedelta) -> None:
    job.config["targets"]["shop"] |= {"rate_limit": "5/1h"}
    job.config["targets"]["shop"]["auth"]["site_id"] = "never-asked"
    step = timedelta(0)
    with App(load(job.config_file), Surroundings(clock=lambda: datetime.now(UTC) + step)) as app:
        quota = app._quota("shop", 5, timedelta(hours=1))
        taken = [quota.take() for _ in range(5)]
        for ticket, _ in taken:
            quota.answered(ticket)
        step = ahead
        assert quota.take()[0] == 0
        step = -ahead
        ticket, wait = quota.take()
        assert ticket == 0 and wait <= timedelta(hours=1, minutes=1)


@pytest.mark.sweep
@pytest.mark.parametrize("ahead", [timedelta(hours=25), timedelta(days=2), YEAR])
@pytest.mark.parametrize("whose", ["the site's", "ours"])
def test_a_clock_that_steps_ahead_makes_no_day_begin(job: Lab, bao: Bao, whose: str, ahead: timedelta) -> None:
    """Either clock may be wrong: what was deleted within a day by one of them counts for the limit."""
    for name in ("s0", "s1"):
        bao.remove(f"app/{name}")
    assert job.run("sync").code == 0 and job.run("sync").code == 0 and len(job.site.values()) == 8
    for name in ("s2", "s3"):
        bao.remove(f"app/{name}")
    assert job.run("sync").code == 6
    if whose == "ours":
        with machine_clock(job, ahead) as app:
            assert [one_cycle(app).exit_code for _ in range(3)] == [6, 6, 6]
    else:
        job.wix.clock = lambda: datetime.now(UTC) + ahead
        assert [job.run("sync").code for _ in range(3)] == [6, 6, 6]
    assert len(job.site.values()) == 8


@pytest.mark.sweep
@pytest.mark.parametrize("ahead", [timedelta(hours=49), timedelta(days=9), YEAR])
@pytest.mark.parametrize("whose", ["the site's", "ours"])
def test_a_clock_that_steps_ahead_makes_no_absence_longer(job: Lab, bao: Bao, whose: str, ahead: timedelta) -> None:
    job.config["jobs"]["job"].update(deletion_grace="24h", schedule={"every": "24h"})
    bao.remove("app/s0")
    assert job.run("sync").code == 0
    if whose == "ours":
        with machine_clock(job, ahead) as app:
            for _ in range(3):
                one_cycle(app)
    else:
        job.wix.clock = lambda: datetime.now(UTC) + ahead
        for _ in range(3):
            job.run("sync")
    assert len(job.site.values()) == 10
