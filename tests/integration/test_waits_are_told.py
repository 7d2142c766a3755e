"""Nobody waits in silence: for another process, for a rate limit, for a site that asks to slow down."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from syncd.bootstrap.app import App
from syncd.bootstrap.waits import WaitNotices
from syncd.config import load
from tests.lab import Bao, Lab, Result


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    return lab


@contextmanager
def held(job: Lab) -> Iterator[None]:
    """Another holder works on the site."""
    with (
        App(load(job.config_file)) as app,
        app.ledger.lock(app.site_of("shop"), holder="syncd run (process 7 on elsewhere)", wait=timedelta(0)),
    ):
        yield


def waits(done: Result) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "cycle.waits"]


@pytest.mark.parametrize("words", [("sync", "--wait", "2s")])
def test_for_another_process(job: Lab, words: tuple[str, ...]) -> None:
    with held(job):
        done = job.run(*words)
    assert done.code == 7
    (told,) = waits(done)
    assert "process 7 on elsewhere" in str(told["cause"]) and 0 < float(str(told["at_most_seconds"])) <= 2


@pytest.mark.sweep
@pytest.mark.parametrize("words", [("sync",), ("plan",)])
def test_for_the_rate_limit(job: Lab, bao: Bao, words: tuple[str, ...]) -> None:
    job.config["targets"]["shop"]["rate_limit"] = "1/2s"
    job.run("plan")  # it takes the only place
    told = waits(job.run(*words))
    assert (
        told
        and "rate limit of target shop" in str(told[0]["cause"])
        and 1 <= float(str(told[0]["at_most_seconds"])) <= 2
    )


def test_for_a_site_that_asks_to_slow_down(job: Lab, bao: Bao) -> None:
    job.wix.fault("429_retry_after", "GET", seconds=6)
    stop = threading.Timer(1.5, lambda: __import__("syncd.cli.context", fromlist=["Context"]).Context.stop.set())
    stop.start()
    told = waits(job.run("sync"))
    stop.join()
    assert (
        told
        and "target shop asks to slow down" in str(told[0]["cause"])
        and float(str(told[0]["at_most_seconds"])) == 6
    )


def test_on_a_terminal_it_is_a_line(job: Lab) -> None:
    ours, theirs = pty.openpty()
    argv = [
        sys.executable,
        "-m",
        "syncd",
        "--config",
        str(job.config_file),
        "state",
        "freeze",
        "x_v",
        "--until",
        "1d",
        "--reason",
        "x",
    ]
    with held(job):
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=theirs, stdin=subprocess.DEVNULL)
        os.close(theirs)
        said = b""
        while b"waiting for" not in said:
            said += os.read(ours, 1024)
        process.terminate()
        process.wait(30)
    os.close(ours)
    assert b"waiting for syncd run (process 7 on elsewhere)" in said and b"at most" in said


def test_each_cause_is_told_once_in_a_while() -> None:
    told: list[tuple[str, float]] = []
    now = [0.0]
    notices = WaitNotices(lambda cause, seconds: told.append((cause, seconds)), lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        notices("a", 5.0)
        notices("b", 0.5)
    assert told == [("a", 5.0)] * 3
