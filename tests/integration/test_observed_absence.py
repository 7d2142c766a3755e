"""Only absence that was observed counts, by the site's clock, and only what was looked at is deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import libfaketime
import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from syncd.reconcile.run_job import Run, sync_job
from syncd.sources.aws.source import AwsSource
from syncd.targets.wix.retries import WixCalls
from tests.lab import AWS_ENVIRON, Bao, Lab, Result
from tests.support.hidden import hidden

pytestmark = pytest.mark.kind

LIBRARY = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
DELETING = {"deletion_policy": "delete", "guard": {"max_deletes": 100}}


def under_another_clock(lab: Lab, offset: str, *words: str) -> Result:
    clock = lab.folder / "clock"
    clock.write_text(offset + "\n")
    return lab.spawn(
        *words, LD_PRELOAD=str(LIBRARY), DONT_FAKE_MONOTONIC="1", FAKETIME_NO_CACHE="1",
        FAKETIME_TIMESTAMP_FILE=str(clock),
    )  # fmt: skip


@pytest.fixture
def ten(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for name in "abcdefghij":
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **DELETING, schedule={"every": "1d"})
    assert lab.run("sync").code == 0
    return lab


@pytest.mark.sweep
@pytest.mark.parametrize("jump", ["+2d", "+400d", "-2d"])
def test_a_clock_that_jumps_adds_nothing(ten: Lab, bao: Bao, jump: str) -> None:
    bao.remove("app/a")
    ten.run("sync")
    under_another_clock(ten, jump, "sync")
    assert "a_v" in ten.site.values() and "a_v" in ten.ledger()
    ten.let_pass(timedelta(hours=25))
    ten.run("sync")
    assert "a_v" not in ten.site.values(), "a day of observed absence is one"


@pytest.mark.sweep
@pytest.mark.parametrize("jump", ["+365d", "+31d"])
def test_a_freeze_outlasts_a_wrong_clock(ten: Lab, bao: Bao, jump: str) -> None:
    ten.config["jobs"]["job"]["deletion_grace"] = "0s"
    for name in ("a_v", "b_v"):
        assert ten.run("state", "freeze", name, "--until", "30d", "--reason", "incident").code == 0
    ten.site.update(ten.ids()["a_v"], {"value": "HAND-MADE"})
    bao.remove("app/b")
    assert ten.run("sync").code == 0
    for _ in range(2):
        under_another_clock(ten, jump, "sync")
    assert ten.site.values()["a_v"] == "HAND-MADE" and ten.site.values()["b_v"] == "1"


@pytest.mark.sweep
@pytest.mark.parametrize("how", ["an empty value", "one that is too long", "frozen"])
def test_being_there_is_no_absence(ten: Lab, bao: Bao, how: str) -> None:
    bao.remove("app/a")
    ten.run("sync")
    ten.let_pass(timedelta(hours=20))
    ten.run("sync")
    if how == "frozen":
        ten.run("state", "freeze", "a_v", "--until", "1h", "--reason", "x")
    bao.put("app/a", v={"an empty value": "", "frozen": "1"}.get(how, "x" * 5000))
    ten.run("sync")
    bao.remove("app/a")
    if how == "frozen":
        ten.run("state", "thaw", "a_v")
    ten.run("sync")
    ten.let_pass(timedelta(hours=5))
    ten.run("sync")
    assert "a_v" in ten.site.values(), "20 hours before it was there and 5 after it are no day of absence"


def test_what_comes_due_during_the_last_look_waits_for_its_own(
    lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("app/a", "app/x", "app/y", "app/z"):
        aws.create_secret(Name=name, SecretString="v")
    lab.aws(aws_url)
    lab.job("job", "aws", {"path": "app/*", "name": "{path}"}, **DELETING, deletion_grace="10s")
    assert lab.run("sync").code == 0
    for variable, value in AWS_ENVIRON.items():
        monkeypatch.setenv(variable, value)
    now = datetime.now(UTC)
    monkeypatch.setattr(WixCalls, "site_time", lambda _self: now)
    honest, looked = AwsSource.check_path, list[str]()

    def sync() -> None:
        with App(load(lab.config_file), Surroundings(clock=lambda: now)) as app:
            sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="test", wait=timedelta(0)))

    def slow(self: AwsSource, path: str, pin: str = "") -> Any:
        nonlocal now
        looked.append(path)
        now += timedelta(seconds=9)  # some tens of deletions, or one slow source of another job, take as long
        return honest(self, path, pin)

    aws.delete_secret(SecretId="app/x", ForceDeleteWithoutRecovery=True)
    sync()
    now += timedelta(seconds=5)
    hidden(monkeypatch, "app/y")  # it is there, but AWS's listing lags
    sync()
    now += timedelta(seconds=6)
    monkeypatch.setattr(AwsSource, "check_path", slow)
    sync()
    assert "y" in lab.site.values() and "x" not in lab.site.values() and looked
