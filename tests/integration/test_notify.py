"""Messages to people: one when a cause begins, one when it ends, never a value, names only where asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from tests.lab import Bao, Lab


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status == 200:
            self.server.got.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def job(lab: Lab, bao: Bao, receiver: Receiver) -> Lab:
    lab.vault(bao)
    bao.put("app/a", v="canary-value-in-no-message")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    url = lab.secret_file("notify", f"json://127.0.0.1:{receiver.server_port}/hook")
    lab.config["notify"] = [{"url": {"file": str(url)}, "on": ["conflict", "held", "denied"]}]
    return lab


def test_one_when_it_begins_and_one_when_it_ends(job: Lab, receiver: Receiver) -> None:
    job.site.create({"name": "a_v", "value": "x"})
    for _ in range(2):
        assert job.run("sync").code == 1
    assert [one["title"] for one in receiver.got] == ["syncd: conflict in job on shop"]
    assert "canary" not in str(receiver.got) and "a_v" not in str(receiver.got)
    job.site.delete(next(iter(job.site.secrets)))
    for _ in range(2):
        assert job.run("sync").code == 0
    assert [one["title"] for one in receiver.got][1:] == ["syncd: conflict in job on shop has ended"]


def test_names_only_where_somebody_asked_for_them(job: Lab, receiver: Receiver) -> None:
    job.config["rules"] = [{"id": "no", "name": "a_*", "then": "deny"}]
    job.config["notify"][0]["names"] = True
    assert job.run("sync").code == 1
    assert "a_v" in receiver.got[0]["message"] and "denied" in receiver.got[0]["title"]


def test_what_cannot_be_sent_stops_nothing_and_comes_again(job: Lab, receiver: Receiver) -> None:
    receiver.status = 500
    job.site.create({"name": "a_v", "value": "x"})
    result = job.run("sync")
    assert result.code == 1 and not receiver.got and any(one["event"] == "notify.failed" for one in result.events)
    assert "hook" not in result.err and str(receiver.server_port) not in result.err, "the address is a credential"
    receiver.status = 200
    job.run("sync")
    assert len(receiver.got) == 1


def test_a_name_with_line_breaks_is_one_line_and_told_to_nobody_else(job: Lab, bao: Bao, receiver: Receiver) -> None:
    job.config["jobs"]["job"]["secrets"][0]["name"] = "{field}"
    (plain,) = job.config["notify"]
    plain["on"] = ["failed", "conflict"]
    job.config["notify"] = [plain, {**plain, "names": True}]
    bao.put_all("app/b", {"wix\nINTERNAL": "1", "wixother\u2028SECOND\r\n- THIRD": "2"})
    assert job.run("sync").code == 1
    without, named = (one["message"] for one in receiver.got)
    assert not any(word in without for word in ("INTERNAL", "SECOND", "THIRD")) and "2 failed" in without
    assert "INTERNAL" in named and len([line for line in named.splitlines() if line.startswith("- ")]) == 2


def test_a_receiver_that_is_dead_lets_no_other_be_told_again(job: Lab, receiver: Receiver) -> None:
    dead = job.secret_file("dead", "json://127.0.0.1:9/hook")
    (plain,) = job.config["notify"]
    job.config["notify"] = [{**plain, "url": {"file": str(dead)}}, plain]
    job.site.create({"name": "a_v", "value": "x"})
    for _ in range(3):
        assert job.run("sync").code == 1
    assert len(receiver.got) == 1
    dead.write_text((job.folder / "notify").read_text())
    job.run("sync")
    job.run("sync")
    assert len(receiver.got) == 2, "the other one hears of it once it can"
    job.config["notify"] = [plain]
    job.site.delete(next(iter(job.site.secrets)))
    job.run("sync")
    assert [one["title"].endswith("has ended") for one in receiver.got] == [False, False, True]


@pytest.mark.parametrize("url", ["missing", "empty", "unset"])
def test_a_receiver_without_its_address_lets_no_other_wait(job: Lab, receiver: Receiver, url: str) -> None:
    (plain,) = job.config["notify"]
    place = {"env": "SYNCD_SET_NOWHERE"} if url == "unset" else {"file": str(job.folder / "address")}
    if url == "empty":
        (job.folder / "address").write_text("\n")
    job.config["notify"] = [{**plain, "url": place}, plain]
    job.site.create({"name": "a_v", "value": "x"})
    result = job.run("sync")
    assert len(receiver.got) == 1
    assert [one["event"] for one in result.events if "notify" in one["event"]] == ["notify.unreadable", "notify.failed"]


def test_while_another_process_tells_nobody_is_told_twice(job: Lab, receiver: Receiver) -> None:
    job.site.create({"name": "a_v", "value": "x"})
    with App(load(job.config_file)) as other, other.ledger.lock("(notify)", holder="other", wait=timedelta(0)):
        assert job.run("sync").code == 1
    assert not receiver.got, "the other one tells"
    assert job.run("sync").code == 1
    assert len(receiver.got) == 1, "what was new to nobody's turn is told after the next run"
