"""kill -9 at each step of the journal and at random moments: the next runs converge, nothing is twice."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

import pytest

from tests.lab import AWS_ENVIRON, Bao, Lab


@pytest.fixture
def busy(lab: Lab, bao: Bao) -> Lab:
    """Something to create, update and delete."""
    lab.vault(bao)
    lab.job(
        "job", "vault", {"path": f"{bao.mount}/app/*"},
        deletion_policy="delete", deletion_grace="0s", guard={"max_deletes": 10},
    )  # fmt: skip
    for number in range(6):
        bao.put(f"app/s{number}", v=f"old {number}")
    assert lab.run("sync").code == 0
    for number in range(3):
        bao.put(f"app/s{number}", v=f"new {number}")
    for number in range(3, 5):
        bao.remove(f"app/s{number}")
    for number in range(6, 12):
        bao.put(f"app/s{number}", v=f"new {number}")
    return lab


def assert_converged(lab: Lab) -> None:
    result = lab.settle(4)
    assert result.code == 0, result.out + result.err
    expected = {f"s{n}_v": f"new {n}" for n in (*range(3), *range(6, 12))} | {"s5_v": "old 5"}
    assert lab.site.values() == expected
    assert lab.ledger() == lab.ids()
    assert len(lab.site.created_ids) == 12, "as many successful creations as there were secrets"
    before = lab.writes()
    assert lab.run("sync").code == 0
    assert lab.writes() == before


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("step", ["before_open", "after_open", "before_settle", "after_settle"])
def test_killed_at_a_step_of_the_journal(busy: Lab, step: str, number: int) -> None:
    argv = [sys.executable, "-m", "tests.chaos.crashing", step, str(number), "--"]
    argv += ["--config", str(busy.config_file), "sync"]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60, env={**_environ()})
    assert done.returncode == -9, done.stderr
    assert_converged(busy)


def _environ() -> dict[str, str]:
    import os

    return {**os.environ, **AWS_ENVIRON}


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
def test_killed_while_wix_has_the_request(busy: Lab, kind: str, method: str) -> None:
    process = busy.popen("sync")
    busy.wix.fault(kind, method, on=process.kill)
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert_converged(busy)


def killed_at_random(lab: Lab, bao: Bao, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.site.options.latency = 0.02
    count = 30
    for number in range(count):
        bao.put(f"app/s{number}", v=f"first {number}")
    for kill in range(kills):
        if kill % 5 == 4:
            bao.put(f"app/s{rng.randrange(count)}", v=f"kill {kill}")
        process = lab.popen("sync")
        timer = threading.Timer(rng.uniform(0.3, 1.6), process.kill)
        timer.start()
        process.communicate(timeout=60)
        timer.cancel()
    lab.site.options.latency = 0
    result = lab.settle(4)
    assert result.code == 0, result.out + result.err
    truth = {
        f"s{n}_v": bao.root.secrets.kv.v2.read_secret_version(
            f"app/s{n}", mount_point=bao.mount, raise_on_deleted_version=True
        )["data"]["data"]["v"]
        for n in range(count)
    }
    assert lab.site.values() == truth
    assert lab.ledger() == lab.ids()
    assert len(lab.site.created_ids) == count
    before = lab.writes()
    assert lab.run("sync").code == 0
    assert lab.writes() == before


def test_killed_at_five_random_moments(lab: Lab, bao: Bao) -> None:
    killed_at_random(lab, bao, kills=5, seed=5)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_killed_at_fifty_random_moments(lab: Lab, bao: Bao) -> None:
    killed_at_random(lab, bao, kills=50, seed=50)
