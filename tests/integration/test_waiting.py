"""Waiting holds nothing: neither threads, nor a site's lock, nor the work of a stranger's request."""

from __future__ import annotations

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from syncd.daemon import Daemon
from syncd.ledger.store import Ledger
from syncd.reconcile.run_job import Run, sync_job
from syncd.sandbox.wix_site import Refusal
from tests.lab import Bao, Lab
from tests.support.daemon import ask, running
from tests.support.waiting import until


def sites(lab: Lab, count: int) -> list[str]:
    """So many more sites, each a target of its own; their ids."""
    found = []
    for number in range(count):
        site = str(uuid.uuid4())
        lab.secret_file(f"key-{number}", lab.wix.issue_key(site))
        lab.wix.site(site).options.quota = 10**6
        lab.config["targets"][f"t{number}"] = lab.target(site, f"key-{number}") | {"rate_limit": "5000/1m"}
        found.append(site)
    return found


def busy(lab: Lab, *site_ids: str) -> None:
    """These sites answer 429, and say nothing of when: syncd waits a minute."""
    for site in site_ids:
        lab.wix.site(site).options.quota = 0


@pytest.mark.long
@pytest.mark.parametrize("count", [12, 30])
def test_jobs_on_a_busy_site_hold_up_no_other(lab: Lab, bao: Bao, count: int) -> None:
    lab.vault(bao)
    bao.put("app/x", v="1")
    (site,) = sites(lab, 1)
    busy(lab, site)
    for number in range(count):
        rule = {"path": f"{bao.mount}/app/*", "name": f"J{number}_{{path}}"}
        lab.job(f"a{number:02}", "vault", rule, targets=["t0"], schedule={"every": "1h"})
    lab.job("healthy", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"})
    lab.config["server"] = {"listen": "127.0.0.1:0"}
    with running(lab):
        until(lambda: lab.site.values() == {"x_v": "1"})


@pytest.mark.sweep
@pytest.mark.parametrize(("bad", "good"), [(9, 3), (40, 2)])
def test_busy_sites_of_a_job_hold_up_no_other(lab: Lab, bao: Bao, bad: int, good: int) -> None:
    lab.vault(bao)
    bao.put("app/x", v="1")
    ids = sites(lab, bad + good)
    busy(lab, *ids[:bad])
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, targets=[f"t{number}" for number in range(bad + good)])
    process = lab.popen("sync")
    try:
        until(lambda: all(lab.wix.site(one).values() for one in ids[bad:]))
    finally:
        process.terminate()
        process.communicate(timeout=30)


def refusing(_name: str) -> Any:
    raise Refusal(429, "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize("moment", ["list", "push", "compare"])
def test_whoever_waits_for_a_busy_site_gets_its_lock(lab: Lab, bao: Bao, moment: str) -> None:
    lab.vault(bao)
    for number in range(6):
        bao.put(f"app/s{number}", v="1")
    lab.config["targets"]["shop"]["rate_limit"] = "5000/1m"
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    if moment != "push":
        assert lab.run("sync").code == 0
    if moment == "list":
        busy(lab, lab.site_id)
    elif moment == "push":
        lab.wix.fault("429", "POST", times=100)
    else:
        lab.site.value = refusing  # type: ignore[method-assign]
    with App(load(lab.config_file), Surroundings(clock=lambda: datetime.now(UTC) + timedelta(hours=25))) as app:
        run = Run(holder="busy", wait=timedelta(0))
        thread = threading.Thread(target=sync_job, args=(app.runtime, app.runtime.jobs["job"], run))
        thread.start()
        try:
            until(lambda: app.target("shop").delay() > 1)
            with (
                App(load(lab.config_file)) as other,
                other.ledger.lock(lab.site_id, holder="second", wait=timedelta(seconds=10)),
            ):
                pass
        finally:
            app.stop.set()
            thread.join(30)
        assert not thread.is_alive()


@pytest.mark.long
def test_a_busy_site_is_served_once_it_takes_requests_again(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for number in range(30):
        bao.put(f"app/s{number}", v="1")
    lab.config["targets"]["shop"]["rate_limit"] = "5000/6s"
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.wix.fault("429", "POST", times=3)
    result = lab.run("sync")
    assert result.code == 0 and len(lab.site.values()) == 30 and len(lab.site.created_ids) == 30, result.out


@pytest.mark.parametrize("path", ["/", "/status", "/metrics", "/livez"])
def test_a_strangers_request_reads_no_rows(lab: Lab, bao: Bao, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"})
    lab.config["server"] = {
        "listen": "127.0.0.1:0",
        "token": {"file": str(lab.secret_file("api", "token-of-the-test"))},
    }
    assert lab.run("sync").code == 0
    monkeypatch.setattr(Ledger, "records", lambda *_args, **_options: pytest.fail("rows were read"))
    daemon = Daemon(lab.config_file)
    counted: list[str] = []
    app = daemon.generations.current.app
    honest = app.ledger.tallies
    app.ledger.tallies = lambda *args, **options: (counted.append("x"), honest(*args, **options))[1]  # type: ignore[method-assign]
    try:
        base = f"http://{daemon.http.address}"
        until(lambda: ask(base + "/livez")[0] == 200)
        with ThreadPoolExecutor(20) as pool:
            told = [one[0] for one in pool.map(lambda _: ask(base + path), range(60))]
        assert set(told) == {200} and len(counted) <= 2
        code, body = ask(base + "/status", token="token-of-the-test")
        assert code == 200 and json.loads(body)["secrets"] == {"synced": 1}
    finally:
        daemon.http.stop()
        app.close()
