"""What kept a job from something has an end: the daemon hears of it, and lets the job run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.daemon.let_go import LetGo
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock
from tests.support.waiting import until
from tests.support.woken import woken

NOW, LATER = timedelta(0), timedelta(hours=2)


@pytest.fixture
def synced(lab: Lab, bao: Bao) -> Lab:
    """Two jobs, of which one has x in two versions."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    lab.job("other", "vault", {"path": f"{bao.mount}/other/*", "field": "v", "name": "other_{basename}"})
    bao.put("other/y", v="1")
    for value in ("1", "2"):
        bao.put("app/x", v=value)
        assert lab.run("sync").code == 0
    return lab


HOLDS = {
    "pause": ("pause", "job", "--until", "1h"),
    "pause of the site": ("pause", "--target", "shop", "--until", "1h"),
    "rollback": ("rollback", "x", "--to", "1", "--until", "1h"),
    "freeze": ("state", "freeze", "x", "--until", "1h"),
}
ENDS = {
    "pause": ("resume", "job"),
    "pause of the site": ("resume", "--target", "shop"),
    "rollback": ("rollback", "x", "--end", "--reason", "x"),
    "freeze": ("state", "thaw", "x"),
}


@pytest.mark.sweep
@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("what", HOLDS)
def test_what_ends_lets_its_jobs_run_once(synced: Lab, what: str, *, by_hand: bool) -> None:
    let_go = LetGo()
    assert synced.run(*HOLDS[what], "--reason", "x").code in {0, 6}
    whose = {"job", "other"} if what == "pause of the site" else {"job"}
    for off in (NOW, timedelta(minutes=10)):
        with machine_clock(synced, off) as app:
            assert not let_go.jobs(app), "it still holds"
    if by_hand:
        assert synced.run(*ENDS[what]).code == 0
    with machine_clock(synced, NOW if by_hand else LATER) as app:
        assert let_go.jobs(app) == whose
        assert not let_go.jobs(app)


def test_a_window_that_opens_lets_its_job_run(synced: Lab) -> None:
    now = datetime.now(UTC)
    hours = [f"{now + timedelta(hours=at):%H:%M}" for at in (1, 3)]
    synced.config["jobs"]["other"]["windows"] = {"allow": [f"Mon-Sun {'-'.join(hours)} UTC"]}
    let_go = LetGo()
    for off, runs in ((NOW, set()), (LATER, {"other"}), (timedelta(hours=4), set()), (timedelta(hours=26), {"other"})):
        with machine_clock(synced, off) as app:
            assert let_go.jobs(app) == runs


def test_however_many_freezes_end_at_one_moment(synced: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.daemon.let_go.MOST_FREEZES", 1)
    for name in ("x", "other_y"):
        assert synced.run("state", "freeze", name, "--until", "2030-01-01", "--reason", "x").code == 0
    let_go, end = LetGo(), datetime(2030, 1, 2, 1, tzinfo=UTC) - datetime.now(UTC)
    for off, runs in ((NOW, set()), (end, {"job", "other"}), (end, set())):
        with machine_clock(synced, off) as app:
            assert let_go.jobs(app) == runs


def test_a_longer_pause_in_the_place_of_another_is_no_end(synced: Lab) -> None:
    let_go = LetGo()
    for until_then in ("1h", "2h", "30m"):
        assert synced.run("pause", "job", "--until", until_then, "--reason", "x").code == 0
        with machine_clock(synced, NOW) as app:
            assert not let_go.jobs(app)


@pytest.mark.kind
@pytest.mark.parametrize("what", ["rollback", "freeze"])
def test_the_newest_version_goes_out_when_time_is_over(synced: Lab, bao: Bao, what: str) -> None:
    """The schedule is an hour away."""
    with woken(synced, bao) as daemon:
        if what == "rollback":
            daemon.decide("rollback", what="x", to="1", until="6s")
            until(lambda: synced.site.values()["x"] == "1")
        else:
            assert synced.run("state", "freeze", "x", "--until", "6s", "--reason", "x").code == 0
            bao.put("app/x", v="3")
            assert daemon("x", version=3) == 202
        until(lambda: synced.site.values()["x"] == ("2" if what == "rollback" else "3"), 30)
