"""Reloads at once, and a process of another version beside this one."""

from __future__ import annotations

import signal
import sqlite3
import threading
from datetime import timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.reconcile.run_job import Run, sync_job
from tests.lab import Bao, Lab
from tests.support.waiting import until


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


@pytest.mark.long
def test_reloads_at_once_go_one_after_the_other(lab: Lab, bao: Bao) -> None:

    from syncd.sandbox.launchers import free_ports
    from tests.support.daemon import ask, running

    lab.secret_file("api-token", "generated-token")
    lab.config["server"] = {"listen": f"127.0.0.1:{free_ports(1)}", "token": {"file": str(lab.folder / "api-token")}}
    vault_job(lab, bao, {"path": "app/*"}, schedule={"every": "1h"})
    bao.put("app/a", v="1")
    with running(lab) as (process, url):
        until(lambda: ask(url + "/readyz")[0] == 200)
        for _ in range(6):
            threads = [
                threading.Thread(target=ask, args=[url + "/-/reload", "POST", "generated-token"]) for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            process.send_signal(signal.SIGHUP)
            for thread in threads:
                thread.join()
        assert process.poll() is None and ask(url + "/livez")[0] == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_a_process_of_another_version_writes_nothing_more(lab: Lab, bao: Bao) -> None:
    """The ledger was migrated under a daemon that goes on with the old version."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    bao.put("app/a", v="1")
    assert lab.run("sync").code == 0

    with App(load(lab.config_file)) as app:
        with sqlite3.connect(lab.state) as other:
            other.execute("UPDATE syncd_meta SET value = '99' WHERE key = 'schema_version'")
        other.close()
        bao.put("app/a", v="2")
        (report,) = sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="t", wait=timedelta(0)))
    assert report.exit_code == 7 and "another version" in str(report.error)
    assert lab.site.values() == {"a_v": "1"}
