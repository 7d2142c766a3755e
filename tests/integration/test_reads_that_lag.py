"""The listing comes from one server and the reading from another, which is some moments behind."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.report.lateness import why_late
from syncd.sandbox.launchers import free_ports
from tests.chaos.peers import Answer
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock, one_cycle
from tests.support.daemon import ask, running
from tests.support.fronts import job_behind, passing
from tests.support.lagging import Reads, Servers
from tests.support.waiting import until


@pytest.fixture
def reads(lab: Lab, bao: Bao) -> Iterator[Reads]:
    made = Reads(bao)
    with job_behind(lab, bao, made):
        yield made


def is_told(lab: Lab, bao: Bao, value: str, words: str = "lists a newer version") -> None:
    """Cycle after cycle, while it lags: nothing is sent, and nothing passes for synced."""
    for _ in range(2):
        told = lab.run("sync")
        assert lab.site.values() == {"x": value} and lab.statuses() == {"x": "behind"}, told.out
        assert told.code == 0 and words in told.out, told.out
    assert lab.run("where", f"{bao.mount}/app/x").code == 1
    assert words in lab.run("plan").out


def arrives(lab: Lab, servers: Reads | Servers, value: str) -> None:
    if isinstance(servers, Reads):
        servers.lags = False
    assert lab.run("sync").code == 0 and lab.site.values()["x"] == value and lab.statuses()["x"] == "synced"
    before = lab.writes()
    assert lab.run("sync").code == 0 and lab.writes() == before


@pytest.mark.sweep
@pytest.mark.parametrize("behind", [1, 2, 3])
@pytest.mark.parametrize("field", ["v", "*"])
def test_what_is_listed_and_not_readable_yet_is_behind(
    lab: Lab, bao: Bao, reads: Reads, behind: int, field: str
) -> None:
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": field, "name": "{basename}"})
    bao.put("app/x", v="one")
    assert lab.run("sync").code == 0
    reads.remember("app/x")
    for number in range(behind):
        bao.put("app/x", v=f"newer-{number}")
    reads.lags = True
    is_told(lab, bao, "one")
    arrives(lab, reads, f"newer-{behind - 1}")


def test_a_version_between_the_site_s_and_the_listed_one_is_not_sent(lab: Lab, bao: Bao, reads: Reads) -> None:
    bao.put("app/x", v="one")
    assert lab.run("sync").code == 0
    bao.put("app/x", v="leaked, and replaced at once")
    reads.remember("app/x")
    bao.put("app/x", v="three")
    reads.lags = True
    is_told(lab, bao, "one")
    arrives(lab, reads, "three")


@pytest.mark.sweep
@pytest.mark.parametrize("versions", [1, 2, 3])
@pytest.mark.parametrize("anew", [1, 2])
def test_what_was_made_anew_is_not_taken_for_the_one_before(
    lab: Lab, bao: Bao, reads: Reads, versions: int, anew: int
) -> None:
    """Numbers begin again: the old secret's value, under the new one's number or a higher one, is not the new one's."""
    for number in range(versions):
        bao.put("app/x", v=f"old-{number}")
    assert lab.run("sync").code == 0
    reads.remember("app/x")
    bao.remove("app/x")
    for number in range(anew):
        bao.put("app/x", v=f"new-{number}")
    reads.lags = True
    is_told(lab, bao, f"old-{versions - 1}")
    arrives(lab, reads, f"new-{anew - 1}")


PUTS = (("OLD-1",), ("OLD-2",), ("", "NEW-1"), ("NEW-2",))
"""What happens to a path from one moment to the next; without a value it is deleted with its metadata."""


@pytest.mark.sweep
@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize("seed", range(12))
def test_nothing_goes_back_whichever_server_answers(lab: Lab, bao: Bao, seed: int, known: int) -> None:
    """Each look takes listing, metadata and values from servers that are each behind by another stretch."""
    chance, servers, order = random.Random(seed), Servers(bao), ["OLD-1", "OLD-2", "NEW-1", "NEW-2"]
    with job_behind(lab, bao, servers):
        bao.put("app/a", v="a")
        lab.run("sync")
        for values in PUTS:
            for value in values:
                bao.put("app/x", v=value) if value else bao.remove("app/x")
            servers.remember()
        servers.of = dict.fromkeys(("listing", "metadata", "data"), known)
        lab.run("sync")
        had = lab.site.values()["x"]
        assert had == order[known]
        for _ in range(5):
            servers.of = {kind: chance.randrange(4) for kind in servers.of}
            lab.run("sync")
            now = lab.site.values()["x"]
            assert order.index(now) >= order.index(had), f"{had} became {now}: {servers.of}"
            had = now
        servers.of = {}
        arrives(lab, servers, "NEW-2")


@pytest.mark.sweep
@pytest.mark.parametrize("old", [1, 2])
@pytest.mark.parametrize("new", [1, 2])
@pytest.mark.parametrize("grace", ["0s", "24h"])
def test_what_an_old_listing_shows_does_not_come_back(lab: Lab, bao: Bao, old: int, new: int, grace: str) -> None:
    """Its new value was read while only the listing lagged; then the whole server does."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        rule = {"path": f"{bao.mount}/app/*", "field": "*", "name": "{basename}_{field}"}
        lab.job("job", "vault", rule, deletion_policy="delete", deletion_grace=grace, guard={"max_deletes": "100%"})
        bao.put("app/a", v="a")
        lab.run("sync")
        for number in range(old):
            bao.put("app/x", old=f"LEAKED-{number}")
        servers.remember()
        bao.remove("app/x")
        for number in range(new):
            bao.put("app/x", new=f"NEW-{number}", other="NEW")
        servers.of = {"listing": 0}
        assert lab.run("sync").code == 0
        has = {"a_v": "a", "x_new": f"NEW-{new - 1}", "x_other": "NEW"}
        assert lab.site.values() == has, "metadata tells that it is the newer one"
        servers.of = dict.fromkeys(("listing", "metadata", "data"), 0)
        for _ in range(2):
            lab.run("sync")
            assert lab.site.values() == has
        servers.of = {}
        assert lab.run("sync").code == 0 and lab.site.values() == has


def _ahead(thing: Any, by: timedelta) -> Any:
    """Metadata and its first version as a node tells them whose clock was ahead."""
    if not isinstance(thing, dict):
        return thing
    thing = {key: _ahead(item, by) for key, item in thing.items()}
    is_first = thing.get("version") == 1 or "versions" in thing
    if thing.get("created_time") and is_first:
        created = thing["created_time"]
        thing["created_time"] = f"{datetime.fromisoformat(created[:19]) + by:%Y-%m-%dT%H:%M:%S}{created[19:]}"
    if first := thing.get("versions", {}).get("1"):
        first["created_time"] = _ahead({"version": 1, **first}, by)["created_time"]
    return thing


@pytest.mark.sweep
@pytest.mark.parametrize("seconds", [1, 60, 7200, 86400])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_clock_that_was_ahead_when_a_path_was_made(lab: Lab, bao: Bao, seconds: int, *, is_known: bool) -> None:
    """Its later versions are dated before its metadata, and are its versions all the same."""
    real = passing(bao, lambda _method, _path: None)

    def ahead(method: str, path: str, sent: bytes) -> Answer:
        answer = real(method, path, sent)
        return replace(answer, body=_ahead(answer.body, timedelta(seconds=seconds)))

    with job_behind(lab, bao, ahead):
        bao.put("app/x", v="one")
        if is_known:
            assert lab.run("sync").code == 0 and lab.site.values() == {"x": "one"}
        for value in ("two", "three"):
            bao.put("app/x", v=value)
            assert lab.run("sync").code == 0 and lab.site.values() == {"x": value}
            assert lab.run("where", f"{bao.mount}/app/x").code == 0
        assert lab.run("rollback", "x", "--to", "2", "--reason", "leak").code == 0
        assert lab.site.values() == {"x": "two"}
        bao.put("app/x", v="four")
        assert lab.run("rollback", "x", "--end", "--reason", "mended").code == 0
        assert lab.site.values() == {"x": "four"} and lab.statuses() == {"x": "synced"}


@pytest.mark.parametrize("seconds", [60, 7200])
def test_what_was_made_anew_under_a_clock_that_was_put_right(lab: Lab, bao: Bao, seconds: int) -> None:
    """By their dates the new one is the earlier one: nobody can tell it from a lag, and that is said."""
    front, real = {"ahead": True}, passing(bao, lambda _method, _path: None)

    def answer(method: str, path: str, sent: bytes) -> Answer:
        told = real(method, path, sent)
        return replace(told, body=_ahead(told.body, timedelta(seconds=seconds))) if front["ahead"] else told

    with job_behind(lab, bao, answer):
        bao.put("app/x", v="LEAKED")
        assert lab.run("sync").code == 0
        bao.remove("app/x")
        bao.put("app/x", v="NEW")
        front["ahead"] = False
        for minutes in (0, 2):
            with machine_clock(lab, timedelta(minutes=minutes)) as app:
                told = one_cycle(app)
            assert lab.site.values() == {"x": "LEAKED"} and lab.statuses() == {"x": "behind"}, told
            assert told.exit_code == 0
            assert lab.run("where", f"{bao.mount}/app/x").code == 1
        assert "another secret under this path" in lab.run("status").out
        with machine_clock(lab, timedelta(minutes=4)) as app:
            one_cycle(app)
        assert lab.site.values() == {"x": "NEW"} and lab.statuses() == {"x": "synced"}


def test_a_pinned_version_that_a_lagging_server_lacks_is_behind(lab: Lab, bao: Bao, reads: Reads) -> None:
    bao.put("app/x", v="one")
    rule = {"path": f"{bao.mount}/app/x", "field": "v", "name": "x", "version": 1}
    lab.job("job", "vault", rule)
    assert lab.run("sync").code == 0
    bao.put("app/x", v="two")
    reads.lags, rule["version"] = True, 2
    told = lab.run("sync")
    assert lab.site.values() == {"x": "one"} and "is gone" not in told.out, told.out
    arrives(lab, reads, "two")


@pytest.mark.parametrize("is_new", [False, True])
def test_a_lag_that_lasts_misses_an_objective(lab: Lab, bao: Bao, reads: Reads, is_new: bool) -> None:
    lab.config["jobs"]["job"]["objective"] = "1h"
    bao.put("app/x" if not is_new else "app/a", v="one")
    assert lab.run("sync").code == 0
    reads.remember("app/x" if not is_new else "app/a")
    bao.put("app/x", v="two")
    reads.lags = True
    lab.run("sync")
    assert "a server that lags" in lab.run("status").out
    with App(load(lab.config_file)) as app:
        assert [problem.kind for problem in app.ledger.all_problems()] == ["failed" if is_new else "behind"]
        (run,) = app.ledger.runs()
        for minutes, words in ((58, ""), (62, "1 of its secrets has waited for longer")):
            now = app.runtime.clock() + timedelta(minutes=minutes)
            told = why_late(app, app.runtime.jobs["job"], "shop", replace(run, succeeded_at=now), now)
            assert told == words
    arrives(lab, reads, "two")
    assert "lags" not in lab.run("status").out


def test_what_was_never_read_is_told_by_its_path(lab: Lab, bao: Bao, reads: Reads) -> None:
    bao.put("app/a", v="a")
    assert lab.run("sync").code == 0
    reads.remember("app/a")
    bao.put("app/x", v="one")
    reads.lags = True
    told = lab.run("sync")
    assert told.code == 1 and f"{bao.mount}/app/x: it is listed, and reading it finds nothing" in told.out, told.out
    assert lab.run("where", f"{bao.mount}/app/x").code == 1
    arrives(lab, reads, "one")


@pytest.mark.sweep
@pytest.mark.parametrize("times", [1, 2])
def test_the_end_of_a_rollback_waits_for_the_newest_version(lab: Lab, bao: Bao, reads: Reads, times: int) -> None:
    for value in ("one", "two"):
        bao.put("app/x", v=value)
        assert lab.run("sync").code == 0
    for _ in range(times - 1):
        assert lab.run("rollback", "x", "--to", "1", "--reason", "leak").code == 0
        assert lab.run("rollback", "x", "--end", "--reason", "mended").code == 0
    reads.remember("app/x")
    bao.put("app/x", v="three")
    assert lab.run("rollback", "x", "--to", "1", "--reason", "leak").code == 0
    reads.lags = True
    lab.run("rollback", "x", "--end", "--reason", "mended")
    is_told(lab, bao, "one")
    arrives(lab, reads, "three")


LAGS = [("listing", "metadata", "data"), ("listing", "metadata"), ("data",), ("metadata", "data"), ("listing", "data")]


@pytest.mark.sweep
@pytest.mark.parametrize("lags", LAGS)
@pytest.mark.parametrize("to", [("--to", "1"), ()])
@pytest.mark.parametrize("path", ["*", "x"])
def test_a_rollback_takes_no_version_of_a_secret_of_before(
    lab: Lab, bao: Bao, lags: tuple[str, ...], to: tuple[str, ...], path: str
) -> None:
    """Deleted and made anew, its numbers begin again: a server that lags has another version of this number."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        lab.config["jobs"]["job"]["secrets"][0]["path"] = f"{bao.mount}/app/{path}"
        for value in ("OLD-1", "OLD-2"):
            bao.put("app/x", v=value)
            lab.run("sync")
        for number in (1, 2, 3):
            servers.asked_for.add(("GET", f"/v1/{bao.mount}/data/app/x?version={number}"))
        servers.remember()
        bao.remove("app/x")
        for value in ("NEW-1", "NEW-2"):
            bao.put("app/x", v=value)
            assert lab.run("sync").code == 0
        servers.of = dict.fromkeys(lags, 0)
        told = lab.run("rollback", "x", *to, "--reason", "leak")
        assert told.code == 4 and "a server that lags" in told.err, told.err
        lab.run("sync")
        assert lab.site.values() == {"x": "NEW-2"}
        servers.of = {}
        assert lab.run("rollback", "x", *to, "--reason", "leak").code == 0
        for _ in range(2):
            assert lab.site.values() == {"x": "NEW-1"}
            servers.of = dict.fromkeys(lags, 0)
            lab.run("sync")
        lab.run("rollback", "x", "--end", "--reason", "mended")
        lab.run("sync")
        assert lab.site.values()["x"] in {"NEW-1", "NEW-2"}, "not what was before both"
        servers.of = {}
        lab.run("sync")
        arrives(lab, servers, "NEW-2")


def line(path: str, version: int | None = None, operation: str = "update") -> str:
    """An audit device's, with the version or, as some devices leave that out, without."""
    told = {"response": {"data": {"version": version}}} if version is not None else {}
    return json.dumps({"type": "response", "request": {"operation": operation, "path": path}, **told})


@contextmanager
def woken(lab: Lab, bao: Bao) -> Iterator[Callable[..., int]]:
    """A daemon whose schedule is rare, and what hands it the lines of writes to paths of `app`."""
    lab.config["jobs"]["job"]["schedule"] = {"every": "1h"}
    token = lab.secret_file("api-token", "generated-token")
    lab.config["server"] = {"listen": f"127.0.0.1:{free_ports(1)}", "token": {"file": str(token)}}
    with running(lab) as (process, url):

        def event(*names: str, version: int | None = None, deleted: bool = False) -> int:
            call, operation = ("metadata", "delete") if deleted else ("data", "update")
            body = "\n".join(line(f"{bao.mount}/{call}/app/{name}", version, operation) for name in names)
            return ask(url + "/hooks/vault-audit", "POST", "generated-token", body.encode())[0]

        yield event
        process.terminate()
        assert process.wait(30) == 0


def test_an_event_is_not_spent_before_what_it_named_was_read(lab: Lab, bao: Bao, reads: Reads) -> None:
    bao.put("app/x", v="one")
    with woken(lab, bao) as event:
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
            servers.of = dict.fromkeys(("listing", "metadata", "data"), 0)
            asked = servers.looks
            assert event("x", version=2) == 202
            until(lambda: servers.looks > asked + 1)
            servers.of = {}
            until(lambda: lab.site.values() == {"x": "two"}, 20)
            assert lab.wix.site(other).values() == {"x": "one"}


@pytest.mark.parametrize("holds", [False, True])
def test_a_person_goes_back_in_a_vault_that_was_restored(lab: Lab, bao: Bao, *, holds: bool) -> None:
    """The newest version is an older one than was seen: which one is meant is for a person to say, and is heard."""
    servers = Servers(bao)
    with job_behind(lab, bao, servers):
        for value in ("one", "two"):
            bao.put("app/x", v=value)
            lab.run("sync")
        servers.asked_for |= {("GET", f"/v1/{bao.mount}/data/app/x?version={number}") for number in (1, 2, 3)}
        servers.remember()
        bao.put("app/x", v="three")
        lab.run("sync")
        if holds:
            assert lab.run("rollback", "x", "--to", "1", "--reason", "leak").code == 0
        servers.of = dict.fromkeys(("listing", "metadata", "data"), 0)
        unnamed = lab.run("rollback", "x", "--reason", "leak")
        assert unnamed.code == (3 if holds else 4), unnamed.err
        assert lab.run("rollback", "x", "--to", "1", "--reason", "leak").code == 0
        assert lab.site.values() == {"x": "one"}


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
            servers.of = dict.fromkeys(("listing", "metadata", "data"), 0)
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
            servers.of = dict.fromkeys(("listing", "metadata", "data"), 0)
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
            servers.of = dict.fromkeys(("listing", "metadata", "data"), 0)
            for number in (2, 3):
                assert event("x", version=number if tells else None) == 202
            until(lambda: lab.site.values()["x"] == "two")
            servers.of = {}
            until(lambda: lab.site.values()["x"] == "three", 25)
            if beside == "another job":
                until(lambda: lab.site.values()["other"] == "three", 25)
