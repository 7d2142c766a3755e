"""Lines of the audit trail name whoever asked for what they tell, and for nothing that a job did beside it."""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from tests.chaos.peers import Answer
from tests.lab import Bao, Lab
from tests.support.daemon import ask
from tests.support.fronts import job_behind, passing
from tests.support.lagging import Servers
from tests.support.waiting import until
from tests.support.woken import Woken, woken
from tests.support.woken import line as device_line

pytestmark = pytest.mark.kind


def actors(lab: Lab, since: int) -> dict[str, set[str]]:
    """By name the kinds of those who did what the trail tells since then."""
    found: dict[str, set[str]] = {}
    for line in lines(lab)[since:]:
        if line["name"]:
            found.setdefault(line["name"], set()).add(line["actor"]["kind"])
    return found


def lines(lab: Lab) -> list[dict[str, Any]]:
    return [line for line in lab.run("audit", "show", "--json").json if line["event"].startswith("secret.")]


@pytest.mark.sweep
@pytest.mark.parametrize("asked", ["rollback", "end", "event", "release"])
def test_what_a_job_does_beside_what_was_asked_for_is_its_own(lab: Lab, bao: Bao, asked: str) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    for value in ("1", "2"):
        for name in ("x", "y"):
            bao.put(f"app/{name}", v=value)
        assert lab.run("sync").code == 0
    if asked == "release":
        lab.config["rules"] = [{"id": "hold-x", "path": f"{bao.mount}/app/x", "then": "hold"}]
    with woken(lab, bao) as event:
        if asked == "end":
            event.decide("rollback", what="x", to="1", until="24h")
            until(lambda: lab.site.values()["x"] == "1")
        if asked in {"event", "release"}:
            bao.put("app/x", v="3")
        if asked == "release":
            event("x", version=3)
            until(lambda: lab.run("held", "--json").json)
        before = len(lines(lab))
        bao.put("app/y", v="3")
        if asked == "event":
            assert event("x", version=3) == 202
        elif asked == "release":
            event.decide("release", batch=lab.run("held", "--json").json[0]["batch"])
        else:
            event.decide("rollback", what="x", **({"end": True} if asked == "end" else {"to": "1", "until": "24h"}))
        until(lambda: {"x", "y"} <= actors(lab, before).keys())
        told = actors(lab, before)
    assert told["y"] == {"schedule"}, told
    assert told["x"] == {"event" if asked == "event" else "token"}, told


def test_the_reason_of_a_rollback_is_for_no_other_secret(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    for value in ("long enough, and the first", "long enough, and the second"):
        bao.put("app/x", v=value)
        assert lab.run("sync").code == 0
    lab.config["rules"] = [{"id": "weak", "min_length": 16, "then": "deny"}]
    bao.put("app/weak", v="short")
    before = len(lines(lab))
    assert lab.run("rollback", f"{bao.mount}/app/x", "--reason", "v2 breaks checkout").code == 0
    told = lines(lab)[before:]
    reasons = {line["name"]: line["reason"] for line in told}
    assert reasons["x"] == "v2 breaks checkout" and "weak" in reasons and reasons["weak"] is None, told


class Unlisted:
    """A Vault that lists nothing while it is sealed; what a decision reads of one path, it answers."""

    def __init__(self, bao: Bao) -> None:
        self._real, self.is_sealed, self.refused = passing(bao, lambda _method, _path: None), False, 0

    def __call__(self, method: str, path: str, sent: bytes) -> Answer:
        if self.is_sealed and (method in {"LIST", "SCAN"} or "list=true" in path):
            self.refused += 1
            return Answer({"errors": ["Vault is sealed"]}, 503)
        return self._real(method, path, sent)


@pytest.mark.parametrize("ends", [False, True])
def test_what_was_asked_for_is_tried_again_after_a_passing_fault(lab: Lab, bao: Bao, *, ends: bool) -> None:
    """A rollback in a leak, while the source is away for a moment; the schedule is an hour away."""
    vault = Unlisted(bao)
    with job_behind(lab, bao, vault):
        for value in ("1", "2"):
            bao.put("app/x", v=value)
            assert lab.run("sync").code == 0
        if ends:
            assert lab.run("rollback", "x", "--to", "1", "--reason", "leak").code == 0
        with woken(lab, bao) as event:
            before, ended, vault.is_sealed = len(lines(lab)), event.ends_a_run(lab), True
            event.decide("rollback", what="x", **({"end": True} if ends else {"to": "1", "until": "24h"}))
            until(ended)
            assert vault.refused and lab.site.values() == {"x": "1" if ends else "2"}
            vault.is_sealed = False
            until(lambda: lab.site.values() == {"x": "2" if ends else "1"}, 20)
            assert actors(lab, before)["x"] == {"token"}


@pytest.mark.sweep
@pytest.mark.parametrize("asked", ["event", "rollback", "end", "sync"])
def test_what_was_asked_for_is_tried_again_after_a_passing_fault_of_the_site(lab: Lab, bao: Bao, asked: str) -> None:
    """The site refuses the write itself, for as long as a cycle tries it."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    for value in ("1", "2"):
        bao.put("app/x", v=value)
        assert lab.run("sync").code == 0
    if asked == "end":
        assert lab.run("rollback", "x", "--to", "1", "--reason", "leak").code == 0
    with woken(lab, bao) as event:
        fault = lab.wix.fault("503", "PATCH", times=8)
        if asked in {"event", "sync"}:
            bao.put("app/x", v="3")
        ended = event.ends_a_run(lab)
        if asked == "event":
            assert event("x", version=3) == 202
        elif asked == "sync":
            event.decide("sync", job="job")
        else:
            event.decide("rollback", what="x", **({"end": True} if asked == "end" else {"to": "1", "until": "24h"}))
        until(ended, 60)
        assert fault.times < 8 and lab.statuses()["x"] != "synced"
        fault.times = 0
        wanted = {"rollback": "1", "end": "2"}.get(asked, "3")
        until(lambda: lab.site.values() == {"x": wanted}, 30)


def test_an_event_s_lines_are_its_own_though_a_server_lagged_first(lab: Lab, bao: Bao) -> None:
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        bao.put("app/x", v="1")
        with woken(lab, bao) as event:
            servers.remember()
            bao.put("app/x", v="2")
            servers.of = dict.fromkeys(("listing", "metadata", "data"), 0)
            before, ended = len(lines(lab)), event.ends_a_run(lab)
            assert event("x", version=2) == 202
            until(ended)
            servers.of = {}
            until(lambda: lab.site.values() == {"x": "2"}, 20)
            assert actors(lab, before)["x"] == {"event"}


def test_a_reload_takes_nobodys_name_away(lab: Lab, bao: Bao) -> None:
    """A rollback that waits for its source, while its job is called otherwise."""
    vault = Unlisted(bao)
    with job_behind(lab, bao, vault):
        for value in ("1", "2"):
            bao.put("app/x", v=value)
            assert lab.run("sync").code == 0
        with woken(lab, bao) as event:
            before, ended, vault.is_sealed = len(lines(lab)), event.ends_a_run(lab), True
            event.decide("rollback", what="x", to="1", until="24h")
            until(ended)
            lab.config["jobs"]["payments"] = lab.config["jobs"].pop("job")
            assert lab.config_file
            event.process.send_signal(signal.SIGHUP)
            until(lambda: event.has_begun(lab))
            assert lab.site.values() == {"x": "2"}
            vault.is_sealed = False
            until(lambda: lab.site.values() == {"x": "1"}, 40)
            assert actors(lab, before)["x"] == {"token"}


@pytest.mark.long
def test_what_is_done_on_one_site_is_in_nobodys_name_there_while_another_is_away(lab: Lab, bao: Bao) -> None:
    """A rollback runs out, and the newest version goes back by itself."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    lab.config["targets"]["two"] = lab.target("site-two", "no-key")
    lab.secret_file("no-key", "revoked-and-generated")
    for value in ("1", "2"):
        bao.put("app/x", v=value)
        lab.run("sync")
    lab.config["jobs"]["job"]["targets"] = ["shop", "two"]
    with woken(lab, bao) as event:
        event.decide("rollback", what="x", to="1", until="8s")
        until(lambda: lab.site.values() == {"x": "1"})
        before = len(lines(lab))
        until(lambda: lab.site.values() == {"x": "2"}, 60)
        sent = [line for line in lines(lab)[before:] if line["event"] == "secret.update" and line["target"] == "shop"]
        assert sent and {line["actor"]["kind"] for line in sent} == {"schedule"}, sent


def sent(lab: Lab, since: int) -> set[tuple[str, str, str, str]]:
    """What was sent since then, each with its target, version and the kind of whoever asked for it."""
    return {
        (line["name"], line["target"], line["to"], line["actor"]["kind"])
        for line in lines(lab)[since:]
        if line["event"] == "secret.update" and line["outcome"] == "done"
    }


@pytest.fixture
def two_sites(lab: Lab, bao: Bao) -> str:
    """A job of x and y on two sites, which have their second versions. Returns: the second site."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    other = str(uuid.uuid4())
    lab.secret_file("key-two", lab.wix.issue_key(other))
    lab.config["targets"]["two"] = {**lab.target(other, "key-two"), "labels": {"team": "two"}}
    lab.config["targets"]["shop"]["labels"] = {"team": "shop"}
    lab.config["jobs"]["job"]["targets"] = ["shop", "two"]
    for value in ("1", "2"):
        for name in ("x", "y"):
            bao.put(f"app/{name}", v=value)
        assert lab.run("sync").code == 0
    return other


@pytest.mark.parametrize("how", ["thaw", "resume"])
def test_what_a_site_gets_beside_what_was_let_go_is_the_jobs_own(lab: Lab, bao: Bao, two_sites: str, how: str) -> None:
    with woken(lab, bao) as event:
        if how == "thaw":
            event.decide("freeze", site=two_sites, name="x", until="2h")
        else:
            event.decide("pause", scope="target", name="two", until="2h")
        for name in ("x", "y"):
            bao.put(f"app/{name}", v="3")
        before = len(lines(lab))
        if how == "thaw":
            event.decide("freeze", site=two_sites, name="x")
        else:
            event.decide("resume", scope="target", name="two")
        until(lambda: set(lab.site.values().values()) == set(lab.wix.site(two_sites).values().values()) == {"3"})
        told = sent(lab, before)
    by = "token" if how == "thaw" else "schedule"
    assert told == {("x", "shop", "3", "schedule"), ("y", "shop", "3", "schedule"), ("y", "two", "3", "schedule"),
                    ("x", "two", "3", by)}  # fmt: skip


def test_what_was_released_on_one_site_is_in_nobodys_name_on_another(lab: Lab, bao: Bao, two_sites: str) -> None:
    """A later version goes there by itself, and waits here again."""
    lab.config["rules"] = [
        {"id": "hold-x", "path": f"{bao.mount}/app/x", "label": {"team": "shop"}, "then": "hold"}
    ]  # fmt: skip
    bao.put("app/x", v="3")
    with woken(lab, bao) as event:
        until(lambda: lab.run("held", "--json").json)
        before = len(lines(lab))
        bao.put("app/x", v="4")
        event.decide("release", batch=lab.run("held", "--json").json[0]["batch"])
        until(lambda: lab.wix.site(two_sites).values()["x"] == "4")
        until(lambda: [line for line in lines(lab)[before:] if line["event"] == "secret.held"])
        assert sent(lab, before) == {("x", "two", "4", "schedule")}
        assert {line["actor"]["kind"] for line in lines(lab)[before:] if line["event"] == "secret.held"} == {"schedule"}


@contextmanager
def failing(
    lab: Lab, bao: Bao, *places: str, beside: dict[str, str] | None = None
) -> Iterator[tuple[Woken, list[str]]]:
    """A daemon whose Vault answers 500 at these places, once the list has something. `beside`: of another job."""
    real, away = passing(bao, lambda _method, _path: None), list[str]()

    def front(method: str, path: str, given: bytes) -> Answer:
        place = path.partition("?")[0]
        if away and any(place.endswith(f"/data/app/{name}") for name in places):
            away.append(place)
            return Answer({"errors": ["internal"]}, 500)
        return real(method, path, given)

    with job_behind(lab, bao, front):
        if beside:
            bao.put("calm/c", v="c")
            lab.job("calm", "vault", beside)
        for value in ("1", "2"):
            for name in ("x", "x1", "y"):
                bao.put(f"app/{name}", v=value)
            assert lab.run("sync").code == 0
        with woken(lab, bao) as event:
            yield event, away


@pytest.mark.parametrize("beside", ["y", "x1", "an event before it"])
def test_what_is_sent_after_a_rollback_has_run_out_is_nobodys(lab: Lab, bao: Bao, beside: str) -> None:
    """Something else cannot be read all the while, or an event of the same path told no version."""
    with failing(lab, bao, beside) as (event, away):
        if beside in {"y", "x1"}:
            away.append("now")
            bao.put(f"app/{beside}", v="3")
        else:
            bao.put("app/x", v="3")
            assert event("x") == 202
            until(lambda: lab.site.values()["x"] == "3")
        newest, start = lab.site.values()["x"], len(lines(lab))
        event.decide("rollback", what="x", to="1", until="8s")
        if beside in {"y", "x1"}:
            assert event(beside, version=3) == 202
        until(lambda: ("x", "shop", "1", "token") in sent(lab, start))
        before = len(lines(lab))
        until(lambda: lab.site.values()["x"] == newest, 30)
        until(lambda: sent(lab, before))
        assert {item for item in sent(lab, before) if item[0] == "x"} == {("x", "shop", newest, "schedule")}


@pytest.mark.parametrize("reloads", [False, True])
def test_a_site_that_is_away_over_the_end_of_a_rollback_gets_what_is_newest_by_itself(
    lab: Lab, bao: Bao, *, reloads: bool
) -> None:
    with failing(lab, bao) as (event, _):
        fault = lab.wix.fault("503", "PATCH", times=1000)
        event.decide("rollback", what="x", to="1", until="9s" if reloads else "6s")
        until(lambda: fault.times < 1000)
        if reloads:
            lab.config["jobs"]["job"]["verify_every"] = "12h"
            assert lab.config_file
            event.process.send_signal(signal.SIGHUP)
        until(lambda: "rolled back" not in lab.run("where", f"{bao.mount}/app/x").out, 30)
        before = len(lines(lab))
        bao.put("app/x", v="3")
        assert event("x", version=3) == 202
        fault.times = 0
        until(lambda: lab.site.values()["x"] == "3", 60)
        until(lambda: sent(lab, before))
        assert ("x", "shop", "3", "token") not in sent(lab, before)


def test_an_event_while_a_persons_request_is_done_is_signed_by_itself(lab: Lab, bao: Bao) -> None:
    real, reads = passing(bao, lambda _method, _path: None), list[threading.Event]()

    def front(method: str, path: str, given: bytes) -> Answer:
        answer = real(method, path, given)
        if reads and "/data/app/x" in path:
            reads.pop().wait(20)
        return answer

    with job_behind(lab, bao, front):
        for value in ("1", "2"):
            bao.put("app/x", v=value)
            assert lab.run("sync").code == 0
        with woken(lab, bao) as event:
            before, goes_on = len(lines(lab)), threading.Event()
            bao.put("app/x", v="3")
            reads.append(goes_on)
            asked = f"{event.url}/-/sync?path={bao.mount}/app/x"
            assert ask(asked, "POST", "generated-token", b"")[0] == 202
            until(lambda: not reads)
            bao.put("app/x", v="4")
            assert event("x", version=4) == 202
            goes_on.set()
            until(lambda: lab.site.values() == {"x": "4"}, 20)
            until(lambda: len(sent(lab, before)) == 2)
            assert sent(lab, before) == {("x", "shop", "3", "token"), ("x", "shop", "4", "event")}


@pytest.mark.parametrize("decided", ["rollback", "release"])
@pytest.mark.parametrize("asked", ["a person", "the schedule"])
def test_what_is_decided_while_a_run_waits_for_its_turn(lab: Lab, bao: Bao, decided: str, asked: str) -> None:
    """Another process has the site meanwhile."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    for value in ("1", "2"):
        bao.put("app/x", v=value)
        assert lab.run("sync").code == 0
    if decided == "release":
        lab.config["rules"] = [{"id": "hold-x", "path": f"{bao.mount}/app/x", "then": "hold"}]
        bao.put("app/x", v="3")
    bob = {"name": "bob", "token": {"file": str(lab.secret_file("bob", "token-of-bob"))}}
    with woken(lab, bao, tokens=[{**bob, "may": ["read", "sync"]}]) as event:
        until(lambda: decided == "rollback" or lab.run("held", "--json").json)
        before, ledger = len(lines(lab)), Ledger(sqlite_engine(lab.state), "a command", lab.state)
        with ledger.lock(lab.site_id, holder="a command", wait=timedelta(seconds=10)):
            if asked == "a person":
                assert ask(event.url + "/-/sync?job=job", "POST", "token-of-bob", b"")[0] == 202
            else:
                assert event("x") == 202
            # A run that waits for its turn shows nowhere.
            waited = time.monotonic() + 2
            until(lambda: time.monotonic() > waited)
            if decided == "rollback":
                event.decide("rollback", what="x", to="1", until="24h")
            else:
                event.decide("release", batch=lab.run("held", "--json").json[0]["batch"])
        ledger.close()
        wanted = "1" if decided == "rollback" else "3"
        until(lambda: lab.site.values() == {"x": wanted}, 30)
        until(lambda: sent(lab, before))
        done = [
            (line["actor"]["kind"], line["actor"]["id"]) for line in lines(lab)[before:] if line["outcome"] == "done"
        ]
        assert done == [("token", "token")], done


@pytest.mark.parametrize("asked", ["sync", "path"])
def test_what_is_asked_for_while_a_run_is_under_way_is_tried_again(lab: Lab, bao: Bao, asked: str) -> None:
    """That run ends well, and what it was asked for in vain is for the next one."""
    with failing(lab, bao, "x") as (event, away):
        lab.site.options.latency = 0.5
        bao.put("app/y", v="3")
        assert event("y", version=3) == 202
        until(lambda: lab.site.values()["y"] == "3")
        bao.put("app/x", v="3")
        away.append("now")
        where = "job=job" if asked == "sync" else f"path={bao.mount}/app/x"
        assert ask(f"{event.url}/-/sync?{where}", "POST", "generated-token", b"")[0] == 202
        until(lambda: len(away) > 3)
        lab.site.options.latency = 0.0
        away.clear()
        until(lambda: lab.site.values()["x"] == "3", 30)


@pytest.mark.parametrize("asked", ["sync", "in a pause", "of a job that is renamed", "of a rule that moves"])
def test_a_path_that_fails_for_a_moment_is_tried_again(lab: Lab, bao: Bao, asked: str) -> None:
    """Whatever made the job run, but for its schedule, which is an hour away."""
    calm = {"path": f"{bao.mount}/calm/*", "field": "v", "name": "calm_{basename}"}
    with failing(lab, bao, "x", beside=calm) as (event, away):
        bao.put("app/x", v="3")
        if asked == "in a pause":
            assert lab.run("pause", "job", "--until", "6s", "--reason", "x").code == 0
            until(event.hears_a_pause)
            event.decide("rollback", what="x", to="1", until="24h")
            away.append("now")
        else:
            away.append("now")
            event.decide("sync", job="job")
        until(lambda: len(away) > 1)
        if asked in {"of a job that is renamed", "of a rule that moves"}:
            taker = "payments" if "renamed" in asked else "calm"
            lab.config["jobs"][taker] = lab.config["jobs"].pop("job")
            assert lab.config_file
            event.process.send_signal(signal.SIGHUP)
            until(lambda: event.has_begun(lab))
        ended = event.ends_a_run(lab)
        until(ended)
        away.clear()
        until(lambda: lab.site.values()["x"] == ("1" if asked == "in a pause" else "3"), 30)


@pytest.mark.parametrize("when", ["between runs", "in a run"])
def test_what_is_handed_on_keeps_its_rights(lab: Lab, bao: Bao, two_sites: str, when: str) -> None:
    """Whoever may wake what goes to one site wakes nothing of another one by a reload."""
    job = lab.config["jobs"]["job"]
    lab.config["jobs"] = {"job": {**job, "targets": ["shop"]}, "other": {**job, "targets": ["two"]}}
    alice = {"name": "alice", "token": {"file": str(lab.secret_file("alice", "token-of-alice"))}}
    servers, is_held, goes_on = Servers(bao), threading.Event(), threading.Event()
    goes_on.set()

    def front(method: str, path: str, sent: bytes) -> Answer | None:
        if f"/{bao.mount}/" in path and not goes_on.is_set():
            is_held.set()
            goes_on.wait(60)
        return servers(method, path, sent)

    def loaded() -> int:
        return len(lab.run("audit", "show", "--event", "config.loaded", "--json").json)

    with job_behind(lab, bao, front):
        lab.config["jobs"] = {"job": {**job, "targets": ["shop"]}, "other": {**job, "targets": ["two"]}}
        for one in lab.config["jobs"].values():
            one["source"] = next(iter(lab.config["sources"]))
        may = {**alice, "may": ["read", "sync"], "only": {"label": {"team": "shop"}}}
        with woken(lab, bao, tokens=[may]) as event:
            servers.remember()
            bao.put("app/x", v="3")
            servers.of = dict.fromkeys(("listing", "metadata", "data"), 0)
            told = device_line(f"{bao.mount}/data/app/x", 3).encode()
            assert ask(event.url + "/-/sync?job=other", "POST", "token-of-alice", b"")[0] == 404
            asked, before = servers.looks, loaded()
            if when == "in a run":
                goes_on.clear()
            assert ask(event.url + "/hooks/vault-audit", "POST", "token-of-alice", told)[0] == 202
            until(is_held.is_set if when == "in a run" else lambda: servers.looks > asked)
            lab.config["jobs"]["payments"] = lab.config["jobs"].pop("job")
            assert lab.config_file
            event.process.send_signal(signal.SIGHUP)
            until(lambda: loaded() > before)
            if when == "in a run":
                # Every two seconds it passes on what is left.
                enough = time.monotonic() + 3
                until(lambda: time.monotonic() > enough)
                goes_on.set()
            until(lambda: event.has_begun(lab))
            servers.of = {}
            until(lambda: lab.site.values()["x"] == "3", 40)
            enough = time.monotonic() + 3
            until(lambda: time.monotonic() > enough)
            assert lab.wix.site(two_sites).values()["x"] == "2", "its schedule is an hour away"
