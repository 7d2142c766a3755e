"""A site that answers a create with an id and has no such secret, for a while or for good: once an hour, and told."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import SyncReport
from tests.lab import Bao, Lab
from tests.support.clocks import machine_clock, one_cycle

pytestmark = pytest.mark.kind


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    bao.put("app/y", v="y")
    cycle_at(lab, 0)
    cycle_at(lab, 5)
    bao.put("app/z", v="z")
    return lab


def cycle_at(lab: Lab, minutes: float) -> SyncReport:
    """One cycle, with the clocks of both sides ahead."""
    ahead = timedelta(minutes=minutes)
    lab.wix.clock = lab.site._clock = lambda: datetime.now(UTC) + ahead
    with machine_clock(lab, ahead) as app:
        return one_cycle(app)


@pytest.mark.parametrize("may_read", [True, False])
def test_what_is_kept_nowhere_is_created_once_an_hour_and_is_not_synced(
    job: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch, may_read: bool
) -> None:
    job.site.options.may_read = may_read
    created = list[str]()

    def create(_secret: dict[str, Any]) -> dict[str, object]:
        created.append(str(uuid.uuid4()))
        return {"id": created[-1]}

    monkeypatch.setattr(job.site, "create", create)
    cycle_at(job, 30)
    assert len(created) == 1
    for number, hour in enumerate((31, 95, 160), start=2):
        for minute in range(0, 50, 7):
            cycle_at(job, hour + minute)
            assert len(created) == number, (hour, minute)
            if minute:
                assert job.statuses()["z"] != "synced" and job.run("where", f"{bao.mount}/app/z").code == 1


@pytest.mark.parametrize("apart", [61, 24 * 60])
def test_however_rarely_a_job_looks_it_is_told(job: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch, apart: int) -> None:
    """Each cycle creates it, as an hour has passed: from the third on nobody believes the answer."""
    honest = job.site.create
    monkeypatch.setattr(job.site, "create", lambda _secret: {"id": str(uuid.uuid4())})
    for number in range(5):
        told = cycle_at(job, 30 + number * apart)
        if number >= 2:
            assert told.exit_code == 1 and job.statuses()["z"] == "unverified"
            assert job.run("where", f"{bao.mount}/app/z").code == 1
    monkeypatch.setattr(job.site, "create", honest)
    for number in (5, 5.1, 5.2):
        told = cycle_at(job, 30 + number * apart)
    assert told.exit_code == 0 and job.statuses()["z"] == "synced" and job.site.values()["z"] == "z"


@pytest.mark.parametrize("minutes", [2, 20])
def test_what_is_seen_late_is_not_created_again_and_again(
    job: Lab, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    """The name is not reserved meanwhile."""
    honest, created = job.site.create, list[Any]()

    def create(secret: dict[str, Any]) -> dict[str, object]:
        told = honest(secret)
        created.append(job.site.secrets.pop(str(told["id"])))
        return told

    monkeypatch.setattr(job.site, "create", create)
    for minute in range(30, 30 + minutes):
        cycle_at(job, minute)
    assert len(created) <= 2
    job.site._put(created[-1])
    for minute in (60, 61, 125):
        cycle_at(job, minute)
    assert job.statuses()["z"] == "synced" and len(created) <= 2


def test_what_a_person_removes_comes_back_at_once_however_often(job: Lab) -> None:
    for minute in (30, 40, 50):
        cycle_at(job, minute)
        (held,) = [secret for secret in job.site.secrets.values() if secret.name == "z"]
        cycle_at(job, minute + 1)  # it is seen
        job.site.delete(held.id)
        cycle_at(job, minute + 2)
        assert "z" in job.site.values()
