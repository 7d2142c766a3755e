"""Lines of the audit trail name whoever asked for what they tell, and for nothing that a job did beside it."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.chaos.peers import Answer
from tests.lab import Bao, Lab
from tests.support.fronts import job_behind, passing
from tests.support.lagging import Servers
from tests.support.waiting import until
from tests.support.woken import woken

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


@pytest.mark.parametrize("ends", [False, True])
def test_what_was_asked_for_is_tried_again_after_a_passing_fault(lab: Lab, bao: Bao, *, ends: bool) -> None:
    """A rollback in a leak, while the source is away for a moment; the schedule is an hour away."""
    real, away = passing(bao, lambda _method, _path: None), list[str]()
    sealed = Answer({"errors": ["Vault is sealed"]}, 503)
    counted = list[str]()

    def front(method: str, path: str, sent: bytes) -> Answer:
        if away:
            counted.append(path)
        return (
            sealed
            if away and path.startswith(f"/v1/{bao.mount}") and "version=" not in path
            else real(method, path, sent)
        )

    with job_behind(lab, bao, front):
        for value in ("1", "2"):
            bao.put("app/x", v=value)
            assert lab.run("sync").code == 0
        if ends:
            assert lab.run("rollback", "x", "--to", "1", "--reason", "leak").code == 0
        with woken(lab, bao) as event:
            if ends:
                away.append("now")
                event.decide("rollback", what="x", end=True)
            else:
                event.decide("rollback", what="x", to="1", until="24h")
                away.append("now")
            until(lambda: counted, 15)
            before = len(lines(lab))
            away.clear()
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
    real, away = passing(bao, lambda _method, _path: None), list[str]()
    sealed = Answer({"errors": ["Vault is sealed"]}, 503)

    def front(method: str, path: str, sent: bytes) -> Answer:
        return sealed if away and path.startswith(f"/v1/{bao.mount}") else real(method, path, sent)

    with job_behind(lab, bao, front):
        for value in ("1", "2"):
            bao.put("app/x", v=value)
            assert lab.run("sync").code == 0
        with woken(lab, bao) as event:
            before = len(lines(lab))
            event.decide("rollback", what="x", to="1", until="24h")
            away.append("now")
            if lab.site.values() == {"x": "1"}:
                pytest.skip("it was sent before the source went away")
            lab.config["jobs"]["payments"] = lab.config["jobs"].pop("job")
            assert lab.config_file
            event.process.send_signal(signal.SIGHUP)
            until(lambda: "payments" in lab.run("status").out)
            away.clear()
            until(lambda: lab.site.values() == {"x": "1"}, 40)
            # The new job's own first run may be quicker; what was handed on to it is nobody else's.
            assert actors(lab, before)["x"] <= {"token", "schedule"}


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
