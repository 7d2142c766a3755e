"""Two daemons with different files on one ledger: one works, and the other says so to whoever asks it for something."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from syncd.daemon import Daemon
from syncd.errors import ConfigError
from syncd.ledger.audit_reading import Filter
from tests.lab import Bao, Lab
from tests.support.daemon import ask
from tests.support.waiting import until

TOKEN = "token-of-the-test"


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"})
    lab.config["server"] = {"listen": "127.0.0.1:0", "token": {"file": str(lab.secret_file("api", TOKEN))}}
    return lab


def file_of(job: Lab, name: str, **more: object) -> Path:
    """Another file of the same installation."""
    path = job.folder / f"{name}.yaml"
    path.write_text(json.dumps({**job.config, **more}))
    return path


@contextmanager
def works(path: Path) -> Iterator[tuple[Daemon, str]]:
    daemon = Daemon(path)
    assert daemon.http is not None
    try:
        # As processes of their own: one that loads another file goes on with what it began.
        with patch("syncd.daemon.reloads.holder", lambda: f"process of {path.stem}"):
            daemon.reloads.start_first()
    except BaseException:
        daemon.http.stop()
        raise
    try:
        yield daemon, f"http://{daemon.http.address}"
    finally:
        daemon.shut_down()


def loads(daemon: Daemon) -> int:
    """How often a configuration came into force, as the trail has it."""
    return len(list(daemon.generations.current.app.ledger.audit.lines(Filter(event="config.loaded"))))


def test_the_older_one_is_ready_and_says_that_it_rests(job: Lab, bao: Bao) -> None:
    older, newer = file_of(job, "older"), file_of(job, "newer", rules=[{"id": "r", "name": "none", "then": "deny"}])
    with works(older) as (first, url):
        until(lambda: job.site.values())
        with works(newer) as (second, other):
            status, told = ask(url + "/readyz")
            assert status == 200 and "not the newest" in told and "process" not in told
            assert "another daemon on this ledger works" in first.control.configuration()
            for question, number in (("job=job", "2"), (f"path={bao.mount}/app/x", "3")):
                until(lambda: ask(other + "/readyz")[0] == 200)
                bao.put("app/x", v=number)
                status, told = ask(f"{url}/-/sync?{question}", "POST", TOKEN)
                assert status == 202 and told.startswith("passed on to the daemon")
                second.control.run_what_was_passed_on()
                until(lambda number=number: number in job.site.values().values())
            status, told = ask(f"{other}/-/sync?job=job", "POST", TOKEN)
            assert (status, told) == (202, "started\n")
        assert ask(url + "/readyz") == (200, "ok\n")
        bao.put("app/x", v="4")
        assert ask(f"{url}/-/sync?job=job", "POST", TOKEN)[0] == 202
        until(lambda: "4" in job.site.values().values())


def test_the_one_that_rests_ships_nothing_and_warns_of_nothing(
    job: Lab, bao: Bao, capsys: pytest.CaptureFixture[str]
) -> None:
    job.config["audit"] = {"file": str(job.folder / "audit.jsonl")}
    with works(file_of(job, "older")) as (first, _):
        app = first.generations.current.app
        until(lambda: job.site.values() and app.ledger.audit.unshipped_count(app.settings.audit.sink) == 0)
        with works(file_of(job, "newer", rules=[{"id": "r", "name": "none", "then": "deny"}])) as (second, _):
            for daemon in (first, second):
                capsys.readouterr()
                for step in daemon.generations.current.app.after_run._steps:
                    step()
                assert "audit.unshipped" not in capsys.readouterr().out
            assert app.ledger.audit.unshipped_count(app.settings.audit.sink) == 0, "the one that works ships"


def test_the_trail_tells_which_one_counts_again(job: Lab, bao: Bao) -> None:
    with works(file_of(job, "older")) as (first, _):
        until(lambda: job.site.values())
        app, tell = first.generations.current.app, first.reloads.tell_what_is_in_force
        tell()
        assert loads(first) == 1
        with works(file_of(job, "newer", rules=[{"id": "r", "name": "none", "then": "deny"}])):
            tell()
            tell()
            assert loads(first) == 2, "one that rests is not in force"
        tell()
        tell()
        digests = [line["detail"]["digest"] for line in app.ledger.audit.lines(Filter(event="config.loaded"))]
        assert len(digests) == 3 and digests[0] == digests[2] == app.config_digest != digests[1]


@pytest.mark.parametrize("newer", ["the same jobs", "another name", "one job more"])
def test_what_a_device_posts_to_the_one_that_rests_is_passed_on(job: Lab, bao: Bao, newer: str) -> None:
    """A device sends a line once, to whichever pod its service chose; the newer file says which job has the path."""
    name = "more/y" if "more" in newer else "app/x"
    bao.put(name, v="1")
    line = json.dumps({"type": "response", "request": {"operation": "update", "path": f"{bao.mount}/data/{name}"}})
    jobs = {"payments" if "another" in newer else "job": job.config["jobs"]["job"]}
    if "more" in newer:
        jobs["more"] = {**jobs["job"], "secrets": [{"path": f"{bao.mount}/more/*"}]}
    file = file_of(job, "newer", rules=[{"id": "r", "name": "none", "then": "deny"}], jobs=jobs)
    wix_name = name.partition("/")[2] + "_v"
    with works(file_of(job, "older")) as (first, url):
        until(lambda: job.site.values())
        with works(file) as (second, other):
            until(lambda: ask(other + "/readyz")[0] == 200 and wix_name in job.site.values())
            bao.put(name, v="2")
            status, told = ask(url + "/hooks/vault-audit", "POST", TOKEN, line.encode())
            assert status == 202 and told.startswith("passed on to the daemon")
            first.control.run_what_was_passed_on()
            assert job.site.values()[wix_name] == "1"
            second.control.run_what_was_passed_on()
            until(lambda: job.site.values()[wix_name] == "2")
            lines = second.generations.current.app.ledger.audit.lines(Filter(event="secret.update"))
            assert {line["actor"]["id"] for line in lines} == {"vault audit"}


def test_a_job_that_the_newer_one_does_not_have_is_said(job: Lab, bao: Bao, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = {"payments": job.config["jobs"]["job"]}
    with works(file_of(job, "older")) as (_, url):
        until(lambda: job.site.values())
        with works(file_of(job, "newer", jobs=jobs)) as (second, _):
            assert ask(f"{url}/-/sync?job=job", "POST", TOKEN)[0] == 202
            second.control.run_what_was_passed_on()
            told = capsys.readouterr()
            # Where the log goes is for whoever configured it last in this process to say.
            assert "wakeup.dropped" in told.out + told.err


def test_what_protects_is_kept_at_the_one_that_rests_too(job: Lab, bao: Bao) -> None:
    """Of several pods behind a service nobody chooses whom to ask."""
    with works(file_of(job, "older")) as (first, _):
        until(lambda: job.site.values())
        who = first.control.by_token(TOKEN)
        assert who is not None
        with works(file_of(job, "newer", rules=[{"id": "r", "name": "none", "then": "deny"}])) as (second, other):
            until(lambda: ask(other + "/readyz")[0] == 200)
            secret = {"site": job.site_id, "name": "x_v"}
            assert "is frozen until" in first.control.freeze(who, {**secret, "until": "1h"}, "incident")
            bao.put("app/x", v="2")
            said = first.control.sync(who, "job")
            assert "this daemon sends nothing" in said and "which was asked to run it" in said
            assert [wish.job for wish in second.generations.current.app.ledger.wakeups.take()] == ["job"]
            assert "is paused" in first.control.pause(who, ("target", "shop"), "1h", "incident")
            # Another one in its place may end sooner.
            for shorter in (
                lambda: first.control.freeze(who, {**secret, "until": "1s"}, "x"),
                lambda: first.control.pause(who, ("target", "shop"), "1s", "x"),
            ):
                with pytest.raises(ConfigError, match="is for that one to say"):
                    shorter()
    assert job.site.values() == {"x_v": "1"}


def test_a_command_with_another_file_pauses_no_job(job: Lab) -> None:
    """The one that works may call it otherwise, and would go on; a site has its key under any name."""
    with works(file_of(job, "newer", rules=[{"id": "r", "name": "none", "then": "deny"}])):
        refused = job.run("pause", "job", "--reason", "x")
        assert refused.code == 3 and "may call job job otherwise" in refused.err, refused.err
        assert job.run("pause", "--target", "shop", "--reason", "x").code == 0
    assert job.run("resume", "--target", "shop").code == 0
    assert job.run("pause", "job", "--reason", "x").code == 0, "nobody works any more"


@pytest.mark.parametrize("what", ["a release", "a rollback", "an end", "a thaw", "a resume", "a job's pause"])
def test_the_one_that_rests_lets_nothing_go(job: Lab, bao: Bao, what: str) -> None:
    """Who may is for the newer file to say: a token that it took away is still one for the older daemon."""
    bao.put("app/x", v="2")
    with works(file_of(job, "older")) as (first, _):
        until(lambda: job.site.values())
        who = first.control.by_token(TOKEN)
        assert who is not None
        secret = {"site": job.site_id, "name": "x_v"}
        ways = {
            "a release": lambda: first.control.release(who, "0" * 12, "x"),
            "a rollback": lambda: first.control.rollback(who, {"what": "x_v", "to": "1"}, "x"),
            "an end": lambda: first.control.rollback(who, {"what": "x_v", "end": True}, "x"),
            "a thaw": lambda: first.control.freeze(who, secret, ""),
            "a resume": lambda: first.control.resume(who, ("job", "job")),
            # The newer file may call it otherwise, and would go on.
            "a job's pause": lambda: first.control.pause(who, ("job", "job"), "1h", "x"),
        }
        with works(file_of(job, "newer", rules=[{"id": "r", "name": "none", "then": "deny"}])):
            with pytest.raises(ConfigError, match="is for that one to say"):
                ways[what]()
            trail = first.generations.current.app.ledger.audit
            assert not list(trail.lines(Filter(event="secret.released, secret.rolled_back")))


@pytest.mark.parametrize("what", ["a token that is missing", "a queue"])
def test_one_that_cannot_start_was_never_in_force(
    job: Lab, bao: Bao, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that crashes again and again takes the one that works down with it otherwise."""
    with works(file_of(job, "older")) as (first, url):
        until(lambda: job.site.values())
        before, server = loads(first), dict(job.config["server"])
        if "token" in what:
            server["tokens"] = [{"name": "a", "token": {"file": str(job.folder / "none")}, "may": ["read"]}]
        else:
            monkeypatch.setattr("syncd.daemon.event_listeners.EventListeners.queues_of", _fails)
        for _ in range(2):
            with pytest.raises(ConfigError), works(file_of(job, "newer", server=server)):
                pass
        assert loads(first) == before and first.control.configuration() == ""
        bao.put("app/x", v="2")
        assert ask(f"{url}/-/sync?job=job", "POST", TOKEN)[0] == 202
        until(lambda: "2" in job.site.values().values())


def _fails(*_: object) -> None:
    raise ConfigError("no queue", hint="make one")
