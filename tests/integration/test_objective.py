"""`objective`: how long after a new source version every site must have it; its clock stops where nobody wants it sent."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.report.lateness import why_late
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock, one_cycle
from tests.support.policies import DELETING, closed
from tests.support.waiting import until
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind

LATE = {"its last good cycle is older", "1 of its secrets has waited for longer"}
HOLD = {"id": "all", "job": "job", "then": "hold"}


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"}, objective="1h")
    assert lab.run("sync").code == 0
    return lab


def told(lab: Lab, after: timedelta) -> str:
    """What is said so long from now, while cycles go on but for what waits."""
    with App(load(lab.config_file)) as app:
        (job,) = app.runtime.jobs.values()
        (run,) = (run for run in app.ledger.runs() if run.job == job.name)
        now: datetime = app.runtime.clock() + after
        return why_late(app, job, "shop", replace(run, succeeded_at=now), now)


def test_a_pause_that_is_prolonged_rests_since_its_beginning(job: Lab) -> None:
    with App(load(job.config_file)) as app:
        (run,) = app.ledger.runs()
        now, began = app.runtime.clock(), app.runtime.clock()
        for hours in (0, 3):
            app.ledger.decisions._clock = lambda hours=hours: began + timedelta(hours=hours)
            app.ledger.decisions.pause("job", "job", None, "more")
        (pause,) = app.pauses.now()
        assert pause.at - began < timedelta(minutes=1)
        app.ledger.decisions._clock = lambda: began + timedelta(hours=5)
        app.ledger.decisions.resume("job", "job")
        words = [
            why_late(app, app.runtime.jobs["job"], "shop", run, now + timedelta(hours=5, minutes=m)) for m in (58, 62)
        ]
    assert words == ["", "its last good cycle is older"]


def test_of_two_pauses_in_a_row_both_are_rests(job: Lab) -> None:
    with App(load(job.config_file)) as app:
        (run,) = app.ledger.runs()
        began = app.runtime.clock()
        for scope, name in (("job", "job"), ("target", "shop"), ("job", "job")):
            for hours, ends in ((0.5, 2), (2.1, 4)):
                app.ledger.decisions._clock = lambda hours=hours: began + timedelta(hours=hours)
                until_then = began + timedelta(hours=ends) if scope == "job" else None
                app.ledger.decisions.pause(scope, name, until_then, "x", (run.site,) if scope == "target" else ())
                if until_then is None:
                    app.ledger.decisions._clock = lambda ends=ends: began + timedelta(hours=ends)
                    app.ledger.decisions.resume(scope, name)
            app.ledger.decisions._clock = lambda: began + timedelta(hours=5)
            words = [
                why_late(app, app.runtime.jobs["job"], "shop", run, began + timedelta(hours=4, minutes=m))
                for m in (20, 26)
            ]
            # Unpaused: half an hour, then six minutes between the two, then what follows.
            assert words == ["", "its last good cycle is older"], scope


def test_the_evidence_names_what_has_not_arrived(job: Lab, bao: Bao) -> None:
    """It has no arrival that could be judged, and looks best to the auditor otherwise."""
    job.config["rules"] = [HOLD]
    job.config["jobs"]["job"]["objective"] = "1s"
    bao.put("app/x", v="2")
    assert job.run("sync").code == 6

    def answer() -> dict[str, str]:
        asked = job.run("report", "--evidence", "1d..").json["questions"]["q11"]["answer"]["objective"]["job"]
        assert asked["missed"] == 0
        return dict(asked["misses it now"])

    late = until(answer)["shop"]
    (entry,) = job.run("status", "--json").json["jobs"]
    assert entry["late"] in LATE and "over its objective: " in job.run("status").out
    assert late in LATE


@pytest.mark.parametrize("what", ["held", "refused", "a new secret that is held"])
def test_what_does_not_arrive_misses_it(job: Lab, bao: Bao, what: str) -> None:
    if what != "refused":
        job.config["rules"] = [HOLD]
    else:
        job.wix.fault("500", "PATCH", times=1000)
    bao.put("app/y" if "new" in what else "app/x", v="2")
    job.run("sync")
    assert told(job, timedelta(minutes=59)) == ""
    assert "1 of its secrets has waited for longer" in told(job, timedelta(minutes=61))


@pytest.mark.parametrize("what", ["denied", "frozen", "rolled back", "paused", "its window is shut", "nothing is new"])
def test_what_nobody_wants_sent_misses_nothing(job: Lab, bao: Bao, what: str) -> None:
    if what == "rolled back":
        bao.put("app/x", v="2")
        assert job.run("sync").code == 0
        assert job.run("rollback", "x", "--reason", "leaked", "--until", "9d").code == 0
    if what == "denied":
        job.config["rules"] = [{**HOLD, "then": "deny"}]
    if what == "frozen":
        assert job.run("state", "freeze", "x", "--until", "9d", "--reason", "x").code == 0
    if what == "its window is shut":
        job.config["jobs"]["job"]["windows"] = {"allow": closed()}
    if what == "paused":
        job.config["rules"] = [HOLD]
        bao.put("app/x", v="2")
        job.run("sync")
        assert job.run("pause", "job", "--reason", "x").code == 0
    if what != "nothing is new":
        bao.put("app/x", v="3")
    job.run("sync")
    assert told(job, timedelta(minutes=90)) == ""


@pytest.mark.parametrize("is_renamed", [False, True])
@pytest.mark.parametrize("how", ["frozen", "rolled back", "denied", "left out"])
def test_the_time_in_which_nobody_wanted_it_does_not_count_afterwards(
    job: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch, how: str, *, is_renamed: bool
) -> None:
    """Made in it, and held afterwards: its clock begins when somebody wants it. Of many all are asked for in one go."""
    monkeypatch.setattr("syncd.report.lateness.FEW", 0 if is_renamed else 50)
    bao.put("app/x", v="2")
    bao.put("app/z", v="1")
    assert job.run("sync").code == 0
    if how == "frozen":
        assert job.run("state", "freeze", "x", "--until", "9h", "--reason", "x").code == 0
    if how == "rolled back":
        assert job.run("rollback", "x", "--to", "1", "--until", "9h", "--reason", "x").code == 0
    (rule,) = job.config["jobs"]["job"]["secrets"]
    job.config |= {"rules": [{"id": "no", "name": "x", "then": "deny"}]} if how == "denied" else {}
    rule |= {"exclude": [f"{bao.mount}/app/x"]} if how == "left out" else {}
    bao.put("app/x", v="3")
    job.run("sync")
    rule.pop("exclude", None)
    job.config["rules"] = [HOLD]
    if is_renamed:
        job.config["jobs"] = {"payments": job.config["jobs"].pop("job")}
        job.config["rules"] = [HOLD | {"job": "payments"}]
    later = timedelta(hours=9, minutes=1)
    # Protections end by the slower of both clocks.
    job.wix.clock = job.site._clock = lambda: datetime.now(UTC) + later
    with machine_clock(job, later) as app:
        (name,) = app.runtime.jobs
        assert one_cycle(app, name).exit_code == 6
    assert told(job, timedelta(hours=9, minutes=58)) == "", "it is wanted for less than an hour"
    assert "1 of its secrets has waited for longer" in told(job, timedelta(hours=10, minutes=3))


def test_many_that_bring_no_version_hide_none_that_does(job: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.report.lateness.MOST", 3)
    for number in range(6):
        bao.put(f"app/n{number}", v="1")
    job.config["jobs"]["job"] |= {**DELETING, "guard": {"max_deletes": 0}}
    assert job.run("sync").code == 0
    for number in range(6):
        bao.remove(f"app/n{number}")
    assert job.run("sync").code == 6
    job.wix.fault("500", "PATCH", times=1000)
    bao.put("app/x", v="2")
    job.run("sync")
    assert told(job, timedelta(minutes=61)) == "1 of its secrets has waited for longer"


@pytest.mark.parametrize("what", ["a deletion", "a restore", "a deletion that is refused"])
def test_what_brings_no_new_version_misses_nothing(job: Lab, bao: Bao, what: str) -> None:
    bao.put("app/y", v="1")
    job.config["jobs"]["job"] |= DELETING
    assert job.run("sync").code == 0
    if what == "a restore":
        job.config["jobs"]["job"]["guard"] = {"max_updates": 1}
        for number in "23":
            bao.put("app/y", v=number)
            job.run("sync")
        changed_by_hand(job, "x")
    else:
        bao.remove("app/x")
    if what == "a deletion":
        job.config["jobs"]["job"]["guard"] = {"max_deletes": 0}
    if "refused" in what:
        job.wix.fault("500", "DELETE", times=1000)
    for _ in range(3):
        code = job.run("sync").code
    assert code in {5, 6} and job.statuses()["x"] in {"held", "pending"}, "it waits"
    waits_for_a_version = what == "a restore"  # of the other one, whose third version the limit keeps back
    assert told(job, timedelta(minutes=90)) == ("1 of its secrets has waited for longer" if waits_for_a_version else "")


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("how", "lost"),
    [
        ("its path is gone", "PATCH"),
        *(
            (how, lost)
            for how in ("its field is gone", "no rule selects it", "it is wanted")
            for lost in ("POST", "PATCH")
        ),
    ],
)
def test_what_is_not_known_and_not_wanted_misses_nothing(lab: Lab, bao: Bao, how: str, lost: str) -> None:
    lab.vault(bao)
    lab.site.options.may_read = False
    bao.put("app/x", u="1", **({"v": "1"} if lost == "PATCH" else {}))
    bao.put("app/y", u="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, objective="1h", **DELETING)
    assert lab.run("sync").code == 0
    bao.put("app/x", u="1", v="2")
    lab.wix.fault("late", lost, times=5)
    assert lab.run("sync").code in {1, 5}
    lab.wix.faults.clear()
    if how == "its path is gone":
        bao.remove("app/x")
    elif how == "its field is gone":
        bao.put("app/x", u="1")
    elif how == "no rule selects it":
        lab.config["jobs"]["job"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/x"]
    else:
        lab.wix.fault("late", "PATCH", times=50)
        lab.wix.fault("late", "POST", times=50)
    lab.run("sync")
    words = told(lab, timedelta(minutes=90))
    assert bool(words) is (how == "it is wanted"), (words, lab.statuses())


def test_what_keeps_it_back_may_change_and_a_release_may_come(job: Lab, bao: Bao) -> None:
    """It waits since its source made it, and not since the last that was said of it."""
    job.config["rules"] = [HOLD]
    bao.put("app/x", v="2")
    assert job.run("sync").code == 6
    (batch,) = job.run("held", "--json").json
    assert job.run("release", batch["batch"], "--reason", "x").code == 0
    with App(load(job.config_file)) as app:
        (problem,) = app.ledger.all_problems()
        later = replace(problem, kind="unverified", first_at=problem.first_at + timedelta(minutes=50))
        with app.ledger.lock(problem.site, holder="test", wait=timedelta(0)) as journal:
            journal.problems(problem.site, problem.job, [later])
    assert told(job, timedelta(minutes=58)) == ""
    assert "1 of its secrets has waited for longer" in told(job, timedelta(minutes=62))


def test_a_job_that_never_looked_yet_has_its_time(job: Lab) -> None:
    """Its first cycle fails: it has been tried since then, however often that comes again."""
    with App(load(job.config_file)) as app:
        (run,) = app.ledger.runs()
        first = run.started_at - timedelta(minutes=50)
        counts = json.dumps({"tried_since": first.isoformat()})
        never = replace(run, succeeded_at=None, counts=counts)
        of_job = app.runtime.jobs["job"]
        words = [why_late(app, of_job, "shop", never, first + timedelta(minutes=m)) for m in (59, 61)]
    assert words == ["", "its last good cycle is older"]


def test_what_was_tried_first_is_kept_until_it_looks(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, objective="1h")
    good = lab.config["sources"]["vault"]["address"]
    lab.config["sources"]["vault"]["address"] = "http://127.0.0.1:1"
    firsts = []
    for _ in range(3):
        assert lab.run("sync").code == 4
        with App(load(lab.config_file)) as app:
            (run,) = app.ledger.runs()
            assert why_late(app, app.runtime.jobs["job"], "shop", run, app.runtime.clock()) == ""
            firsts.append(run.good_since)
    assert firsts[0] == firsts[1] == firsts[2] < run.started_at
    lab.config["sources"]["vault"]["address"] = good
    assert lab.run("sync").code == 0
    with App(load(lab.config_file)) as app:
        (run,) = app.ledger.runs()
    assert run.good_since == run.succeeded_at


def test_a_job_that_could_not_look_misses_it(job: Lab) -> None:
    with App(load(job.config_file)) as app:
        (run,) = app.ledger.runs()
        now = app.runtime.clock()
        words = [why_late(app, app.runtime.jobs["job"], "shop", run, now + timedelta(minutes=m)) for m in (59, 61)]
    assert words == ["", "its last good cycle is older"]
