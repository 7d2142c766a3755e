"""The listing comes from one server and the reading from another, which is some moments behind."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.report.lateness import why_late
from tests.chaos.peers import Answer
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock, one_cycle
from tests.support.fronts import job_behind, passing
from tests.support.lagging import Reads, Servers


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
