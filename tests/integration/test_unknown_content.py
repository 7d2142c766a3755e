"""What the site holds is known, or read and compared, or written once more: never just believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from syncd.domain import FindingKind
from syncd.reconcile.run_job import Run, sync_job
from tests.lab import Bao, Lab
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind

OLD = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/x", a="one", b="two")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{field}"})
    assert lab.run("sync").code == 0
    return lab


@contextmanager
def later(job: Lab, **span: float) -> Iterator[App]:
    """The same machine so much later; Wix has the same clock."""
    ahead = timedelta(**span)
    job.wix.clock = clock = lambda: datetime.now(UTC) + ahead
    for site in job.wix.sites.values():
        site._clock = clock
    with App(load(job.config_file), Surroundings(clock=clock)) as app:
        yield app


def cycle(app: App) -> Any:
    (report,) = sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="test", wait=timedelta(0)))
    return report


def put_back(job: Lab, **values: str) -> None:
    """The site is restored from a backup of its own: old values under old dates."""
    for one in list(job.site.secrets.values()):
        if one.name in values:
            job.site.secrets[one.id] = replace(one, value=values[one.name], updated=OLD)


def values(job: Lab) -> dict[str, str]:
    return job.site.values()


@pytest.mark.sweep
@pytest.mark.parametrize("may_read", [True, False])
@pytest.mark.parametrize("policy", ["restore", "report"])
@pytest.mark.parametrize("what", ["old value", "our value"])
def test_a_site_that_was_put_back(job: Lab, may_read: bool, policy: str, what: str) -> None:
    job.site.options.may_read = may_read
    job.config["jobs"]["job"]["drift_policy"] = policy
    put_back(job, a="before" if what == "old value" else "one")
    with later(job, minutes=30) as app:
        writes, report = job.writes(), cycle(app)
        wrote = job.writes() - writes
        if policy == "report":
            assert wrote == 0
            assert [one.name for one in report.findings if one.kind == "drift"] == (
                ["a"] if what == "old value" or not may_read else []
            )
        else:
            assert values(job)["a"] == "one" and wrote == (0 if may_read and what == "our value" else 1)
    with later(job, minutes=60) as app:
        writes = job.writes()
        cycle(app)
        assert job.writes() == writes, "written once"


@pytest.mark.parametrize("limit", [None, 0])
def test_a_date_that_tells_nothing_is_no_change_by_others(job: Lab, limit: int | None) -> None:
    """It is written once more where values may not be read, or waits for that: nobody is accused of anything."""
    job.site.options.may_read = False
    if limit is not None:
        job.config["jobs"]["job"]["guard"] = {"max_updates": limit}
    put_back(job, a="before", b="two")
    with later(job, minutes=30) as app:
        report = cycle(app)
    assert report.exit_code == (0 if limit is None else 6) and values(job)["a"] == (
        "one" if limit is None else "before"
    )
    assert not [one for one in report.findings if one.kind == "drift"] and not [
        o for o in report.outcomes if o.restored
    ]
    lines = job.run("audit", "show", "--json").json
    assert not [line for line in lines if line["event"].startswith("drift.")]


def test_a_site_whose_dates_stand_still_is_written_to_once(job: Lab) -> None:
    job.site.options.may_read = False
    put_back(job, a="before")
    writes = job.writes()
    for minutes in (30, 60, 90):
        with later(job, minutes=minutes) as app:
            cycle(app)
        assert values(job)["a"] == "one" and job.writes() == writes + 1
        put_back(job, a="one")  # our value, and again the old date


def test_a_listing_that_lags_for_minutes_is_no_news(job: Lab, bao: Bao) -> None:
    job.site.options.may_read = False
    bao.put("app/x", a="newer", b="two")
    put_back(job, a="one")
    job.run("sync")
    put_back(job, a=values(job)["a"])  # the listing shows the old date, right after the write
    writes = job.writes()
    with later(job, minutes=2) as app:
        cycle(app)
    assert job.writes() == writes


@pytest.mark.sweep
@pytest.mark.parametrize("trouble", ["503", "reset_before", "500", "slow-stop"])
def test_a_verification_that_could_not_read_is_not_booked(job: Lab, trouble: str) -> None:
    with later(job, hours=25) as app:
        if trouble == "slow-stop":
            honest = app.target("shop").list
            app.target("shop").list = lambda: (honest(), app.stop.set())[0]  # type: ignore[method-assign]
        else:
            job.site.secrets.update(
                {one.id: replace(one, value="changed") for one in job.site.secrets.values() if one.name == "a"}
            )
            job.wix.fault(trouble, "GET", times=0)
            calls = app.target("shop")._calls
            honest_call = calls.call

            def call(method: str, path: str, *args: Any, **options: Any) -> Any:
                if "/name/" in path:
                    job.wix.fault(trouble, "GET", times=4)
                return honest_call(method, path, *args, **options)

            calls.call = call  # type: ignore[method-assign]
        cycle(app)
        job.wix.faults.clear()
        assert all(
            not record.verified_at or record.verified_at < datetime.now(UTC) + timedelta(hours=24)
            for record in app.ledger.records()
        )
    with later(job, hours=25, minutes=5) as app:
        cycle(app)
        assert values(job) == {"a": "one", "b": "two"}
        assert all(record.verified_at > datetime.now(UTC) + timedelta(hours=24) for record in app.ledger.records())


@pytest.mark.parametrize("policy", ["restore", "report"])
def test_the_policy_holds_in_the_verification_too(job: Lab, policy: str) -> None:
    job.config["jobs"]["job"]["drift_policy"] = policy
    job.site.secrets.update(
        {one.id: replace(one, value="by hand, unseen") for one in job.site.secrets.values() if one.name == "a"}
    )
    for day in (25, 50, 75):
        with later(job, hours=day) as app:
            report = cycle(app)
            assert values(job)["a"] == ("one" if policy == "restore" else "by hand, unseen")
            assert bool([one for one in report.findings if one.kind == "drift"]) is (policy == "report")


@pytest.mark.sweep
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("policy", ["restore", "report"])
def test_as_many_late_commits_are_remembered_as_answers_were_lost(job: Lab, bao: Bao, count: int, policy: str) -> None:
    job.site.options.may_read = False
    job.config["jobs"]["job"]["drift_policy"] = policy
    late = []
    for number in range(count):
        bao.put("app/x", a=f"v{number}", b="two")
        job.wix.fault("late", "PATCH", times=1)
        job.wix.fault("reset_before", "PATCH", times=5)
        job.run("sync")
        job.wix.faults.clear()
        late += job.wix.late
        job.wix.late.clear()
    bao.put("app/x", a="last", b="two")
    assert job.settle().code == 0 and values(job)["a"] == "last"
    for minute, commit in enumerate(late):
        with later(job, minutes=3 * (minute + 1)) as app:
            commit()
            cycle(app)
            cycle(app)
            assert values(job)["a"] == "last", (minute, values(job))


def test_a_site_without_dates_is_verified(job: Lab) -> None:
    job.site.options.dates = False
    job.run("sync")
    job.site.secrets.update({one.id: replace(one, value="by hand") for one in job.site.secrets.values()})
    with later(job, hours=25) as app:
        cycle(app)
    assert values(job) == {"a": "one", "b": "two"}


def test_comparisons_are_a_bounded_batch_and_all_are_made(job: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch) -> None:
    from syncd.reconcile.plan import comparisons

    bao.put("app/x", **{f"f{number:02}": "x" for number in range(50)})
    assert job.settle().code == 0
    monkeypatch.setattr(comparisons, "MOST_A_PASS", 7)
    seen: list[int] = []
    with later(job, hours=25) as app:
        honest = app.target("shop").list

        def counting() -> Any:
            seen.append(sum("/name/" in one.path for one in job.wix.seen))
            return honest()

        app.target("shop").list = counting  # type: ignore[method-assign]
        before = len(job.wix.seen)
        cycle(app)
        compared = [one.path for one in job.wix.seen[before:] if "/name/" in one.path]
        assert len(compared) == len(set(compared)) == 50
        assert max(later - earlier for earlier, later in pairwise(seen)) <= 7
        assert not cycle(app).outcomes


@pytest.mark.sweep
@pytest.mark.parametrize("policy", ["report", "restore"])
@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("fault", ["reset_after", "504_after"])
def test_a_mark_whose_answer_was_lost_is_ours(job: Lab, policy: str, readable: bool, fault: str) -> None:
    job.config["jobs"]["job"]["drift_policy"] = policy
    job.site.options.may_read = readable
    assert job.settle().code == 0
    job.config["jobs"]["job"]["secrets"][0]["description"] = "another"
    with later(job, minutes=30) as app:
        job.wix.fault(fault, "PATCH", times=1000)
        cycle(app)
    job.wix.faults.clear()
    writes, values = job.writes(), job.site.values()
    with later(job, minutes=35) as app:
        report = cycle(app)
    assert not report.found(FindingKind.DRIFT) and not any(one.restored for one in report.outcomes)
    # Whether a person came after it cannot be seen where nothing may be read: ours is written once more, and said.
    assert job.site.values() == values and job.writes() == writes + (0 if readable else 2)
    assert set(job.statuses().values()) == {"synced"}


@pytest.mark.parametrize("lost", ["a deletion", "a creation"])
def test_a_lost_answer_that_can_give_no_new_date_hides_no_persons_change(lab: Lab, bao: Bao, lost: str) -> None:
    """Only a write of a secret that is there may come late and pass for somebody else's."""
    lab.vault(bao)
    bao.put("app/a", v="1")
    bao.put("app/b", v="1")
    lab.job(
        "job",
        "vault",
        {"path": f"{bao.mount}/app/*"},
        drift_policy="report",
        deletion_policy="delete",
        deletion_grace="0s",
    )
    if lost == "a creation":
        lab.wix.fault("504_after", "POST", times=1)
        lab.settle()
    else:
        assert lab.run("sync").code == 0
        bao.remove("app/a")
        lab.wix.fault("reset_before", "DELETE", times=4)
        lab.run("sync")
        bao.put("app/a", v="1")
        lab.settle()
    assert set(lab.site.values()) == {"a_v", "b_v"}
    for name in lab.ids():
        changed_by_hand(lab, name)
    for _ in range(2):
        lab.run("sync")
    assert set(lab.site.values().values()) == {"HAND-MADE"} and set(lab.statuses().values()) == {"behind"}


@pytest.mark.sweep
@pytest.mark.parametrize("policy", ["report", "restore"])
@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "504_after"])
def test_what_a_person_left_after_a_lost_rotation_is_told(job: Lab, bao: Bao, policy: str, fault: str) -> None:
    """A new version goes out whatever the policy, but what it overwrites is no change of ours."""
    job.config["jobs"]["job"]["drift_policy"] = policy
    bao.put("app/x", a="new", b="two")
    job.wix.fault(fault, "PATCH", times=20)
    job.run("sync")
    job.wix.faults.clear()
    changed_by_hand(job, "a")
    job.run("sync")
    lines = [line["event"] for line in job.run("audit", "show", "--json").json if line["name"] == "a"]
    assert values(job)["a"] == "new" and {"drift.found", "drift.restored"} <= set(lines)


@pytest.mark.parametrize("days", [0, 2])
def test_what_was_looked_for_by_its_id_and_is_somebodys_stays(job: Lab, bao: Bao, days: int) -> None:
    """The look-up writes a date of ours over the person's; what was read then tells whose it is."""
    job.config["jobs"]["job"]["drift_policy"] = "report"
    bao.put("app/y", c="three")
    assert job.run("sync").code == 0
    changed_by_hand(job, "c")
    kv = bao.root.secrets.kv.v2
    kv.delete_latest_version_of_secret("app/y", mount_point=bao.mount)
    job.site.options.hide = lambda one: one.name == "c"
    job.run("sync")
    job.site.options.hide = lambda one: False
    kv.undelete_secret_versions("app/y", [1], mount_point=bao.mount)
    for _ in range(2):
        with later(job, days=days, minutes=20) as app:
            report = cycle(app)
        assert values(job)["c"] == "HAND-MADE" and report.found(FindingKind.DRIFT)
