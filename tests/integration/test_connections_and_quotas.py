"""What lies between forgets idle connections, and a source allows a few requests a second: neither costs a cycle."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.errors import SourceUnavailable
from syncd.reconcile.run_job import Run, sync_job
from syncd.sources.retry import retried
from syncd.transport.idle import IdleWatch
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.forgetful import forgetting
from tests.support.waiting import until, within


@pytest.mark.sweep
@pytest.mark.parametrize("silent", [False, True], ids=["reset", "swallowed"])
@pytest.mark.parametrize("peer", ["wix", "vault", "aws"])
def test_a_connection_that_was_idle_is_not_used_again(
    lab: Lab, bao: Bao, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch, peer: str, silent: bool
) -> None:
    monkeypatch.setattr("syncd.transport.idle.IDLE_SECONDS", 0.3)
    for name, value in AWS_ENVIRON.items():
        monkeypatch.setenv(name, value)
    bao.put("app/a", v="1")
    aws.create_secret(Name="app/a", SecretString=json.dumps({"v": "1"}))
    lab.vault(bao)
    lab.aws(aws_url)
    vault, target = lab.config["sources"]["vault"], lab.config["targets"]["shop"]
    place, key = {
        "wix": (target, "base_url"), "vault": (vault, "address"), "aws": (lab.config["sources"]["aws"], "endpoint_url"),
    }[peer]  # fmt: skip
    source = "aws" if peer == "aws" else "vault"
    lab.job("job", source, {"path": "app/*" if source == "aws" else f"{bao.mount}/app/*", "name": "K", "field": "v"})
    with forgetting(place[key], silent=silent, idle=0.6) as (url, between):
        place[key] = url
        with App(load(lab.config_file)) as app:
            for value in ("1", "2", "3"):
                bao.put("app/a", v=value)
                aws.put_secret_value(SecretId="app/a", SecretString=json.dumps({"v": value}))
                until(between.is_idle)
                run = Run(holder="test", wait=timedelta(seconds=5))
                (report,) = sync_job(app.runtime, app.runtime.jobs["job"], run)
                assert report.exit_code == 0, report.error
                assert lab.site.values() == {"K": value} and between.forgotten == 0


def test_what_is_in_use_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.transport.idle.IDLE_SECONDS", -1.0)
    watch, dropped = IdleWatch(), []
    with watch.use(lambda: dropped.append("first")), watch.use(lambda: dropped.append("second")):
        pass
    with watch.use(lambda: dropped.append("third")):
        pass
    assert dropped == ["first", "third"]


def test_a_quota_of_the_source_makes_a_cycle_slower_and_no_worse(lab: Lab, bao: Bao) -> None:
    for number in range(20):
        bao.put(f"app/s{number}", v="x")
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    quota = f"/v1/sys/quotas/rate-limit/{bao.mount}"
    bao.root.adapter.post(quota, json={"rate": 8, "interval": "1s", "path": f"{bao.mount}/"})
    try:
        result = lab.run("sync")
    finally:
        bao.root.adapter.delete(quota)
    assert result.code == 0 and len(lab.site.values()) == 20, result.out


@pytest.mark.parametrize("asks_to_wait", [False, True])
def test_a_process_that_ends_waits_for_no_source(asks_to_wait: bool) -> None:
    stop, asked = threading.Event(), []

    def refuse() -> None:
        asked.append(1)
        stop.set()
        raise SourceUnavailable("asks to slow down", asks_to_wait=asks_to_wait, retry_after=9.0)

    with within(5), pytest.raises(SourceUnavailable):
        retried(refuse, stop)
    assert len(asked) == 1
