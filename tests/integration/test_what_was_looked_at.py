"""What a cycle saw counts as seen, though something beside it failed: its secrets are not `behind` for that."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest

from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from syncd.reconcile.observe import observation_cache
from syncd.reconcile.run_job import Run, sync_job
from syncd.sandbox.wix_site import Refusal
from tests.chaos.peers import Answer
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock, one_cycle
from tests.support.fronts import job_behind, passing
from tests.support.waiting import until

LONG_AGO = timedelta(hours=-1)
"""Many intervals of the job, which runs each minute."""


def minutely(lab: Lab, bao: Bao) -> None:
    """A job of each minute, of two folders."""
    rules = [{"path": f"{bao.mount}/{folder}/*", "field": "v", "name": "{basename}"} for folder in ("app", "other")]
    lab.job("job", "vault", *rules, schedule={"every": "1m"})
    for path in ("app/a", "app/b", "app/c", "other/d"):
        bao.put(path, v="1")


def on_two_sites(lab: Lab, bao: Bao) -> str:
    """A job without a schedule on two sites. Returns: the second one."""
    lab.vault(bao)
    other = str(uuid.uuid4())
    lab.secret_file("key-two", lab.wix.issue_key(other))
    lab.config["targets"]["two"] = lab.target(other, "key-two")
    rule = {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"}
    lab.job("job", "vault", rule, targets=["shop", "two"])
    return other


@pytest.mark.sweep
@pytest.mark.parametrize(
    "fault", ["denied path", "denied folder", "bad value", "conflict", "refused at Wix", "nonsense"]
)
def test_what_fails_makes_nothing_untrue_of_what_was_seen(lab: Lab, bao: Bao, fault: str) -> None:
    faulty = {
        "denied path": ("data/app/c", Answer({"errors": ["permission denied"]}, 403)),
        "denied folder": ("metadata/other", Answer({"errors": ["permission denied"]}, 403)),
        "nonsense": ("data/app/c", Answer("no JSON")),
    }
    real, faults = passing(bao, lambda _method, _path: None), list[tuple[str, Answer]]()

    def front(method: str, path: str, sent: bytes) -> Answer:
        asked = path.replace("detailed-metadata", "metadata").removeprefix(f"/v1/{bao.mount}/")
        return next((answer for place, answer in faults if asked.startswith(place)), None) or real(method, path, sent)

    with job_behind(lab, bao, front):
        minutely(lab, bao)
        with machine_clock(lab, LONG_AGO) as app:
            assert one_cycle(app).exit_code == 0
        faults += [faulty[fault]] if fault in faulty else []
        bao.put("app/c", v="x" * 5000 if fault == "bad value" else "2")
        if fault == "conflict":
            bao.put("other/c", v="another")
        elif fault == "refused at Wix":
            lab.wix.fault("500", "PATCH", times=9)
        assert lab.run("sync").code not in {0, 70}
        told = lab.statuses()
        assert {told["a"], told["b"]} == {"synced"}, told
        # A folder that cannot be listed says nothing of c, and a second claim nothing of the first.
        assert told["c"] != "synced" or fault in {"denied folder", "conflict"}, told
        assert lab.run("where", f"{bao.mount}/app/b").code == 0
        assert "synced" in lab.run("explain", "b").out


@pytest.mark.parametrize("away", ["source", "site"])
def test_what_nobody_saw_for_long_is_behind(lab: Lab, bao: Bao, away: str) -> None:
    lab.vault(bao)
    minutely(lab, bao)
    with machine_clock(lab, LONG_AGO) as app:
        assert one_cycle(app).exit_code == 0
    if away == "source":
        lab.config["sources"]["vault"]["address"] = "http://127.0.0.1:9"
    else:
        lab.wix.fault("401", times=99)
    assert lab.run("sync").code in {4, 5}
    assert set(lab.statuses().values()) == {"behind"}
    assert lab.run("where", f"{bao.mount}/app/b").code == 1


@pytest.mark.parametrize("refused", ["401", "403", "500"])
def test_nothing_stays_synced_where_no_look_ever_came_to_its_end(
    lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """The first cycle creates a secret, and its site refuses every listing after that."""
    lab.vault(bao)
    lab.job(
        "job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"}, schedule={"every": "1m"}
    )
    for name in ("x", "z"):
        bao.put(f"app/{name}", v="1")
    honest = lab.site.create

    def create(body: dict[str, str]) -> object:
        if body["name"] != "z":
            return honest(body)
        lab.wix.fault(refused, "GET", times=10_000)
        raise Refusal(503, "UNAVAILABLE")

    monkeypatch.setattr(lab.site, "create", create)
    with machine_clock(lab, LONG_AGO) as app:
        one_cycle(app)
    assert lab.site.values() == {"x": "1"}
    bao.put("app/x", v="2")
    assert lab.run("sync").code not in {0, 70}
    assert lab.statuses()["x"] == "behind" and lab.run("where", f"{bao.mount}/app/x").code == 1


@pytest.mark.parametrize("ago", [LONG_AGO, timedelta(0)])
def test_news_that_another_site_brought_make_nothing_synced_where_no_look_ever_ended(
    lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch, ago: timedelta
) -> None:
    """A job without a schedule: only the other site's cycle tells of the newer version."""
    on_two_sites(lab, bao)
    lab.config["jobs"]["job"].pop("schedule", None)
    for name in ("x", "z"):
        bao.put(f"app/{name}", v="1")
    honest, create_one, listings = lab.site.listing, lab.site.create, list[int]()

    def listing() -> object:
        listings.append(1)
        if len(listings) > 1:
            raise Refusal(401, "UNAUTHENTICATED")
        return honest()

    def create(body: dict[str, str]) -> object:
        if body["name"] == "z":
            raise Refusal(503, "UNAVAILABLE")
        return create_one(body)

    monkeypatch.setattr(lab.site, "listing", listing)
    monkeypatch.setattr(lab.site, "create", create)
    with machine_clock(lab, ago) as app:
        sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="test", wait=timedelta(0)))
    # It came, and no look at its site ever came to its end.
    rows = [row for row in lab.run("state", "list", "--target", "shop", "--json").json if row["name"] == "x"]
    assert [row["version"] for row in rows] == ["1"]
    bao.put("app/x", v="2")
    assert lab.run("sync").code == 5
    rows = lab.run("state", "list", "--target", "shop", "--json").json
    assert [row["status"] for row in rows if row["name"] == "x"] == ["behind"]


def test_what_comes_after_a_look_and_before_its_cycle_has_ended_was_not_seen(
    lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One site is slow to take a new secret; the other one, which another process holds at first, looks later."""
    monkeypatch.setattr(observation_cache, "YOUNG", 0.0)
    other = on_two_sites(lab, bao)
    bao.put("app/x", v="1")
    assert lab.run("sync").code == 0
    bao.put("app/new", v="n")
    honest, goes_on, is_held = lab.site.create, threading.Event(), threading.Event()

    def create(body: dict[str, str]) -> object:
        bao.put("app/x", v="2")
        goes_on.set()
        until(lambda: lab.wix.site(other).values()["x"] == "2")
        return honest(body)

    def hold() -> None:
        ledger = Ledger(sqlite_engine(lab.state), "a command", lab.state)
        with ledger.lock(other, holder="a command", wait=timedelta(seconds=10)):
            is_held.set()
            goes_on.wait(30)
        ledger.close()

    monkeypatch.setattr(lab.site, "create", create)
    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(30)
    lab.run("sync")
    holder.join()
    rows = [row for row in lab.run("state", "list", "--json").json if row["name"] == "x"]
    assert {row["target"]: (row["version"], row["status"]) for row in rows} == {
        "shop": ("1", "behind"),
        "two": ("2", "synced"),
    }
    monkeypatch.undo()
    assert lab.run("sync").code == 0 and set(lab.statuses().values()) == {"synced"}


def test_status_says_that_nobody_has_looked_for_long(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    minutely(lab, bao)
    with machine_clock(lab, LONG_AGO) as app:
        assert one_cycle(app).exit_code == 0
    said = lab.run("status").out
    assert "4 behind" in said and "since 1h ago" in said and "At once: syncd sync job" in said
    assert lab.run("sync").code == 0
    assert "no cycle has looked" not in lab.run("status").out


def test_status_says_where_news_passed_by(lab: Lab, bao: Bao) -> None:
    """Another job saw that the source has something new, and this one has no schedule."""
    on_two_sites(lab, bao)
    bao.put("app/x", v="1")
    rule = {"path": f"{bao.mount}/app/*", "field": "v", "name": "OTHER_{basename}"}
    lab.job("other", "vault", rule, targets=["two"])
    assert lab.run("sync").code == 0
    bao.put("app/x", v="2")
    lab.config["targets"]["shop"]["base_url"] = "http://127.0.0.1:9"
    lab.run("sync")
    by_target = {line.split()[1]: line for line in lab.run("status").out.splitlines() if line.startswith("job ")}
    assert "1 behind" in by_target["shop"] and "1 synced" in by_target["two"]
    assert "no cycle has looked" not in by_target["two"]


def test_status_of_a_job_that_left_its_target_names_no_site_to_look_at(lab: Lab, bao: Bao) -> None:
    on_two_sites(lab, bao)
    bao.put("app/x", v="1")
    lab.config["jobs"]["job"]["schedule"] = {"every": "1m"}
    with machine_clock(lab, LONG_AGO) as app:
        sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="test", wait=timedelta(0)))
    lab.config["jobs"]["job"]["targets"] = ["shop"]
    del lab.config["targets"]["two"]
    said = lab.run("status").out
    assert "left over" in said and said.count("no cycle has looked") == 1
