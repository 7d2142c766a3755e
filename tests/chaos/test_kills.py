"""kill -9 at every system call, at each step of the journal, inside Wix's calls and at random moments.

After each, the next runs converge: nothing lost, nothing twice, nothing leaked.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from tests.chaos.arena import Arena, Verdict
from tests.chaos.strace import killed_at, needs_strace, warm_points
from tests.chaos.zygote import zygote
from tests.lab import AWS_ENVIRON, Bao, Lab, Result

Tally = Callable[..., None]


@pytest.fixture
def arena(lab: Lab, bao: Bao) -> Arena:
    """With two actions of its cycle held by a rule and released before."""
    return Arena(lab, bao, releasing=True)


SHARES = 8
"""Tests that share the points, so that all cores have work."""


def kill_at(arena: Arena, tally: Tally, chosen: slice, *, serial: bool, row: str) -> None:
    tried = reached = 0
    program = "tests.chaos.serial" if serial else "syncd"
    with zygote(arena.lab.folder, *(["serial"] if serial else [])) as warm:
        for call, number in list(warm_points(arena.lab, warm))[chosen]:
            arena.reset()
            done = killed_at(arena.lab, warm, call, number, program)
            tried += 1
            if done.code == -signal.SIGKILL:
                reached += 1
                tally(f"{row} {call}", arena.judge_audited(done), number)
    # Threads do not come in the same order twice, and some points of one run are not there in the next.
    assert reached >= tried * (0.9 if serial else 0.5), f"{reached} of {tried} points were reached"


@needs_strace
def test_killed_at_some_system_calls(arena: Arena, tally: Tally) -> None:
    kill_at(arena, tally, slice(20, None, 40), serial=True, row="killed at")


@needs_strace
@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", range(SHARES))
def test_killed_at_every_system_call(arena: Arena, tally: Tally, share: int) -> None:
    kill_at(arena, tally, slice(share, None, SHARES), serial=True, row="killed at")


@needs_strace
@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", range(SHARES))
def test_killed_at_the_system_calls_of_any_thread(arena: Arena, tally: Tally, share: int) -> None:
    kill_at(arena, tally, slice(share, None, SHARES), serial=False, row="killed, threads, at")


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("step", ["before_open", "after_open", "before_settle", "after_settle"])
def test_killed_at_a_step_of_the_journal(arena: Arena, tally: Tally, step: str, number: int) -> None:
    argv = [sys.executable, "-m", "tests.chaos.crashing", step, str(number), "--"]
    argv += ["--config", str(arena.lab.config_file), "sync"]
    done = subprocess.run(
        argv, capture_output=True, check=False, timeout=60, env={**os.environ, **AWS_ENVIRON}, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    tally("killed at a step of the journal", arena.judge_audited(done.stdout, done.stderr))


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
def test_killed_while_wix_has_the_request(arena: Arena, tally: Tally, kind: str, method: str) -> None:
    process = arena.lab.popen("sync")
    arena.lab.wix.fault(kind, method, on=process.kill)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    tally("killed while Wix has the request", arena.judge_audited(out, err))


def kill_at_random(arena: Arena, tally: Tally, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    with zygote(arena.lab.folder) as warm:
        killed = 0
        while killed < kills:
            arena.reset()
            arena.lab.site.options.latency = rng.choice([0.0, 0.01, 0.03])
            child = warm.start(arena.lab, "sync")
            timer = threading.Timer(rng.uniform(0.02, 0.5), lambda child=child: _kill(child))
            timer.start()
            done = warm.ended()
            timer.cancel()
            arena.lab.site.options.latency = 0
            if done.code == -signal.SIGKILL:
                killed += 1
                tally("killed at a random moment", arena.judge_audited(done), f"seed {seed}, kill {killed}")


def _kill(child: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def test_killed_at_five_random_moments(arena: Arena, tally: Tally) -> None:
    kill_at_random(arena, tally, kills=5, seed=5)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(8))
def test_killed_at_random_moments(arena: Arena, tally: Tally, seed: int) -> None:
    kill_at_random(arena, tally, kills=130, seed=seed)


def test_a_restart_storm_keeps_to_the_quota(arena: Arena, tally: Tally) -> None:
    """Twenty kills, one after the other on what the one before left: the quota of the site holds all the same."""
    site = arena.lab.site
    arena.reset()
    arena.lab.config["targets"]["shop"]["rate_limit"] = "30/2s"
    site.options.quota, site.options.latency = 30, 0.01
    site.options.quota_window = timedelta(seconds=2)
    said: list[Result] = []
    rng = random.Random(1)
    with zygote(arena.lab.folder) as warm:
        for _ in range(20):
            child = warm.start(arena.lab, "sync")
            timer = threading.Timer(rng.uniform(0.1, 0.4), lambda child=child: _kill(child))
            timer.start()
            said.append(warm.ended())
            timer.cancel()
    assert not [one for one in arena.lab.wix.seen if one.status == 429], "a request was refused"
    assert site.busiest <= 30
    site.options.quota = 10**6
    verdict: Verdict = arena.judge_audited(*said)
    tally("twenty kills in a row against the quota", verdict)
