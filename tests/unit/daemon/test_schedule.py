"""When jobs run: at the start, by their schedule, and not once more because something else was configured anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncd.config.loader import load
from syncd.config.settings import Settings
from syncd.daemon.scheduler import JobSchedule

TEXT = """\
owner: team
state: {path: state.db}
sources:
  one: {type: vault, address: "https://one", auth: {method: token, token: {file: token}}}
  two: {type: vault, address: "https://two", auth: {method: token, token: {file: token}}}
targets:
  shop: {type: wix, auth: {method: api_key, site_id: a, api_key: {file: key}}}
  outlet: {type: wix, auth: {method: api_key, site_id: b, api_key: {file: key}}}
jobs:
  first: {source: one, targets: [shop], schedule: {every: 5m}, secrets: [{path: secret/a/*}]}
  nightly: {source: two, targets: [shop], schedule: {cron: "0 3 * * *"}, secrets: [{path: secret/b/*}]}
  third: {source: two, targets: [outlet], schedule: {every: 1h}, secrets: [{path: secret/c/*}]}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    def loaded(old: str = "", new: str = "") -> Settings:
        file = tmp_path / "syncd.yaml"
        file.write_text(TEXT.replace(old, new) if old else TEXT)
        return load(file)

    return loaded


def at_rest(settings: Settings, kept: dict[str, datetime] | None = None) -> JobSchedule:
    schedule = JobSchedule(settings, lambda _name: None, kept)
    schedule.start(paused=True)
    return schedule


def test_every_job_runs_at_the_start(settings: Callable[..., Settings]) -> None:
    schedule = at_rest(settings())
    soon = datetime.now(UTC) + timedelta(seconds=10)
    assert all((schedule.next_run(name) or soon) < soon for name in ("first", "nightly", "third"))
    schedule.stop()


@pytest.mark.parametrize(
    ("old", "new", "run_again"),
    [
        ("every: 5m", "every: 6m", {"first"}),
        ("secret/a/*", "secret/a/**", {"first"}),
        ("https://two", "https://zwei", {"nightly", "third"}),
        ("site_id: b", "site_id: c", {"third"}),
        ("owner: team", "owner: crew", {"first", "nightly", "third"}),
        ("nightly:", "daily:", {"daily"}),
        ("", "", set()),
    ],
)
def test_a_job_that_is_as_it_was_keeps_its_time(
    settings: Callable[..., Settings], old: str, new: str, run_again: set[str]
) -> None:
    before, later = settings(), datetime.now(UTC) + timedelta(hours=2)
    schedule = at_rest(before, dict.fromkeys(("first", "nightly", "third"), later))
    after = settings(old, new)
    fresh = at_rest(after, schedule.unchanged(before, after))
    assert {name for name in after.jobs if fresh.next_run(name) != later} == run_again
    schedule.stop()
    fresh.stop()
