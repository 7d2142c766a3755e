"""What a day costs, with a clock that is told: broken secrets stay cheap, and the forecast is what is counted."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.bootstrap.sources import SourceHooks
from syncd.config import load
from syncd.config.settings import Schedule
from syncd.daemon.triggers import every, trigger_for
from syncd.domain.ports import SilentObserver
from syncd.reconcile.run_job import Run, sync_job
from syncd.sandbox.wix_site import Refusal
from syncd.telemetry.events import Events
from tests.fakes import FakeClock
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.policies import closed

DAY = timedelta(days=1)


@contextmanager
def simulated(lab: Lab, clock: FakeClock, observer: Any = None) -> Iterator[tuple[App, Counter[str]]]:
    calls: Counter[str] = Counter()
    hooks = SourceHooks(on_call=lambda source, _: calls.update([source]))
    around = Surroundings(clock=clock, source_hooks=hooks, observer=observer or SilentObserver())
    with App(load(lab.config_file), around) as app:
        yield app, calls


def one_day(app: App, clock: FakeClock, every: timedelta) -> None:
    begun = clock.now
    while clock.now - begun < DAY:
        started = clock.now
        for job in app.runtime.jobs.values():
            sync_job(app.runtime, job, Run(holder="day", wait=timedelta(0)))
        clock.now = started + every


@pytest.mark.long
def test_a_secret_that_wix_always_refuses(
    lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At most 24 requests a day, and as many warnings as tries, not one a cycle."""
    from syncd.telemetry.logs import configure

    configure(form="json", level="info")
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "5m"})
    bao.put("app/good", v="1")
    bao.put("app/bad", v="2")
    bao.put("app/empty", v="")
    create = lab.site.create

    def refusing(told: dict[str, object]) -> dict[str, object]:
        if told["name"] == "bad_v":
            raise Refusal(400, "PATTERN", "never", field_name="secret.value")
        return create(told)

    monkeypatch.setattr(lab.site, "create", refusing)
    clock = FakeClock()
    with simulated(lab, clock, Events()) as (app, calls):
        one_day(app, clock, timedelta(minutes=5))
        first = calls["vault"]
    posts = [one for one in lab.wix.seen if one.method == "POST" and one.status == 400]
    assert 1 <= len(posts) <= 24
    warnings = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"warning"' in line]
    about = Counter(line.get("name") for line in warnings)
    assert about["bad_v"] <= 24 and about["empty_v"] <= 24, about
    assert first <= 288 * 2 + 100, "two calls a listing, and few reads"


@pytest.mark.long
def test_the_forecast_is_what_is_counted(
    lab: Lab, bao: Bao, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AWS_ENVIRON.items():
        monkeypatch.setenv(name, value)
    lab.vault(bao)
    lab.aws(aws_url)
    for number in range(30):
        bao.put(f"app/s{number}", v=str(number))
    for number in range(130):
        aws.create_secret(Name=f"day/{number:03}", SecretString=str(number))
    every = timedelta(hours=1)
    lab.job("vault", "vault", {"path": f"{bao.mount}/app/**"}, schedule={"every": "1h"})
    lab.job("aws", "aws", {"path": "day/*"}, schedule={"every": "1h"})
    clock = FakeClock()
    with simulated(lab, clock) as (app, calls):
        one_day(app, clock, every)  # the first push, and the verifications find their hours
        one_day(app, clock, every)
        told = lab.run("forecast", "--json").json
        calls.clear()
        lab.wix.seen.clear()
        one_day(app, clock, every)
    forecast = {row["source"]: row["calls_a_day"] for row in told["sources"]}
    assert forecast["vault"] == pytest.approx(calls["vault"], rel=0.15), calls
    # In the first days the verifications come in bunches, so that one batch does for more of them than later.
    assert calls["aws"] * 0.95 <= forecast["aws"] <= calls["aws"] * 1.3, calls
    (target,) = told["targets"]
    assert target["requests_a_day"] == pytest.approx(len(lab.wix.seen), rel=0.15), len(lab.wix.seen)
    assert target["secrets"] == 160 and target["push_all_seconds"] == 0
    (row,) = [row for row in told["sources"] if row["source"] == "aws"]
    assert row["dollars_a_month"] == pytest.approx(30 * forecast["aws"] * 0.05 / 10_000, abs=0.01)
    print({"forecast": {**forecast, "wix": target["requests_a_day"]}, "counted": {**calls, "wix": len(lab.wix.seen)}})


@pytest.mark.sweep
@pytest.mark.parametrize(("source", "other"), [("vault", "boto3"), ("aws", "hvac")])
def test_only_the_sdk_of_a_configured_source_is_imported(
    lab: Lab, bao: Bao, aws: Any, aws_url: str, source: str, other: str
) -> None:
    bao.put("app/one", v="1")
    aws.create_secret(Name="app/one", SecretString="1")
    lab.vault(bao) if source == "vault" else lab.aws(aws_url)
    lab.job("job", source, {"path": f"{bao.mount}/app/*" if source == "vault" else "app/*"})
    code = (
        "import sys; from syncd.cli.app import run; code = run(sys.argv[1:]);"
        "print(*sorted({'boto3', 'botocore', 'hvac', 'requests', 'apscheduler', 'uvicorn', 'starlette', 'matplotlib'}"
        " & set(sys.modules))); sys.exit(code)"
    )
    argv = [sys.executable, "-c", code, "--config", str(lab.config_file), "sync"]
    done = subprocess.run(argv, env={**os.environ, **AWS_ENVIRON}, capture_output=True, text=True, check=True)
    used = {"vault": "hvac requests", "aws": "boto3 botocore"}[source]
    assert done.stdout.splitlines()[-1] == used and other not in used


def test_a_day_of_schedules_has_no_drift() -> None:
    """Jitter moves single runs, never the ones after them; cron lines fire at their minutes."""
    begun = datetime(2026, 3, 28, 12, tzinfo=UTC)  # a night in which Berlin's clocks go forward
    for schedule, expected in (
        (Schedule(every=timedelta(minutes=5)), 288),
        (Schedule(every=timedelta(hours=1)), 24),
        (Schedule(cron="*/10 * * * *", timezone="Europe/Berlin"), 144),
    ):
        trigger = every(schedule.every, begun) if schedule.every else trigger_for(schedule)
        fired: list[datetime] = []
        previous, now = None, begun
        while (following := trigger.get_next_fire_time(previous, now)) < begun + DAY:
            fired.append(following)
            previous, now = following, following + timedelta(seconds=1)
        assert abs(len(fired) - expected) <= 1
        gap = schedule.interval()
        for number, at in enumerate(fired):
            off = (at - begun) / gap
            assert abs(off - round(off)) * gap.total_seconds() <= 30.001, (number, at)
        assert all(later > earlier for earlier, later in itertools.pairwise(fired))


@pytest.mark.long
def test_a_day_of_cycles_does_not_grow(lab: Lab, bao: Bao) -> None:
    """288 cycles with a few rotations: neither the memory nor the ledger grows with them.

    A rotation leaves two lines in the audit trail, about 1 kB each; a cycle that changes nothing leaves none.
    """
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "5m"}, verify_every="1000d")
    for number in range(5):
        bao.put(f"app/s{number}", v="1")
    clock = FakeClock()
    sizes: list[tuple[int, int]] = []
    with simulated(lab, clock) as (app, _):
        job = app.runtime.jobs["job"]
        tracemalloc.start()
        try:
            for cycle in range(288):
                if cycle % 40 == 0:
                    bao.put("app/s0", v=str(cycle))
                (report,) = sync_job(app.runtime, job, Run(holder="day", wait=timedelta(0)))
                assert report.exit_code == 0, report
                clock.skip(timedelta(minutes=5))
                lab.wix.seen.clear()
                if cycle % 96 == 95:
                    gc.collect()
                    with contextlib.closing(sqlite3.connect(lab.state)) as ledger:
                        (pages,) = ledger.execute("PRAGMA page_count").fetchone()
                    sizes.append((tracemalloc.get_traced_memory()[0], pages))
        finally:
            tracemalloc.stop()
    assert sizes[2][0] - sizes[0][0] < 150_000, f"bytes held after 96, 192 and 288 cycles: {sizes}"
    assert sizes[2][1] - sizes[0][1] <= 1 + 192 // 40, f"pages of the ledger: {sizes}"


@pytest.mark.parametrize(
    "rests", ["nothing", "orphans that are kept", "merged names that are held", "merged names of a closed window"]
)
def test_whose_a_name_is_costs_no_request(
    lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch, rests: str
) -> None:
    """Tags come with the listing: an idle cycle of two jobs with one glob lists, and asks for none of eight secrets."""
    for name, value in AWS_ENVIRON.items():
        monkeypatch.setenv(name, value)
    lab.aws(aws_url)
    for number in range(8):
        tags = [{"Key": "team", "Value": "x"}, {"Key": "all", "Value": "yes"}]
        aws.create_secret(Name=f"p/{number}", SecretString="1", Tags=tags)
    lab.job("one", "aws", {"path": "p/*", "tags": {"team": "x"}, "name": "{basename}"})
    lab.job("two", "aws", {"path": "p/*", "tags": {"all": "yes"}, "name": "{basename}"})
    assert lab.run("sync").code == 0
    if rests == "orphans that are kept":
        lab.config["jobs"]["one"]["secrets"][0]["path"] = "p/0"
        lab.config["jobs"]["two"]["secrets"][0] |= {"tags": {"team": "none"}, "name": "INV_{basename}"}
    elif rests == "merged names that are held":
        lab.config["rules"] = [{"id": "r", "job": "one", "then": "hold"}]
    elif "window" in rests:
        lab.config["jobs"]["one"]["windows"] = {"allow": closed()}
    if rests.startswith("merged"):
        for number in range(8):
            aws.put_secret_value(SecretId=f"p/{number}", SecretString="2")
    lab.run("sync")
    lab.run("sync")
    with simulated(lab, FakeClock()) as (app, calls):
        for job in app.runtime.jobs.values():
            sync_job(app.runtime, job, Run(holder="idle", wait=timedelta(0)))
    assert calls["aws"] <= 3, calls
