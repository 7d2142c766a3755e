"""What a kept plan, a rollback or a pause leaves out is told, and is due; what waits for the rate limit still needs its
consent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from syncd.reconcile.run_job import Run, sync_job
from syncd.sandbox.wix_site import Site
from tests.lab import Bao, Lab
from tests.support.clocks import one_cycle
from tests.support.policies import DELETING, closed

pytestmark = pytest.mark.kind


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in range(6):
        bao.put(f"app/s{number}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"}, **DELETING)
    assert lab.run("sync").code == 0
    return lab


def put_back(lab: Lab, bao: Bao) -> None:
    bao.put("app/s1", v="back")


def put_back_as_it_was(lab: Lab, bao: Bao) -> None:
    bao.put("app/s1", v="1")


def changed_at_wix(lab: Lab, bao: Bao) -> None:
    lab.site.update(lab.ids()["s1_v"], {"value": "somebody's"})


def paused(lab: Lab, bao: Bao) -> None:
    ledger = Ledger(sqlite_engine(lab.state), "another process", lab.state)
    ledger.decisions.pause("job", "job", datetime.now(UTC) + timedelta(hours=1), "stop")
    ledger.close()


def removed_its_neighbours(lab: Lab, bao: Bao) -> None:
    """The listing is not believed any more, so nothing is known to be gone."""
    for number in range(6):
        bao.remove(f"app/s{number}")


@pytest.mark.parametrize(
    "meanwhile",
    [put_back, put_back_as_it_was, changed_at_wix, paused, removed_its_neighbours],
    ids=lambda one: one.__name__,
)
def test_what_was_agreed_on_and_not_carried_out_is_no_success(
    job: Lab, bao: Bao, meanwhile: Callable[[Lab, Bao], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bao.put("app/s0", v="rotated")
    bao.remove("app/s1")
    plan, site_update, came = str(job.folder / "plan.json"), Site.update, list[bool]()
    assert job.run("plan", "--out", plan).code == 0

    def update(self: Site, secret_id: str, body: dict[str, object]) -> dict[str, object]:
        answer = site_update(self, secret_id, body)
        if not came:
            came.append(True)
            meanwhile(job, bao)
        return answer

    monkeypatch.setattr(Site, "update", update)
    monkeypatch.setattr("syncd.bootstrap.pauses.FRESH", 0.0)  # a pause is heard at once
    done = job.run("apply", plan)
    assert job.site.values()["s0_v"] == "rotated" and "s1_v" in job.site.values()
    assert done.code == (4 if meanwhile is removed_its_neighbours else 6) and "s1_v" in done.err + done.out, done


def test_what_was_all_carried_out_is_a_success(job: Lab, bao: Bao) -> None:
    bao.put("app/s0", v="rotated")
    bao.put("app/s2", v="1")
    bao.remove("app/s1")
    plan = str(job.folder / "plan.json")
    assert job.run("plan", "--out", plan).code == 0
    assert job.run("apply", plan).code == 0
    assert job.site.values()["s0_v"] == "rotated" and "s1_v" not in job.site.values()


def overdue(lab: Lab) -> None:
    with closing(sqlite3.connect(lab.state)) as database, database:
        two_hours = timedelta(hours=2) // timedelta(microseconds=1)
        database.execute(f"UPDATE syncd_runs SET started_at = started_at - {two_hours}")


def by_rollback(lab: Lab, bao: Bao) -> None:
    assert lab.run("rollback", "s5_v", "--reason", "leaked").code == 0


def by_its_end(lab: Lab, bao: Bao) -> None:
    by_rollback(lab, bao)
    assert lab.run("rollback", "s5_v", "--end", "--reason", "mended").code == 0


def by_a_kept_plan(lab: Lab, bao: Bao) -> None:
    plan = str(lab.folder / "plan.json")
    bao.put("app/s4", v="2")
    assert lab.run("plan", "--out", plan).code == 0
    bao.put("app/s0", v="2")
    assert lab.run("apply", plan).code == 0


def by_a_rollback_that_fails(lab: Lab, bao: Bao) -> None:
    lab.wix.fault("503", "PATCH", times=1000)
    assert lab.run("rollback", "s5_v", "--reason", "leaked").code == 5
    lab.wix.faults.clear()


def by_a_rollback_that_cannot_look(lab: Lab, bao: Bao) -> None:
    lab.wix.fault("503", "GET", times=1000)
    assert lab.run("rollback", "s5_v", "--reason", "leaked").code == 5
    lab.wix.faults.clear()


PARTS = [by_rollback, by_its_end, by_a_kept_plan, by_a_rollback_that_fails, by_a_rollback_that_cannot_look]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_a_part_of_a_run_leaves_the_rest_due(job: Lab, bao: Bao, part: Callable[[Lab, Bao], None]) -> None:
    bao.put("app/s5", v="2")
    assert job.run("sync").code == 0
    overdue(job)
    if part is not by_a_kept_plan:
        bao.put("app/s0", v="2")
        bao.put("app/new", v="new")
    part(job, bao)
    assert job.site.values()["s0_v"] == "1"
    due = job.run("status", "--json").json["jobs"][0]["next_run_at"]
    assert datetime.fromisoformat(due) <= datetime.now(UTC)
    job.run("sync", "--due")
    assert job.site.values()["s0_v"] == "2"
    assert "no job is due" in job.run("sync", "--due").err


def test_a_rollback_leaves_a_name_that_passes_on_to_its_window(job: Lab, bao: Bao) -> None:
    """The same path gives the name by another field now: that is another secret, and waits for the rollback's end."""
    path = f"{bao.mount}/app/s0"
    for number in (1, 2):
        bao.put("app/s0", v=f"v{number}", w=f"w{number}")
        job.config["jobs"]["job"]["secrets"] = [
            {"path": path, "field": "v", "name": "KEEP"}, {"path": path, "field": "v", "name": "PASSED"},
        ]  # fmt: skip
        job.run("sync")
    job.config["jobs"]["job"]["secrets"][1]["field"] = "w"
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[(datetime.now(UTC) + timedelta(days=3)).weekday()]
    job.config["jobs"]["job"]["windows"] = {"allow": [f"{day} 01:00-02:00 UTC"]}
    done = job.run("rollback", "KEEP", "--reason", "leaked")
    assert done.code == 1 and "makes of it is not known: it is rolled back" in done.out
    assert job.site.values()["KEEP"] == "v1" and job.site.values()["PASSED"] == "v2"
    del job.config["jobs"]["job"]["windows"]
    assert job.run("rollback", "KEEP", "--end", "--reason", "mended").code == 0
    assert job.run("sync").code == 0
    assert job.site.values()["KEEP"] == "v2" and job.site.values()["PASSED"] == "w2"


@pytest.mark.parametrize("way", ["changed", "renamed", "described"])
def test_a_rollback_leaves_what_somebody_changed_to_its_window(job: Lab, bao: Bao, way: str) -> None:
    """A pin is no part of a rollback, and a change by hand no other version: both wait, as in any run."""
    path = f"{bao.mount}/app/s0"
    bao.put("app/s0", v="2")
    job.config["jobs"]["job"]["secrets"] = [
        {"path": path, "field": "v", "name": "KEEP"}, {"path": path, "field": "v", "name": "PIN", "version": 2},
    ]  # fmt: skip
    job.run("sync")
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[(datetime.now(UTC) + timedelta(days=3)).weekday()]
    job.config["jobs"]["job"]["windows"] = {"allow": [f"{day} 01:00-02:00 UTC"]}
    change = {"changed": {"value": "theirs"}, "renamed": {"name": "THEIRS"}, "described": {"description": "theirs"}}[
        way
    ]
    secret_id = job.ids()["PIN"]
    job.site.update(secret_id, change)
    job.site.secrets[secret_id] = replace(
        job.site.secrets[secret_id], updated=job.site.secrets[secret_id].updated + timedelta(seconds=30)
    )
    before = job.site.secrets[secret_id]
    job.run("rollback", "KEEP", "--reason", "leaked")
    assert job.site.values()["KEEP"] == "1" and job.site.secrets[secret_id] == before


def test_a_rollback_of_what_is_rolled_back_undoes_no_change_by_hand(job: Lab, bao: Bao) -> None:
    """It brings no other version, and so what somebody did since waits for the window."""
    bao.put("app/s0", v="2")
    assert job.run("sync").code == 0
    job.config["jobs"]["job"]["windows"] = {"allow": closed()}
    assert job.run("rollback", "s0_v", "--to", "1", "--reason", "leaked").code == 0
    secret_id = job.ids()["s0_v"]
    job.site.update(secret_id, {"value": "theirs"})
    changed = job.site.secrets[secret_id]
    job.site.secrets[secret_id] = replace(changed, updated=changed.updated + timedelta(seconds=30))
    job.run("rollback", "s0_v", "--to", "1", "--reason", "leaked again")
    assert job.site.values()["s0_v"] == "theirs"


def test_new_names_of_a_rollback_keep_to_the_window_while_they_wait(job: Lab, bao: Bao) -> None:
    """The window shuts while they wait for the rate limit; what is rolled back goes all the same."""
    bao.put("app/s0", v="2", w="2", x="2", y="2", z="2")
    bao.put("app/s0", v="3", w="2", x="2", y="2", z="2")
    now = datetime.now(UTC)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[now.weekday()]
    job.config["jobs"]["job"]["windows"] = {"allow": [f"{day} 00:00-24:00 UTC"]}
    job.config["targets"]["shop"]["rate_limit"] = "3/3s"
    job.run("rollback", "nothing")  # writes the configuration
    began, paths = job.writes(), frozenset({f"{bao.mount}/app/s0"})

    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(days=2 if job.writes() > began else 0)

    with App(load(job.config_file), Surroundings(clock=clock)) as app:
        run = Run(holder="test", wait=timedelta(0), outside_window=True, only_paths=paths)
        sync_job(app.runtime, app.runtime.jobs["job"], run)
    new = set(job.site.values()) - {f"s{number}_v" for number in range(6)}
    assert len(new) < 4 and job.site.values()["s0_v"] == "3"


@pytest.mark.parametrize("scope", [["job"], ["--target", "shop"], ["--all"]])
def test_a_deletion_by_command_hears_a_pause_while_it_waits(
    job: Lab, bao: Bao, scope: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job.config["jobs"]["job"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/s0"]
    listing, came = Site.listing, list[bool]()

    def listed(self: Site) -> dict[str, object]:
        # It has looked; from here on it waits for the rate limit, and meanwhile the pause comes.
        if not came:
            came.append(True)
            ledger = Ledger(sqlite_engine(job.state), "another process", job.state)
            kind, name = {1: ("job", "job") if scope == ["job"] else ("all", ""), 2: ("target", "shop")}[len(scope)]
            ledger.decisions.pause(kind, name, None, "stop", (job.site_id,) if kind == "target" else ())
            ledger.close()
        return listing(self)

    monkeypatch.setattr(Site, "listing", listed)
    monkeypatch.setattr("syncd.bootstrap.pauses.FRESH", 0.0)  # a pause is heard at once
    done = job.run("state", "forget", "s0_v", "--delete", "--reason", "agreed")
    assert done.code == 6 and "s0_v" in job.site.values() and "paused" in done.err, done
    assert job.run("audit", "verify").code == 0
    assert job.run("resume", *scope).code == 0
    job.run("sync")
    assert "s0_v" not in job.site.values(), "the job itself deletes what it gave up"


@pytest.mark.parametrize("way", ["window", "release", "one release of two", "grant"])
def test_what_waits_for_the_rate_limit_needs_its_consent_until_it_goes(lab: Lab, bao: Bao, way: str) -> None:
    """Two go at once, the others wait seconds for their place, and meanwhile what allowed them ends."""
    lab.vault(bao)
    names = [f"s{number}_v" for number in range(6)]
    for name in names:
        bao.put(f"app/{name[:2]}", v="ours")
        if way == "grant":
            lab.site.create({"name": name, "value": "theirs"})
    now, began = datetime.now(UTC), lab.writes()
    more: dict[str, Any] = {}
    if way == "window":
        day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[now.weekday()]
        more["windows"] = {"allow": [f"{day} 00:00-24:00 UTC"]}
    if "release" in way:
        lab.config["rules"] = [
            {"id": rule, "name": "*", "then": "hold"} for rule in ("r", "s")[: 2 if "two" in way else 1]
        ]
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **more)
    if way == "grant":
        lab.run("sync")
        for name in names:
            assert lab.run("state", "adopt", name, "--reason", "agreed").code == 0
    if "release" in way:
        lab.run("sync")
        (batch,) = lab.run("held", "--json").json
        assert lab.run("release", batch["batch"], "--reason", "agreed").code == 0
    if "two" in way:
        lab.run("sync")
        (second,) = (row for row in lab.run("held", "--json").json if row["batch"] != batch["batch"])
        assert lab.run("release", second["batch"], "--reason", "agreed").code == 0
        # The first one was given a day before, but for a minute: it ends meanwhile, and the second does not.
        with closing(sqlite3.connect(lab.state)) as database, database:
            day = (timedelta(hours=23, minutes=59)) // timedelta(microseconds=1)
            database.execute(
                f"UPDATE syncd_held SET released_at = released_at - {day} WHERE batch = ?", [batch["batch"]]
            )
    lab.config["targets"]["shop"]["rate_limit"] = "3/3s"

    def clock() -> datetime:
        # A day passes with the first request: the window is shut then, the release and the grant have run out.
        after = timedelta(minutes=2) if "two" in way else timedelta(days=2)
        return datetime.now(UTC) + (after if lab.writes() > began else timedelta(0))

    with App(load(lab.config_file), Surroundings(clock=clock)) as app:
        one_cycle(app)
    sent = [name for name, value in lab.site.values().items() if value == "ours"]
    assert 1 <= len(sent) <= 3, sent
    assert lab.run("audit", "verify").code == 0


def cycle_with_a_decision(lab: Lab, decide: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """One cycle, in which somebody decides while the site takes the first update; it is heard at once."""
    site_update, decided = Site.update, list[bool]()

    def update(self: Site, secret_id: str, body: dict[str, object]) -> dict[str, object]:
        answer = site_update(self, secret_id, body)
        if not decided:
            decided.append(True)
            decide()
        return answer

    monkeypatch.setattr(Site, "update", update)
    monkeypatch.setattr("syncd.reconcile.consent.FRESH", 0.0)
    with App(load(lab.config_file)) as app:
        one_cycle(app)


@pytest.mark.parametrize("decision", ["ended", "taken back"])
def test_what_waits_for_the_rate_limit_hears_of_a_rollback(
    lab: Lab, bao: Bao, decision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person ends it, or takes back the version that is on its way: the rest of that goes nowhere any more."""
    lab.vault(bao)
    fields, key = [f"f{number}" for number in range(9)], ("vault", f"{bao.mount}/app/s")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/s", "name": "{field}"})
    for value in ("first", "second"):
        bao.put("app/s", **dict.fromkeys(fields, value))
        assert lab.run("sync").code == 0
    lab.wix.fault("503", "PATCH", times=1000)
    assert lab.run("rollback", "f0", "--reason", "leaked").code == 5
    ledger = Ledger(sqlite_engine(lab.state), "another process", lab.state)
    rollback = ledger.decisions.rollbacks()[key]
    if decision == "ended":
        lab.config["jobs"]["job"]["windows"] = {"allow": closed()}
    else:
        ledger.decisions.end_rollbacks([key], [])
        bao.put("app/s", **dict.fromkeys(fields, "third"))
    lab.wix.faults.clear()
    lab.config["targets"]["shop"]["rate_limit"] = "3/3s"
    lab.run("schema")  # writes the configuration
    decisions = ledger.decisions
    end, again = lambda: decisions.end_rollbacks([key], []), lambda: decisions.roll_back([rollback], [], [])
    cycle_with_a_decision(lab, end if decision == "ended" else again, monkeypatch)
    ledger.close()
    undone = [value for value in lab.site.values().values() if value == ("first" if decision == "ended" else "third")]
    assert len(undone) <= 4, lab.site.values()


def test_a_name_passes_to_nobody_once_what_had_it_is_taken_back(
    lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fields were left out by mistake, another path has them, and a person rolls it back while the rest waits."""
    lab.vault(bao)
    fields, key = [f"f{number}" for number in range(9)], ("vault", f"{bao.mount}/app/a")
    bao.put("app/a", keep="1", **dict.fromkeys(fields, "of a"))
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{field}"}, **DELETING)
    assert lab.run("sync").code == 0
    bao.put("app/a", keep="2", **dict.fromkeys(fields, "of a"))
    assert lab.run("sync").code == 0
    assert lab.run("rollback", f"vault:{key[1]}", "--reason", "to be kept for later").code == 0
    ledger = Ledger(sqlite_engine(lab.state), "another process", lab.state)
    rollback = ledger.decisions.rollbacks()[key]
    assert lab.run("rollback", f"vault:{key[1]}", "--end", "--reason", "for now").code == 0
    bao.put("app/a", keep="3")
    bao.put("app/b", **dict.fromkeys(fields, "of b"))
    lab.config["targets"]["shop"]["rate_limit"] = "3/3s"
    lab.run("schema")  # writes the configuration
    cycle_with_a_decision(lab, lambda: ledger.decisions.roll_back([rollback], [], []), monkeypatch)
    ledger.close()
    assert 1 <= list(lab.site.values().values()).count("of b") <= 4, lab.site.values()
