"""The API: its document, its rights, commands that ask a daemon, and a candidate configuration."""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import yaml

from syncd.web.openapi import DOCUMENT
from tests.e2e.test_console import Client, World
from tests.lab import Bao, Lab, Result
from tests.support.console_world import seeded
from tests.support.daemon import ask, running
from tests.support.waiting import until


@pytest.fixture
def world(lab: Lab, bao: Bao) -> Iterator[World]:
    tokens = seeded(lab, bao, sites=3, refusing=0, secrets_a_job=6)
    with running(lab) as (_, url):
        until(lambda: ask(url + "/readyz")[0] == 200, 60)
        yield World(lab, bao, url, tokens)


def call(world: World, method: str, path: str, token: str = "", body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(world.url.removeprefix("http://"), timeout=30)
    given = {"Content-Type": "application/json"} if body is not None else {}
    given |= {"Authorization": f"Bearer {world.tokens[token]}"} if token else {}
    connection.request(method, f"/api/v1/{path}", json.dumps(body) if body is not None else None, given | headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, json.loads(text)


def command(world: World, token: str, *words: str) -> Result:
    return world.lab.run(*words, "--server", world.url, "--token-file", str(world.lab.folder / f"token-{token}"))


@pytest.mark.long
def test_rights_hold_at_the_api_and_for_commands_that_ask_a_daemon(world: World) -> None:
    assert call(world, "GET", "held")[0] == 401
    status, held = call(world, "GET", "held", "reader")
    assert status == 200 and held == world.lab.run("held", "--json").json
    batch = held[0]["batch"]
    assert call(world, "POST", "release", "reader", {"batch": batch, "reason": "x"})[0] == 403
    refused = command(world, "reader", "release", batch, "--reason", "x")
    assert refused.code == 3 and "may not release" in refused.err
    assert call(world, "POST", "pause", "shop-team", {"scope": "all", "reason": "x"})[0] == 403
    assert call(world, "POST", "pause", "alice", {"scope": "job", "name": "nobody", "reason": "x"})[0] == 400
    released = command(world, "shop-team", "release", batch, "--reason", "CHG-9")
    assert released.code == 0 and "is released" in released.out, "its own label's site is within its rights"
    again = command(world, "alice", "release", batch, "--reason", "CHG-9")
    assert again.code in {0, 6}, again.err
    until(lambda: "stripe_key" in world.lab.site.values(), 20)
    assert command(world, "alice", "pause", "feeds", "--reason", "x", "--until", "1h").code == 0
    assert command(world, "alice", "resume", "feeds").code == 0
    assert "stripe_key" in command(world, "reader", "held", "--json").out or command(world, "reader", "held").code == 0
    lines = world.lab.run("audit", "show", "--json").json
    assert {line["actor"]["id"] for line in lines if line["event"] == "secret.released"} == {"shop-team"}


def test_the_calendar_has_an_end(world: World) -> None:
    for day in ("9999-12-31", "9999-12-30", "0001-01-01"):
        status, found = call(world, "GET", f"audit?day={day}", "reader")
        assert status == 200 and found["lines"] == []
        assert world.lab.run("report", "--evidence", f"2026-01-01..{day}").code in {0, 3}


def test_what_is_done_ends_at_the_rights(world: World) -> None:
    for action, body in (
        ("pause", {"scope": "all"}),
        ("pause", {"scope": "job", "name": "feeds"}),
        ("pause", {"scope": "target", "name": "site01"}),
        ("resume", {"scope": "job", "name": "payments"}),
        ("sync", {"job": "feeds"}),
        ("rollback", {"what": "f00_url", "to": "1"}),
    ):
        status, answer = call(world, "POST", action, "shop-lead", {**body, "reason": "x"})
        assert status == 400 and "your rights" in str(answer), (action, body, answer)
    mine = {"scope": "target", "name": "shop"}
    assert call(world, "POST", "pause", "shop-lead", {**mine, "reason": "x", "until": "1h"})[0] == 200
    assert call(world, "POST", "resume", "shop-lead", mine)[0] == 200
    assert call(world, "POST", "sync", "shop-lead", {"job": "stripe"})[0] == 200


def test_names_end_at_the_rights(world: World) -> None:
    everything, mine = (
        call(world, "GET", "secrets", "reader")[1]["rows"],
        call(world, "GET", "secrets", "shop-team")[1]["rows"],
    )
    assert {row["target"] for row in mine} == {"shop"} < {row["target"] for row in everything}
    assert "site01" not in str(call(world, "GET", "status", "shop-team")) and "site01" in str(
        call(world, "GET", "status", "reader")
    )
    assert call(world, "POST", "plan", "shop-team", {"configuration": world.lab.config_file.read_text()})[0] == 400
    report = call(world, "GET", "report", "shop-team")[1]
    assert {row["target"] for row in report["secrets"]} == {"shop"}
    other = next(row for row in everything if row["target"] != "shop")
    assert call(world, "GET", f"secrets/{other['site']}/{other['name']}", "shop-team")[0] == 404


@pytest.mark.long
def test_a_candidate_is_planned_with_the_daemons_ledger(world: World) -> None:
    config = yaml.safe_load(world.lab.config_file.read_text())
    config["jobs"]["feeds"]["secrets"][0]["name"] = "NEW_{path}_{field}"
    status, plan = call(world, "POST", "plan", "reader", {"configuration": yaml.safe_dump(config)})
    names = [action["name"] for part in plan["plans"] for action in part["actions"]]
    assert status == 200 and any(name.startswith("NEW_") for name in names) and plan["checksum"]
    assert call(world, "POST", "plan", "reader", {"configuration": "owner: x"})[0] == 400


@pytest.mark.long
def test_a_candidate_sends_no_credential_anywhere_new(world: World) -> None:
    with _recorder() as (url, asked):
        config = yaml.safe_load(world.lab.config_file.read_text())
        for section, name, key in (("sources", "vault", "address"), ("targets", "shop", "base_url")):
            hostile = json.loads(json.dumps(config))
            hostile[section][name][key] = url
            status, said = call(world, "POST", "plan", "reader", {"configuration": yaml.safe_dump(hostile)})
            assert status == 400 and "not in force" in said["error"], said
        added = json.loads(json.dumps(config))
        added["sources"]["evil"] = {**config["sources"]["vault"], "address": url}
        assert call(world, "POST", "plan", "reader", {"configuration": yaml.safe_dump(added)})[0] == 400
        assert not asked


def _recorder() -> Any:
    import contextlib
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        do_POST = do_PUT = do_LIST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    @contextlib.contextmanager
    def serving() -> Iterator[tuple[str, list[str]]]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        server.server_close()

    return serving()


@pytest.mark.browser
def test_the_api_is_as_its_document_says(world: World) -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    token = {"Authorization": f"Bearer {world.tokens['alice']}", "X-Test": secrets.token_hex(4)}
    seen = 0
    for operation in schema.get_all_operations():
        case_strategy = operation.ok().as_strategy()

        from hypothesis import HealthCheck, given, settings

        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=case_strategy)
        def check(case: Any) -> None:
            nonlocal seen
            response = case.call(base_url=world.url, headers=token, timeout=20)
            case.validate_response(
                response,
                excluded_checks=[schemathesis.checks.positive_data_acceptance]
                if hasattr(schemathesis.checks, "positive_data_acceptance")
                else [],
            )
            assert response.status_code != 500
            seen += 1

        check()
    assert seen > 100


@pytest.mark.long
def test_where_asks_a_daemon_too(world: World) -> None:
    path = f"{world.bao.mount}/feeds/f00#url"
    here, far = world.lab.run("where", path, "--json"), command(world, "reader", "where", path, "--json")
    assert here.code == far.code == 0 and [row["target"] for row in here.json] == [row["target"] for row in far.json]
    assert [row["target"] for row in command(world, "shop-team", "where", path, "--json").json] == ["shop"]
    world.bao.put("feeds/f00", url="newer", user="x")
    assert command(world, "reader", "where", path, "--version", "2").code == 1
    assert call(world, "POST", "sync", "alice", {"job": "feeds"})[0] == 200
    assert command(world, "reader", "where", path, "--version", "2", "--wait", "20s").code == 0


@pytest.mark.long
def test_no_value_and_no_fingerprint_in_any_answer(world: World) -> None:
    from syncd.ledger.engine import sqlite_engine
    from syncd.ledger.store import Ledger

    values = {value for site in world.lab.wix.sites.values() for value in site.values().values() if len(value) >= 12}
    ledger = Ledger(sqlite_engine(world.lab.state), "lab", world.lab.state)
    prints = {str(record.fingerprint) for record in ledger.records()}
    ledger.close()
    assert len(values) > 10 and len(prints) > 10
    texts = []
    for path in ("status", "overview", "secrets", "held", "audit", "report", f"where?path={world.bao.mount}/feeds/f00"):
        status, content = call(world, "GET", path, "alice")
        assert status == 200
        texts.append(json.dumps(content))
    plan = {"configuration": world.lab.config_file.read_text()}
    texts.append(json.dumps(call(world, "POST", "plan", "alice", plan)[1]))
    browser = Client(world.url)
    browser.log_in(world.tokens["alice"])
    row = call(world, "GET", "secrets", "alice")[1]["rows"][0]
    pages = [
        "/",
        "/secrets",
        "/governance",
        "/activity",
        "/jobs",
        "/report.csv",
        "/report.html",
        "/report.md",
        "/metrics",
    ]
    texts += [browser.ask("GET", path)[1] for path in (*pages, f"/secrets/{row['site']}/{row['name']}")]
    texts += [
        world.lab.run(*words).out
        for words in (("held", "--json"), ("rules", "--json"), ("report", "--evidence", "1h.."))
    ]
    for text in texts:
        assert not any(value in text for value in values | prints | set(world.tokens.values()))
