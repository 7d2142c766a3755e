"""Where the audit trail is shipped to: in order, at least once, by one process at a time; and what is pruned."""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from syncd.audit_sinks import shipper
from syncd.audit_sinks.sinks import HttpSink, SinkError
from syncd.domain.audit import Entry
from syncd.ledger.audit_reading import Filter
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from tests.fakes import SetClock
from tests.lab import Bao, Lab

pytestmark = pytest.mark.kind


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in range(3):
        bao.put(f"snk/s{number}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/snk/*"})
    return lab


def exported(lab: Lab) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lab.run("audit", "export").out.splitlines()]


def by_stream(lines: list[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for line in lines:
        found.setdefault(line["stream"], []).append(line["seq"])
    return found


class Siem:
    """A place that takes JSON lines, or says no."""

    def __init__(self) -> None:
        self.status = 200
        self.delay = 0.0
        """Seconds that it thinks before it answers."""
        self.got: list[dict[str, Any]] = []
        self.asked = 0
        """How many requests there were, refused ones included."""
        siem = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                siem.asked += 1
                threading.Event().wait(siem.delay)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if siem.status == 200:
                    siem.got += [json.loads(line) for line in body.splitlines()]
                self.send_response(siem.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/ingest"


@pytest.fixture
def siem() -> Iterator[Siem]:
    one = Siem()
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_a_file_gets_every_line_once_and_in_order(job: Lab) -> None:
    sink = job.folder / "audit.jsonl"
    job.config["audit"] = {"file": str(sink)}
    assert job.run("sync").code == 0 and job.run("state", "forget", "s1_v").code == 0 and job.run("sync").code == 0
    lines = [json.loads(line) for line in sink.read_text().splitlines()]
    assert sorted(lines, key=lambda line: (line["stream"], line["seq"])) == sorted(
        exported(job), key=lambda line: (line["stream"], line["seq"])
    )
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in by_stream(lines).values())
    assert sink.stat().st_mode & 0o777 == 0o600
    assert job.run("audit", "verify", "--heads", str(sink)).code == 0, "what a sink got is what heads are"


def test_a_sink_that_was_away_catches_up(job: Lab, siem: Siem) -> None:
    job.config["audit"] = {"url": siem.url}
    siem.status = 503
    done = job.run("sync")
    assert done.code == 0 and [event for event in done.events if event["event"] == "audit.unshipped"]
    assert not siem.got and len(job.site.values()) == 3
    siem.status = 200
    assert job.run("sync").code == 0
    assert by_stream(siem.got) == by_stream(exported(job))


def test_a_token_in_its_address_is_in_no_ledger(job: Lab, siem: Siem) -> None:
    """Services take one in the query; another one in its place is the same sink, and gets nothing twice."""
    token, later = secrets.token_hex(16), secrets.token_hex(16)
    job.config["audit"] = {"url": f"{siem.url}?token={token}"}
    assert job.run("sync").code == 0
    # As earlier versions kept it.
    with contextlib.closing(sqlite3.connect(job.state)) as database, database:
        database.execute("UPDATE syncd_audit_shipped SET sink = ?", (f"url {siem.url}?token={token}",))
    for now in (token, later):
        job.config["audit"] = {"url": f"{siem.url}?token={now}"}
        assert job.run("sync").code == 0
    assert by_stream(siem.got) == by_stream(exported(job)), "each line once"
    with contextlib.closing(sqlite3.connect(job.state)) as database:
        kept = str(database.execute("SELECT * FROM syncd_audit_shipped").fetchall())
    assert token not in kept and later not in kept


HALF = '{"actor":{"id":"ro'


def test_a_half_line_that_a_full_disk_left_is_ended(job: Lab, bao: Bao) -> None:
    sink = job.folder / "audit.jsonl"
    job.config["audit"] = {"file": str(sink)}
    sink.write_text(HALF)
    assert job.run("sync").code == 0
    first, *rest = sink.read_text().splitlines()
    assert first == HALF and len(rest) == len(exported(job))
    for _ in range(2):
        bao.put("snk/more", v=secrets.token_hex(4))
        assert job.run("sync").code == 0
    first, *rest = sink.read_text().splitlines()
    assert first == HALF and len(rest) == len(exported(job)), "and so on, from the first whole line"


def test_a_required_sink_holds_up_writing_once_a_line_is_old(job: Lab, siem: Siem, bao: Bao) -> None:
    job.config["audit"] = {"url": siem.url, "required": True}
    siem.status = 500
    assert job.run("sync").code == 0, "not for five minutes"
    before = job.wix.count("POST", "PATCH", "DELETE")
    aged(job, timedelta(minutes=6))
    bao.put("snk/s0", v="2")
    held = job.run("sync")
    assert held.code == 7 and "audit.required" in held.err and job.wix.count("POST", "PATCH", "DELETE") == before
    assert job.run("plan").code == 0, "a look needs no line"
    siem.status = 200
    assert job.run("sync").code == 0 and job.site.values()["s0_v"] == "2"
    assert siem.got


def aged(lab: Lab, span: timedelta) -> None:
    """As if its lines were written earlier: only the column that the backlog is judged by."""
    import sqlite3

    with sqlite3.connect(lab.state) as ledger:
        ledger.execute("UPDATE syncd_audit SET at = at - ?", (int(span.total_seconds() * 1_000_000),))
    ledger.close()


@pytest.mark.parametrize(
    "audit",
    [
        {"file": "a", "url": "https://x.example"}, {"required": True}, {"keep": "1h"}, {"url": "http://siem.example/x"},
        {"url": "https://user:pw@siem.example/x"}, {"url": "ftp://x"}, {"stdout": True, "file": "x"},
    ],
)  # fmt: skip
def test_what_is_no_sink_is_a_fault_with_its_line(job: Lab, audit: dict[str, Any]) -> None:
    job.config["audit"] = audit
    done = job.run("check")
    assert done.code == 3 and "audit" in done.err and "pw" not in done.err


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: SetClock) -> Iterator[Ledger]:
    one = Ledger(sqlite_engine(tmp_path / "s.db"), "here", tmp_path / "s.db", clock)
    yield one
    one.close()


KEEP = timedelta(days=30)


def days(ledger: Ledger, clock: SetClock, count: int) -> None:
    for _ in range(count):
        ledger.audit.note(Entry(event="secret.frozen", name=f"{clock.now:%m-%d}"))
        clock.now += timedelta(days=1)


def test_old_lines_go_and_the_chain_still_verifies(ledger: Ledger, clock: SetClock) -> None:
    days(ledger, clock, 40)
    for _ in range(12):
        ledger.audit.prune(KEEP, None)
        clock.now += timedelta(days=1)
    left = [line for line in ledger.audit.lines(Filter()) if line["event"] == "secret.frozen"]
    assert datetime.fromisoformat(left[0]["at"]) >= clock.now - KEEP - timedelta(days=2)
    assert ledger.audit.verify({})[0] == []
    ledger.audit.note(Entry(event="secret.frozen", name="after"))
    assert ledger.audit.verify({})[0] == []


def test_a_clock_that_jumped_takes_two_days_of_lines_a_day(ledger: Ledger, clock: SetClock) -> None:
    days(ledger, clock, 20)
    before = len(list(ledger.audit.lines(Filter(event="secret.frozen"))))
    clock.now += timedelta(days=4000)
    for _ in range(50):
        ledger.audit.prune(KEEP, None)
    assert before - len(list(ledger.audit.lines(Filter(event="secret.frozen")))) <= 3


def test_what_is_not_shipped_stays(ledger: Ledger, clock: SetClock) -> None:
    days(ledger, clock, 20)
    clock.now += timedelta(days=100)
    ledger.audit.mark_shipped("x", {"control": 2})
    for _ in range(20):
        ledger.audit.prune(KEEP, "x")
        clock.now += timedelta(days=1)
    left = [line["seq"] for line in ledger.audit.lines(Filter())]
    assert min(left) == 3 and ledger.audit.verify({})[0] == []


@pytest.mark.parametrize(
    "environ", [{"NO_PROXY": "fd00::/8,10.0.0.0/8"}, {"ALL_PROXY": "socks9://x:1"}, {"HTTPS_PROXY": "http://[::1"}]
)
def test_the_environment_is_no_bug_of_a_sink(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are posted by the law of proxies that Wix and Vault are reached by."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SinkError) as caught:
        HttpSink("https://collector.invalid/lines").send(["{}"])
    assert "collector.invalid" in caught.value.message and "socks9" not in str(caught.value)


def test_a_required_sink_holds_up_all_sites_that_go_side_by_side(job: Lab, siem: Siem, bao: Bao) -> None:
    """Who asks while another one looks for the answer waits for it."""
    sites = {"shop": job.site}
    for name in ("two", "three", "four"):
        site = str(uuid.uuid4())
        job.secret_file(f"key-{name}", job.wix.issue_key(site))
        job.config["targets"][name] = job.target(site, f"key-{name}")
        sites[name] = job.wix.site(site)
    job.config["jobs"]["job"]["targets"] = list(sites)
    job.config["audit"] = {"url": siem.url, "required": True}
    siem.status, siem.delay = 500, 0.5
    assert job.run("sync").code == 0, "not for five minutes"
    aged(job, timedelta(minutes=6))
    bao.put("snk/s0", v="2")
    siem.asked = 0
    assert job.run("sync").code == 7
    assert {site.values()["s0_v"] for site in sites.values()} == {"1"}
    # One look for all sites, and one at the run's end.
    assert siem.asked <= 2, f"asked {siem.asked} times, and each is waited for"


@pytest.mark.parametrize(
    "what",
    [
        "sqlite",
        "key",
        "token",
        "certificate",
        "yaml",
        "json",
        "one line",
        "two lines",
        "flow",
        "template",
        "comma",
        "two objects",
        "export",
        "empty",
        "lines",
    ],
)
def test_lines_are_appended_to_lines_alone(job: Lab, what: str) -> None:
    """Named by a link that was made after the configuration was checked, say."""
    held = {
        "sqlite": b"SQLite format 3\x00", "key": b"00ff" * 16 + b"\n", "token": b"s.not-a-token\n",
        "certificate": b"-----BEGIN CERTIFICATE-----\n", "yaml": b"owner: me\n", "empty": b"",
        "one line": b'{"type": "service_account"}',
        "two lines": b'{"type": "service_account",\n "private_key": "k"}', "flow": b"{user: a, password: b}",
        "template": b"{{ .Values.key }}\n", "comma": b'{"key": "k",}', "two objects": b'{"a": 1}{"b": 2}',
        "json": b'{"type": "service_account"}\n', "export": b'{\n "records": []\n}\n',
        "lines": b'{"hash":"ab","seq":1,"stream":"control"}\n',
    }  # fmt: skip
    sink = job.folder / "audit.jsonl"
    sink.write_bytes(held[what])
    job.config["audit"] = {"file": str(sink)}
    done = job.run("sync")
    if what in {"empty", "lines"}:
        assert sink.read_bytes().startswith(held[what]) and len(sink.read_bytes()) > 100
        return
    assert sink.read_bytes() == held[what]
    assert "holds something else than audit lines" in done.err and done.code == 0


@pytest.mark.parametrize("place", ["/ingest/{}", "/ingest?token={}", "/{}/x?y=1"])
def test_a_token_in_a_sinks_address_is_shown_nowhere(lab: Lab, bao: Bao, place: str) -> None:
    """Services take theirs in the path or the query; of the address the trail and the report have the origin."""
    token = secrets.token_urlsafe(24)
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.config["audit"] = {"url": f"http://127.0.0.1:9{place.format(token)}"}
    done = lab.run("sync")
    told = [done, *(lab.run(*words) for words in (["audit", "export"], ["report", "--evidence", "1h.."], ["check"]))]
    assert done.code == 0 and "url http://127.0.0.1:9" in told[1].out
    assert not any(token in one.out + one.err for one in told)


def test_an_outage_of_the_sink_is_in_the_trail_and_in_the_evidence(
    job: Lab, siem: Siem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Did logging fail in that time? One line when the sink is behind, one when it has everything again."""
    job.config["audit"] = {"url": siem.url}
    assert job.run("sync").code == 0
    siem.status = 503
    job.run("pause", "job", "--reason", "x")
    monkeypatch.setattr(shipper, "PATIENCE", timedelta(0))
    for _ in range(3):
        job.run("resume", "job")
        job.run("sync")
    siem.status = 200
    for _ in range(3):
        assert job.run("sync").code == 0
    told = [line for line in exported(job) if line["event"].startswith("audit.") and "shipped" in line["event"]]
    assert [line["event"] for line in told] == ["audit.unshipped", "audit.shipped"]
    today = datetime.now(UTC).date()
    evidence = job.run("report", "--evidence", f"{today - timedelta(days=1)}..{today + timedelta(days=1)}").json
    behind = evidence["questions"]["q9"]["answer"]["behind for more than five minutes"]
    assert [row["event"] for row in behind] == ["audit.unshipped", "audit.shipped"]
    assert by_stream(siem.got).keys() == by_stream(exported(job)).keys()
