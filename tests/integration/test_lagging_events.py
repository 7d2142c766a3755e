"""An event comes before each server has what it tells of: it is not spent before that arrived."""

from __future__ import annotations

import signal
import sqlite3
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.ledger.engine import BUSY_SECONDS, sqlite_engine
from syncd.ledger.store import Ledger
from syncd.reconcile.observe.observation_cache import YOUNG
from tests.chaos.peers import Answer
from tests.lab import Bao, Lab
from tests.support.daemon import ask
from tests.support.fronts import job_behind, passing
from tests.support.lagging import Reads, Servers
from tests.support.waiting import until
from tests.support.woken import line, woken

pytestmark = pytest.mark.kind

ALL = dict.fromkeys(("listing", "metadata", "data"), 0)
"""Each way of asking is answered as it was at the moment that was remembered first."""


def test_an_event_is_not_spent_before_what_it_named_was_read(lab: Lab, bao: Bao) -> None:
    """What is listed is of now, what is read is not."""
    reads = Reads(bao)
    bao.put("app/x", v="one")
    with job_behind(lab, bao, reads), woken(lab, bao) as event:
        until(lambda: lab.site.values() == {"x": "one"})
        reads.remember("app/x")
        bao.put("app/x", v="two")
        reads.lags = True
        assert event("x") == 202
        until(lambda: reads.asked > 1)
        assert lab.site.values() == {"x": "one"}
        reads.lags = False
        until(lambda: lab.site.values() == {"x": "two"}, 15)


@pytest.mark.sweep
@pytest.mark.parametrize("lags", [("listing",), ("listing", "metadata"), ("listing", "metadata", "data")])
@pytest.mark.parametrize("way", ["new version", "made anew", "new path", "deep rule", "two jobs"])
def test_an_event_is_not_spent_before_it_is_listed(lab: Lab, bao: Bao, lags: tuple[str, ...], way: str) -> None:
    """The usual lag: a standby has nothing of it yet, in whatever way it is asked."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        if way == "deep rule":
            lab.job("job", "vault", {"path": f"{bao.mount}/**", "field": "v", "name": "{basename}"})
        bao.put("app/a", v="a")
        if way != "new path":
            bao.put("app/x", v="one")
        if way == "two jobs":
            lab.config["jobs"]["job"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/a"]
            rule = {"path": f"{bao.mount}/app/*", "field": "v", "name": "other_{basename}"}
            lab.job("other", "vault", rule, schedule={"every": "1h"})
        with woken(lab, bao) as event:
            until(lambda: len(lab.site.values()) == (3 if way == "two jobs" else 1 if way == "new path" else 2))
            before = lab.site.values()
            servers.remember()
            if way == "made anew":
                bao.remove("app/x")
            bao.put("app/x", v="two")
            servers.of = dict.fromkeys(lags, 0)
            asked = servers.looks
            if way == "made anew":
                assert event("x", deleted=True) == 202
            assert event("x", version={"new version": 2, "made anew": 1}.get(way)) == 202
            until(lambda: servers.looks > asked + 1 or lab.site.values() != before)
            servers.of = {}
            until(lambda: lab.site.values().get("x") == "two", 20)
            if way == "two jobs":
                until(lambda: lab.site.values().get("other_x") == "two", 20)


def test_what_an_event_names_in_vain_is_looked_for_no_longer_than_a_minute(lab: Lab, bao: Bao) -> None:
    """A line that comes twice, or after the schedule, tells of nothing new."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        bao.put("app/x", v="one")
        with woken(lab, bao) as event:
            until(lambda: lab.site.values() == {"x": "one"})
            servers.looks = 0
            assert event("x") == 202
            until(lambda: servers.looks >= 2, 15)
            assert event("x") == 202 and servers.looks <= 4, "ever more rarely"


def test_a_site_that_rests_holds_up_no_look_for_another(lab: Lab, bao: Bao) -> None:
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        other = str(uuid.uuid4())
        lab.secret_file("key-two", lab.wix.issue_key(other))
        lab.config["targets"]["two"] = lab.target(other, "key-two")
        lab.config["jobs"]["job"]["targets"] = ["shop", "two"]
        bao.put("app/x", v="one")
        assert lab.run("sync").code == 0
        assert lab.run("pause", "--target", "two", "--until", "2h", "--reason", "launch").code == 0
        servers.looks = 0
        with woken(lab, bao) as event:
            until(lambda: servers.looks)
            servers.remember()
            bao.put("app/x", v="two")
            servers.of = ALL
            asked = servers.looks
            assert event("x", version=2) == 202
            until(lambda: servers.looks > asked + 1)
            servers.of = {}
            until(lambda: lab.site.values() == {"x": "two"}, 20)
            assert lab.wix.site(other).values() == {"x": "one"}


@pytest.mark.parametrize("tells", [True, False])
def test_an_event_is_not_spent_by_a_version_in_between(lab: Lab, bao: Bao, *, tells: bool) -> None:
    """Two writes in a moment, and the standby has the first."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        bao.put("app/x", v="one")
        with woken(lab, bao) as event:
            until(lambda: lab.site.values() == {"x": "one"})
            bao.put("app/x", v="two")
            servers.remember()
            bao.put("app/x", v="three")
            servers.of = ALL
            assert event("x", version=2 if tells else None) == 202
            assert event("x", version=3 if tells else None) == 202
            until(lambda: lab.site.values() == {"x": "two"})
            servers.of = {}
            until(lambda: lab.site.values() == {"x": "three"}, 20)


@pytest.mark.sweep
@pytest.mark.parametrize("folder", ["data", "metadata", "undelete"])
def test_a_folder_that_is_called_like_a_call_is_one(lab: Lab, bao: Bao, folder: str) -> None:
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        lab.job("job", "vault", {"path": f"{bao.mount}/**", "field": "v", "name": "{path}"})
        names = ("x", f"{folder}/x")
        for name in names:
            bao.put(f"app/{name}", v="one")
        with woken(lab, bao) as event:
            until(lambda: len(lab.site.values()) == 2)
            servers.asked_for |= {("GET", f"/v1/{bao.mount}/{kind}/app/{folder}/x") for kind in ("data", "metadata")}
            servers.remember()
            for name in names:
                bao.put(f"app/{name}", v="two")
            servers.of = ALL
            asked = servers.looks
            assert event(*names) == 202
            until(lambda: servers.looks > asked + 1)
            servers.of = {}
            until(lambda: set(lab.site.values().values()) == {"two"}, 20)


@pytest.mark.parametrize("lags", [("listing", "metadata", "data"), ("data",)])
def test_what_is_looked_for_outlasts_a_stop(lab: Lab, bao: Bao, lags: tuple[str, ...]) -> None:
    """A rolling update within the lag: whoever works next goes on looking."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        bao.put("app/x", v="one")
        with woken(lab, bao) as event:
            until(lambda: lab.site.values() == {"x": "one"})
            servers.remember()
            bao.put("app/x", v="two")
            servers.of = dict.fromkeys(lags, 0)
            asked = servers.looks
            assert event("x", version=2) == 202
            until(lambda: servers.looks > asked)
        with App(load(lab.config_file)) as app:
            (wish,) = app.ledger.wakeups.take()
            assert wish.expected == ((None, f"{bao.mount}/app/x", 2),)
            app.ledger.wakeups.put(wish)
        with woken(lab, bao):
            asked = servers.looks
            until(lambda: servers.looks > asked + 1)
            assert lab.site.values() == {"x": "one"}
            servers.of = {}
            until(lambda: lab.site.values() == {"x": "two"}, 20)


@pytest.mark.sweep
@pytest.mark.parametrize("beside", ["a pin", "another job"])
@pytest.mark.parametrize("tells", [True, False])
def test_another_taker_of_a_path_spends_no_event(lab: Lab, bao: Bao, beside: str, *, tells: bool) -> None:
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        bao.put("app/x", v="one")
        rule = {"path": f"{bao.mount}/app/x", "field": "v", "name": "other"}
        if beside == "a pin":
            lab.config["jobs"]["job"]["secrets"].append({**rule, "version": 1})
        else:
            lab.job("other", "vault", rule, schedule={"every": "1h"})
        with woken(lab, bao) as event:
            until(lambda: len(lab.site.values()) == 2)
            bao.put("app/x", v="two")
            servers.remember()
            bao.put("app/x", v="three")
            servers.of = ALL
            for number in (2, 3):
                assert event("x", version=number if tells else None) == 202
            until(lambda: lab.site.values()["x"] == "two")
            servers.of = {}
            until(lambda: lab.site.values()["x"] == "three", 25)
            if beside == "another job":
                until(lambda: lab.site.values()["other"] == "three", 25)


@pytest.mark.parametrize("remembered", [1, 2])
def test_a_pin_spends_no_event_of_what_a_server_has_in_an_older_version(lab: Lab, bao: Bao, remembered: int) -> None:
    """What is older than what was seen is not believed: only the pinned version was read."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        pinned = {"path": f"{bao.mount}/app/x", "field": "v", "name": "pinned", "version": 1}
        lab.config["jobs"]["job"]["secrets"].append(pinned)
        bao.put("app/x", v="one")
        assert lab.run("sync").code == 0  # so that what is listed is remembered as well
        servers.asked_for.add(("GET", f"/v1/{bao.mount}/data/app/x?version=1"))
        for number, value in ((2, "two"), (3, "three")):
            if number > remembered:
                servers.remember()
            bao.put("app/x", v=value)
        with woken(lab, bao) as event:
            until(lambda: lab.site.values() == {"x": "three", "pinned": "one"})
            bao.put("app/x", v="four")
            servers.of = ALL
            looked = event.ends_a_run(lab)
            assert event("x", version=4) == 202
            until(looked)
            assert lab.site.values()["x"] == "three"
            servers.of = {}
            until(lambda: lab.site.values() == {"x": "four", "pinned": "one"}, 20)


@pytest.mark.sweep
@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("order", [("shop", "two"), ("two", "shop")])
def test_a_site_that_was_looked_at_later_spends_no_event_of_another(
    lab: Lab, bao: Bao, order: tuple[str, str], *, tells: bool
) -> None:
    """Another process holds one of the sites until the lag is over."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        other = str(uuid.uuid4())
        lab.secret_file("key-two", lab.wix.issue_key(other))
        lab.config["targets"]["two"] = lab.target(other, "key-two")
        lab.config["jobs"]["job"]["targets"] = list(order)
        bao.put("app/x", v="one")
        with woken(lab, bao) as event:
            until(lambda: lab.site.values() == lab.wix.site(other).values() == {"x": "one"})
            servers.remember()
            bao.put("app/x", v="two")
            servers.of = ALL
            ledger = Ledger(sqlite_engine(lab.state), "a command", lab.state)
            with ledger.lock(other, holder="a command", wait=timedelta(seconds=10)):
                assert event("x", version=2 if tells else None) == 202
                # The second site is to be looked at anew, not to share the first one's look.
                old = time.monotonic() + YOUNG + 2
                until(lambda: time.monotonic() > old)
                servers.of = {}
            ledger.close()
            until(lambda: lab.site.values() == lab.wix.site(other).values() == {"x": "two"}, 25)


@pytest.mark.sweep
@pytest.mark.parametrize("tells", [False, True])
def test_a_later_run_that_shares_an_earlier_look_spends_no_event(lab: Lab, bao: Bao, *, tells: bool) -> None:
    """The other job is at work when the event comes, begins some moments later, and looks at nothing anew."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        lab.config["jobs"]["job"]["secrets"][0]["path"] = f"{bao.mount}/app/x"
        rule = {"path": f"{bao.mount}/app/*", "field": "v", "name": "other_{basename}"}
        lab.job("other", "vault", rule, schedule={"every": "1h"})
        bao.put("app/x", v="one")
        bao.put("app/b", v="b")
        with woken(lab, bao) as event:
            until(lambda: len(lab.site.values()) == 3)
            lab.site.options.latency = 0.7
            bao.put("app/b", v="b2")
            assert event("b", version=2) == 202
            bao.put("app/x", v="two")
            servers.remember()
            bao.put("app/x", v="three")
            servers.of = ALL
            for number in (2, 3):
                assert event("x", version=number if tells else None) == 202
            until(lambda: lab.site.values()["x"] == lab.site.values()["other_x"] == "two", 25)
            lab.site.options.latency = 0.0
            servers.of = {}
            until(lambda: lab.site.values()["x"] == lab.site.values()["other_x"] == "three", 30)


@pytest.mark.sweep
@pytest.mark.parametrize("folder", ["metadata", "data", "delete", "app"])
@pytest.mark.parametrize("rule", ["**", "{}/*", "{}/x"])
def test_a_folder_of_kv_v1_that_is_called_like_a_call_is_one(lab: Lab, bao: Bao, folder: str, rule: str) -> None:
    mount, kv = f"{bao.mount}-one", bao.root.secrets.kv.v1
    bao.root.sys.enable_secrets_engine("kv", path=mount, options={"version": "1"})
    kv.create_or_update_secret(f"{folder}/x", {"v": "one"}, mount_point=mount)
    real, then, asked = passing(bao, lambda _method, _path: None), dict[str, Answer](), list[str]()

    def lagging(method: str, path: str, sent: bytes) -> Answer:
        asked.append(path)
        return then[path] if method == "GET" and path in then else real(method, path, sent)

    with job_behind(lab, bao, lagging):
        place = {"path": f"{mount}/{rule.format(folder)}", "field": "v", "name": "{basename}"}
        lab.job("job", "vault", place, schedule={"every": "1h"})
        with woken(lab, bao):
            until(lambda: lab.site.values() == {"x": "one"})
            read = f"/v1/{mount}/{folder}/x"
            then[read] = real("GET", read, b"")
            kv.create_or_update_secret(f"{folder}/x", {"v": "two"}, mount_point=mount)
            asked.clear()
            url = f"http://{lab.config['server']['listen']}/hooks/vault-audit"
            assert ask(url, "POST", "generated-token", line(f"{mount}/{folder}/x").encode())[0] == 202
            until(lambda: asked.count(read) > 1, 15)
            then.clear()
            until(lambda: lab.site.values() == {"x": "two"}, 20)


@pytest.mark.sweep
@pytest.mark.parametrize("fault", ["sealed", "no rights", "nonsense", "Wix is away"])
def test_a_passing_fault_spends_no_event(lab: Lab, bao: Bao, fault: str) -> None:
    answers: dict[str, Answer] = {
        "sealed": Answer({"errors": ["Vault is sealed"]}, 503),
        "no rights": Answer({"errors": ["permission denied"]}, 403),
        "nonsense": Answer("no JSON"),
    }
    servers, away, failed = Servers(bao), list[Any](), list[str]()

    def failing(method: str, path: str, sent: bytes) -> Answer:
        if not away or fault not in answers:
            return servers(method, path, sent)
        failed.append(path)
        return answers[fault]

    with job_behind(lab, bao, failing):
        bao.put("app/x", v="one")
        with woken(lab, bao) as event:
            until(lambda: lab.site.values() == {"x": "one"})
            bao.put("app/x", v="two")
            away.append(True)
            if fault == "Wix is away":
                lab.wix.fault("401", times=1)
            assert event("x", version=2) == 202
            until(lambda: failed or not any(item.times for item in lab.wix.faults), 15)
            away.clear()
            until(lambda: lab.site.values() == {"x": "two"}, 25)


@pytest.mark.parametrize("passes", ["before it looks", "before it writes"])
def test_a_moment_without_the_ledger_spends_no_event(lab: Lab, bao: Bao, passes: str) -> None:
    servers, held = Servers(bao), list[sqlite3.Connection]()

    def lock_ledger() -> None:
        ledger = sqlite3.connect(lab.state, timeout=60, isolation_level=None, check_same_thread=False)
        ledger.execute("BEGIN EXCLUSIVE")
        held.append(ledger)

    def locking(method: str, path: str, sent: bytes) -> Answer:
        if servers.looks > looks and not held and passes == "before it writes":
            lock_ledger()
        return servers(method, path, sent)

    looks = 1_000
    with job_behind(lab, bao, locking):
        bao.put("app/x", v="one")
        with woken(lab, bao) as event:
            until(lambda: lab.site.values() == {"x": "one"})
            bao.put("app/x", v="two")
            looks = servers.looks
            if passes == "before it looks":
                lock_ledger()
            assert event("x", version=2) == 202
            given_up = time.monotonic() + BUSY_SECONDS + 3
            until(lambda: held and time.monotonic() > given_up)
            assert lab.site.values() == {"x": "one"}
            held[0].close()
            until(lambda: lab.site.values() == {"x": "two"}, 30)


@pytest.mark.sweep
@pytest.mark.parametrize("order", ["event, end", "end, event", "event", "event, rollback, end"])
def test_a_rollback_and_its_end_spend_no_event(lab: Lab, bao: Bao, order: str) -> None:
    """The leaked version goes out again at the end, as the server that lags has no newer one; it does not stay."""
    servers = Servers(bao)

    with job_behind(lab, bao, servers):
        for value in ("one", "two LEAKED"):
            bao.put("app/x", v=value)
            assert lab.run("sync").code == 0
        servers.asked_for |= {("GET", f"/v1/{bao.mount}/data/app/x?version={number}") for number in (1, 2, 3)}
        with woken(lab, bao) as event:
            until(lambda: servers.looks >= 3)
            event.decide("rollback", what="x", to="1", until="24h")
            until(lambda: lab.site.values() == {"x": "one"})
            servers.remember()
            bao.put("app/x", v="three")
            servers.of = ALL
            for step in order.split(", "):
                if step == "event":
                    assert event("x", version=3) == 202
                elif step == "end":
                    event.decide("rollback", what="x", end=True)
                else:
                    event.decide("rollback", what="x", to="1", until="24h")
            asked = servers.looks
            until(lambda: servers.looks > asked, 15)
            if "end" not in order:
                event.decide("rollback", what="x", end=True)
            until(lambda: lab.site.values() == {"x": "two LEAKED"}, 15)
            servers.of = {}
            until(lambda: lab.site.values() == {"x": "three"}, 30)


@pytest.mark.parametrize("change", ["renamed", "path moved"])
def test_a_reload_spends_no_event(lab: Lab, bao: Bao, change: str) -> None:
    """Whichever job takes the path now looks for what was told while another one did."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        bao.put("app/x", v="one")
        with woken(lab, bao) as event:
            until(lambda: lab.site.values() == {"x": "one"})
            servers.remember()
            bao.put("app/x", v="two")
            servers.of = ALL
            asked = servers.looks
            assert event("x", version=2) == 202
            until(lambda: servers.looks > asked)
            job = lab.config["jobs"].pop("job")
            if change == "path moved":
                lab.config["jobs"]["job"] = {**job, "secrets": [{**job["secrets"][0], "path": f"{bao.mount}/other/*"}]}
            lab.config["jobs"]["payments"] = job
            assert lab.config_file
            event.process.send_signal(signal.SIGHUP)
            asked = servers.looks
            until(lambda: servers.looks > asked + 1, 20)
            assert lab.site.values() == {"x": "one"}
            servers.of = {}
            until(lambda: lab.site.values() == {"x": "two"}, 25)


def test_a_daemon_that_is_put_to_rest_hands_its_events_on(lab: Lab, bao: Bao) -> None:
    """A rolling update starts the new one before it stops the old one."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        bao.put("app/x", v="one")
        with woken(lab, bao, own_file=True) as event:
            until(lambda: lab.site.values() == {"x": "one"})
            servers.remember()
            bao.put("app/x", v="two")
            servers.of = ALL
            asked = servers.looks
            assert event("x", version=2) == 202
            until(lambda: servers.looks > asked)
            lab.config["jobs"]["job"]["verify_every"] = "12h"
            asked = servers.looks
            with woken(lab, bao, own_file=True):
                until(lambda: servers.looks > asked + 1, 30)
                assert lab.site.values() == {"x": "one"}
                servers.of = {}
                until(lambda: lab.site.values() == {"x": "two"}, 30)


@pytest.mark.parametrize("scope", [("job",), ("--target", "shop"), ("--all",)])
def test_a_pause_that_ends_by_its_time_lets_its_job_run(lab: Lab, bao: Bao, scope: tuple[str, ...]) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    bao.put("app/x", v="one")
    with woken(lab, bao) as event:
        assert lab.run("pause", *scope, "--until", "8s", "--reason", "x").code == 0
        until(event.hears_a_pause)
        bao.put("app/x", v="two")
        assert event("x", version=2) == 202
        until(lambda: not event.hears_a_pause(), 30)
        until(lambda: lab.site.values() == {"x": "two"}, 20)
