"""The promises that are figures: the quota used to the end, what an idle cycle asks, CPU and memory, many sites, start-up."""

from __future__ import annotations

import math
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import yaml

from syncd.bootstrap.app import App, Surroundings
from syncd.bootstrap.sources import SourceHooks
from syncd.config import load
from syncd.domain import Record, SecretRef
from syncd.domain.audit import Entry
from syncd.domain.ports import AuditBatch
from syncd.domain.statuses import Served
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.search import Search
from syncd.ledger.store import Ledger
from syncd.reconcile.run_job import Run, sync_job
from tests.benchmarks.stage import AWS, PYTHON, Stage, measured

Told = list[tuple[str, str, str]]
"""What, the figure, what it is held against."""


def counting(asked: Counter[str]) -> Surroundings:
    """An app's surroundings in which the calls to its sources are counted."""
    return Surroundings(source_hooks=SourceHooks(on_call=lambda _source, call: asked.update([call])))


def quota(on: Stage) -> Told:
    """600 secrets under 200 requests per 5 s."""
    site, secrets, limit, window = on.site(), 600, 200, 5
    on.options(site, quota=limit, quota_window=window)
    config = on.config({"job": ("vault", on.seed("vault", secrets))}, [site], rate_limit=f"{limit}/{window}s")
    run = on.syncd(config, "sync")
    seen = on.requests(site)
    refused = sum(one["status"] == 429 for one in seen)
    ideal = (math.ceil(len(seen) / limit) - 1) * window
    took = seen[-1]["at"] - seen[0]["at"]
    return [
        (
            f"{secrets} secrets, {limit} requests per {window} s",
            f"{took:.2f} s from the first request to the last, {took / ideal:.3f} of what the quota allows; {run.wall:.1f} s in all",
            f"{len(seen)} requests take {ideal} s; 1.05",
        ),
        ("… requests refused", str(refused), "0"),
    ]


def calls(on: Stage, count: int) -> Told:
    """What an idle cycle asks of each peer."""
    told: Told = []
    environ = {**AWS, "VAULT_TOKEN": on.bao.token, "WIX_KEY": on.wix["key"]}
    os.environ.update(environ)
    for source in ("vault", "aws"):
        site = on.site()
        settings = load(on.config({"job": (source, on.seed(source, count))}, [site]))
        for _ in range(3):
            asked: Counter[str] = Counter()
            before = len(on.requests(site))
            with App(settings, counting(asked)) as app:
                (report,) = sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="bench", wait=timedelta(0)))
            assert report.exit_code == 0, report
        wix = len(on.requests(site)) - before
        expected = "1 a tree, and which mount it is" if source == "vault" else f"{math.ceil(count / 100)} pages"
        shown = ", ".join(f"{number} {call}" for call, number in sorted(asked.items()))
        told.append(
            (f"idle cycle of {count:,} from {source}", f"{shown}; {wix} at Wix", f"{expected}; no values; 1 at Wix")
        )
    return told


def scale(on: Stage, sizes: tuple[int, int]) -> Told:
    """CPU and memory of large jobs, from one OpenBao to one site."""
    told: Told = []
    cpu = []
    for count in sizes:
        config = on.config({"job": ("vault", on.seed("vault", count))}, [on.site()])
        first, _, idle = (on.syncd(config, "sync") for _ in range(3))
        cpu.append(first.cpu)
        told += [
            (f"first sync of {count:,}", f"{first.wall:.1f} s, {1000 * first.cpu / count:.2f} ms of CPU a secret, {first.peak:.0f} MiB", "4 ms, 120 MB"),
            (f"idle cycle of {count:,}", f"{idle.wall:.2f} s, {idle.cpu:.2f} s of CPU, {idle.peak:.0f} MiB", "2 s, 120 MB"),
        ]  # fmt: skip
    told.append((f"CPU of {sizes[1]:,} against {sizes[0]:,}", f"{cpu[1] / cpu[0]:.2f} times", "4.5 times"))
    return told


def audit(on: Stage, count: int) -> Told:
    """What the audit trail costs: a first sync with it against one without, and how long it takes to verify."""
    environ = {**AWS, "VAULT_TOKEN": on.bao.token, "WIX_KEY": on.wix["key"]}
    mount, cpu = on.seed("vault", count), {}
    for program in ("tests.benchmarks.unaudited", "syncd"):
        config = on.config({"job": ("vault", mount)}, [on.site()])
        cpu[program] = measured([PYTHON, "-m", program, "--config", str(config), "sync"], environ).cpu
    with_it, without = cpu["syncd"], cpu["tests.benchmarks.unaudited"]
    verified = measured([PYTHON, "-m", "syncd", "--config", str(config), "audit", "verify"], environ)
    lines = int(verified.out.rpartition(" lines in")[0].split()[-1])
    return [
        (f"first sync of {count:,} with the audit trail", f"{with_it / without:.3f} of the CPU without", "1.10"),
        (f"audit verify of {lines:,} lines", f"{verified.wall:.2f} s with start-up", "2 s for 100,000 without"),
    ]


TEN_RULES: list[dict[str, Any]] = [
    {"id": "old", "max_age": "90d", "then": "warn"},
    {"id": "weak", "min_length": 4, "then": "deny"},
    {"id": "todo", "placeholder": True, "then": "warn"},
    {"id": "staging", "path": "*/staging/**", "label": {"env": "prod"}, "then": "deny"},
    {"id": "twice", "duplicate": {"across": "names"}, "then": "warn"},
    {"id": "envs", "duplicate": {"across": "label.env"}, "then": "warn"},
    {"id": "form", "require": {"name": "*"}, "then": "deny"},
    {"id": "ours", "unmanaged": True, "then": "warn"},
    {"id": "release", "label": {"env": "live"}, "then": "hold"},
    {"id": "long", "max_length": 3000, "then": "deny"},
]


def rules(on: Stage, count: int) -> Told:
    """What ten rules cost an idle cycle: CPU, calls, lines."""
    os.environ.update({**AWS, "VAULT_TOKEN": on.bao.token, "WIX_KEY": on.wix["key"]})
    mount, site = on.seed("vault", count), on.site()
    config = on.config({"job": ("vault", mount)}, [site], labels={"env": "prod"})
    plain = yaml.safe_load(config.read_text())
    cpu: dict[bool, list[float]] = {False: [], True: []}
    asked: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    lines = 0
    for number in range(8):
        governed = bool(number % 2)
        config.write_text(yaml.safe_dump({**plain, "rules": TEN_RULES if governed else []}))
        asked[governed].clear()
        with App(load(config), counting(asked[governed])) as app:
            before, lines_before = time.process_time(), sum(seq for seq, _ in app.ledger.audit_heads().values())
            (report,) = sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="bench", wait=timedelta(0)))
            cpu[governed].append(time.process_time() - before)
            lines = sum(seq for seq, _ in app.ledger.audit_heads().values()) - lines_before
        assert report.exit_code == 0, report
    more = 1000 * (sorted(cpu[True][1:])[1] - sorted(cpu[False][1:])[1])
    shown = ", ".join(f"{number} {call}" for call, number in sorted(asked[True].items()))
    same = "the same calls" if asked[True] == asked[False] else f"other calls: {asked[False]}"
    return [
        (f"ten rules over an idle cycle of {count:,}", f"{more:.0f} ms of CPU more", "250 ms"),
        ("… calls and lines", f"{shown} ({same}); {lines} lines of the trail", "no more calls, no values, 0 lines"),
    ]


def evidence(on: Stage, lines: int) -> Told:
    """The auditor's file over a trail of so many lines: time and memory."""
    config = on.config({"job": ("vault", on.seed("vault", 100))}, [on.site()])
    on.syncd(config, "sync")
    state = Path(yaml.safe_load(config.read_text())["state"]["path"])
    ledger = Ledger(sqlite_engine(state), "bench", state)
    with ledger.lock("site", holder="bench", wait=timedelta(0)) as journal:
        for part in range(lines // 2000):
            begun = [
                Entry(
                    event="secret.update", outcome="intent", name=f"N{part}_{number}", site="site", job="job",
                    target="site0", from_version="1", to_version="2", remote_id=f"id{number}", detail={"why": "new source version"},
                )
                for number in range(1000)
            ]  # fmt: skip
            journal.write(audit=AuditBatch(intents=tuple(begun)))
            journal.write(audit=AuditBatch(ends=tuple(replace(one, outcome="done") for one in begun)))
    ledger.close()
    run = on.syncd(config, "report", "--evidence", "1d..")
    return [
        (f"evidence over {lines:,} lines", f"{run.wall:.1f} s, {run.peak:.0f} MiB, {len(run.out) / 1e6:.0f} MB of JSON", "30 s, 200 MB")
    ]  # fmt: skip


def search(on: Stage, rows: int) -> Told:
    """What the page of secrets asks of a ledger of so many rows, against reading the rows one by one."""
    state, number = on.folder / "searched.db", rows // 100
    ledger, now = Ledger(sqlite_engine(state, durable=False), "bench", state), datetime.now(UTC)
    for site in range(100):
        with ledger.lock(f"site-{site:03}", holder="bench", wait=timedelta(0)) as journal:
            journal.write(put=(_searched(f"site-{site:03}", each, now) for each in range(number)))
    served = Served(jobs={f"site-{site:03}": frozenset({"job"}) for site in range(100)})
    asked = {
        "the first page": Search(),
        "a page in the middle": Search(after=(f"app_{number // 2:06}_key", "site-050", f"app_{number // 2:06}_key")),
        "by age": Search(order="age"),
        "what failed": Search(status="failed"),
        "a part of a name": Search(text=f"{number - 1:06}"),
        "a text that nothing holds": Search(text="nothing-holds-this"),
    }
    told = []
    with sqlite3.connect(state) as database:
        plain = _milliseconds(lambda: database.execute(SCAN).fetchall())
    for what, one in asked.items():
        took = _milliseconds(lambda one=one: ledger.find(one, served, now))
        told.append((f"{what}, of {rows:,}", f"{took:.1f} ms, 1/{plain / took:.0f} of a scan", "200 ms"))
    pages: dict[str, Callable[[], object]] = {
        "counts by status": lambda: ledger.tallies(now),
        "what is frozen": lambda: ledger.frozen(now, 200),
        "the oldest": lambda: ledger.oldest(None, 300),
        "where one path is": lambda: [*ledger.records_from("vault", "kv/app/000001"), ledger.spellings("vault", "kv/app/000001")],
    }  # fmt: skip
    for what, call in pages.items():
        took = _milliseconds(call)
        told.append((f"{what}, of {rows:,}", f"{took:.1f} ms, 1/{plain / took:.0f} of a scan", "100 ms"))
    ledger.close()
    return told


SCAN = "SELECT name FROM syncd_records WHERE lower(name) LIKE '%nothing%' OR lower(path) LIKE '%nothing%' ORDER BY name"


def _searched(site: str, number: int, now: datetime) -> Record:
    return Record(
        site=site, target=site, job="job", name=f"app_{number:06}_key", remote_id=f"{site}-{number}", version="kv2:1@x",
        ref=SecretRef(source="vault", path=f"kv/app/{number:06}", field="key"),
        status="synced" if number % 5000 else "failed", last_synced_at=now, source_updated_at=now - timedelta(days=number % 700),
    )  # fmt: skip


def _milliseconds(call: Callable[[], object]) -> float:
    """The median of 20."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - began))
    return median(times)


def sites(on: Stage, count: int, secrets: int) -> Told:
    """One source read for many sites."""
    told: Told = []
    for number in (count // 4, count):
        mine = [on.site() for _ in range(number)]
        config = on.config({"job": ("vault", on.seed("vault", secrets))}, mine)
        first, _, idle = (on.syncd(config, "sync") for _ in range(3))
        told.append(
            (f"{number} sites x {secrets} secrets", f"first {first.wall:.1f} s, {first.peak:.0f} MiB; idle {idle.wall:.1f} s, {idle.peak:.0f} MiB", "memory flat")
        )  # fmt: skip
    return told


def startup(on: Stage) -> Told:
    """How long until something happens."""
    helping = min(measured([PYTHON, "-m", "syncd", "--help"], {}).wall for _ in range(3))
    config = on.config({"one": ("vault", on.seed("vault", 1000)), "two": ("aws", on.seed("aws", 1000))}, [on.site()])
    for _ in range(2):
        on.syncd(config, "sync")
    idle = on.syncd(config, "sync")
    return [
        ("syncd --help", f"{helping:.2f} s", "0.4 s"),
        ("idle sync of 1,000 from OpenBao and 1,000 from AWS", f"{idle.wall:.2f} s", "2 s"),
        ("daemon ready", f"{_ready(on, config):.2f} s", "1 s"),
    ]


def _ready(on: Stage, config: Path) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told: dict[str, Any] = yaml.safe_load(config.read_text())
    told["server"] = {"listen": f"127.0.0.1:{port}"}
    for job in told["jobs"].values():
        job["schedule"] = {"every": "1h"}
    config.write_text(yaml.safe_dump(told))
    environ = {**os.environ, **AWS, "VAULT_TOKEN": on.bao.token, "WIX_KEY": on.wix["key"]}
    started = time.perf_counter()
    process = subprocess.Popen(
        [PYTHON, "-m", "syncd", "--config", str(config), "run"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )  # fmt: skip
    try:
        while process.poll() is None and time.perf_counter() - started < 30:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/livez", timeout=1).status_code == 200:
                    return time.perf_counter() - started
            except httpx.HTTPError:
                time.sleep(0.02)
        raise RuntimeError("the daemon did not come up")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
