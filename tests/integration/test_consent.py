"""Consent is read in the moment of the deed, from where it was given; zero is zero; a plan is bound whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from syncd.domain import Grant
from syncd.domain.job import Limit
from syncd.ledger import schema as tables
from syncd.reconcile.cycle import Cycle
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.planned_pass import Look
from syncd.reconcile.run_job import Run, sync_job
from tests.lab import Bao, Lab

pytestmark = pytest.mark.kind


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in range(6):
        bao.put(f"app/s{number}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    return lab


@pytest.mark.sweep
@pytest.mark.parametrize("limit", ["0%", "0.0%", 0, "0", "0.000%"])
def test_a_limit_of_zero_lets_nothing_go(job: Lab, bao: Bao, limit: Any) -> None:
    job.config["jobs"]["job"] |= {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": limit}}
    assert job.run("sync").code == 0
    bao.remove("app/s0")
    for _ in range(2):
        assert job.run("sync").code == 6
    assert len(job.site.values()) == 6
    assert job.run("sync", "--allow-deletes", "1", "--reason", "agreed").code == 0 and len(job.site.values()) == 5


@pytest.mark.parametrize(
    ("key", "limit", "done"),
    [("max_creates", "0%", 0), ("max_creates", 2, 0), ("max_creates", 6, 6), ("max_updates", 0, 6)],
)
def test_other_actions_have_limits_too(job: Lab, bao: Bao, key: str, limit: Any, done: int) -> None:
    job.config["jobs"]["job"]["guard"] = {key: limit}
    assert job.run("sync").code == (0 if done else 6)
    assert len(job.site.values()) == done
    if key == "max_updates":
        bao.put("app/s0", v="2")
        assert job.run("sync").code == 6 and job.site.values()["s0_v"] == "1"


def test_updates_are_limited_over_a_day_not_a_cycle(job: Lab, bao: Bao) -> None:
    job.config["jobs"]["job"]["guard"] = {"max_updates": 2}
    assert job.run("sync").code == 0
    for number in range(4):
        bao.put(f"app/s{number}", v="2")
        job.run("sync")
    assert list(job.site.values().values()).count("2") == 2


@pytest.mark.parametrize(("percent", "held", "allowed"), [(0, 1000, 0), (0.1, 10, 1), (10, 100, 10), (0.4, 1000, 4)])
def test_a_share_of_something_is_at_least_one(percent: float, held: int, allowed: int) -> None:
    assert Limit(percent=percent).of(held) == allowed


def theirs(job: Lab, name: str = "s0_v", **more: str) -> str:
    return str(job.site.create({"name": name, "value": "theirs", **more})["id"])


@pytest.mark.sweep
@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "504_after", "late", "truncated"])
@pytest.mark.parametrize("door", ["policy", "grant"])
def test_an_adoption_whose_answer_was_lost_needs_its_consent_again(job: Lab, fault: str, door: str) -> None:
    theirs(job)
    if door == "policy":
        job.config["jobs"]["job"]["conflict_policy"] = "adopt"
    else:
        assert job.run("sync").code == 1
        assert job.run("state", "adopt", "s0_v", "--reason", "agreed").code == 0
    job.wix.fault(fault, "PATCH", times=10)
    job.run("sync")
    arrived = job.site.values()["s0_v"] != "theirs"
    job.wix.faults.clear()
    if door == "policy":
        job.config["jobs"]["job"]["conflict_policy"] = "report"
    else:
        with App(load(job.config_file)) as app, app.ledger.writing() as connection:
            connection.execute(delete(tables.grants).where(tables.grants.c.name == "s0_v"))
    for _ in range(2):
        job.run("sync")
        assert (job.site.values()["s0_v"] == "theirs") is not arrived
    assert job.statuses()["s0_v"] == ("synced" if arrived else "conflict")
    assert job.wix.commit_late() >= 0
    job.run("sync")
    job.config["jobs"]["job"] |= {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 100}}
    job.config["jobs"]["job"]["secrets"][0]["exclude"] = [
        job.config["jobs"]["job"]["secrets"][0]["path"].replace("*", "s0")
    ]
    for _ in range(3):
        job.run("sync")
    assert "s0_v" in job.site.values(), "it was somebody else's: never deleted"


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("spans", "later", "taken"),
    [
        ((), 23, True),
        ((), 25, False),
        (("--for", "2h"), 3, False),
        (("--for", "300d"), 24 * 200, True),
        (("--for", "1s"), -2, False),
    ],
)
def test_a_grant_ends(job: Lab, spans: tuple[str, ...], later: int, taken: bool) -> None:
    theirs(job)
    assert job.run("sync").code == 1
    assert job.run("state", "adopt", "s0_v", "--reason", "agreed", *spans).code == 0
    with App(load(job.config_file), Surroundings(clock=lambda: datetime.now(UTC) + timedelta(hours=later))) as app:
        sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="test", wait=timedelta(0)))
    assert (job.site.values()["s0_v"] == "1") is taken


def test_a_grant_that_is_taken_back_in_the_middle_is_not_used(job: Lab) -> None:
    theirs(job)
    assert job.run("sync").code == 1
    assert job.run("state", "adopt", "s0_v", "--reason", "agreed").code == 0
    with App(load(job.config_file)) as app:
        honest = app.runtime.store.grants
        asked: list[str] = []
        planned = 99

        def withdrawn(site: str, now: datetime) -> dict[str, Grant]:
            asked.append(site)
            return dict(honest(site, now)) if len(asked) <= planned else {}

        app.ledger.grants = withdrawn  # type: ignore[method-assign]
        look = Look(runtime=app.runtime, job=app.runtime.jobs["job"], target_name="shop", holder="test")
        assert Cycle(look).plan(ObservationCache()).plan.actions
        # As often as a plan asks; the deed asks again.
        planned = len(asked)
        asked.clear()
        sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="test", wait=timedelta(0)))
    assert job.site.values()["s0_v"] == "theirs" and len(asked) > planned
    # Not even begun: no intent of it is in the trail.
    assert not [line for line in job.run("audit", "show", "--name", "s0_v", "--json").json if line["outcome"]]


def marked_by(owner: str) -> str:
    return f"Kept by syncd [syncd:{owner}:0123abcd]"


def another_of_its_name(job: Lab, description: str) -> None:
    job.site.delete(job.site.by_name("s0_v").id)
    theirs(job, description=description)


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("before", "since", "taken"),
    [
        ("", lambda job: another_of_its_name(job, ""), False),
        ("", lambda job: another_of_its_name(job, marked_by("others")), False),
        (marked_by("others"), lambda job: another_of_its_name(job, marked_by("others")), False),
        ("", lambda job: job.site.update(job.site.by_name("s0_v").id, {"description": marked_by("others")}), False),
        (
            marked_by("others"),
            lambda job: job.site.update(job.site.by_name("s0_v").id, {"description": marked_by("third")}),
            False,
        ),
        (marked_by("others"), lambda job: job.site.update(job.site.by_name("s0_v").id, {"description": ""}), True),
        ("by hand", lambda job: job.site.update(job.site.by_name("s0_v").id, {"value": "theirs still"}), True),
    ],
)
@pytest.mark.parametrize("words", [(), ("--target", "shop")])
def test_a_grant_is_for_the_secret_that_was_seen(
    job: Lab, before: str, since: Callable[[Lab], None], taken: bool, words: tuple[str, ...]
) -> None:
    seen = theirs(job, description=before)
    assert job.run("sync").code == 1
    given = job.run("state", "adopt", "s0_v", "--reason", "agreed", *words)
    assert given.code == 0 and seen in given.out
    since(job)
    result = job.run("sync")
    assert (job.site.values()["s0_v"] == "1") is taken
    assert result.code == (0 if taken else 1)
    assert taken or job.run("state", "adopt", "s0_v", "--reason", "this one").code == 0
    assert job.settle().code == 0 and job.site.values()["s0_v"] == "1"


def test_a_grant_needs_a_site_that_lists_the_secret(job: Lab) -> None:
    result = job.run("state", "adopt", "nobody", "--reason", "agreed", "--target", "shop")
    assert result.code == 3 and "lists no secret called nobody" in result.err
    theirs(job)
    assert job.run("sync").code == 1
    job.wix.fault("500", "GET", times=50)
    refused = job.run("state", "adopt", "s0_v", "--reason", "agreed")
    assert refused.code == 5, refused.err
    job.wix.faults.clear()
    job.run("sync")
    assert job.site.values()["s0_v"] == "theirs", "no permission was kept"


@pytest.mark.parametrize("policy", ["adopt", "report"])
def test_another_owners_mark_is_a_conflict_that_names_it(job: Lab, policy: str) -> None:
    theirs(job, description="Kept by syncd [syncd:other-team:0123abcd]")
    job.config["jobs"]["job"]["conflict_policy"] = policy
    result = job.run("sync")
    assert result.code == 1 and "other-team" in result.out
    assert job.site.values()["s0_v"] == "theirs"
    assert job.run("state", "adopt", "s0_v", "--reason", "agreed").code == 0
    assert job.settle().code == 0 and job.site.values()["s0_v"] == "1"


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    return change


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "target": lambda plan: plan["plans"][0].update(target="second"),
    "target and site": lambda plan: plan["plans"][0].update(target="second", site="other-site"),
    "site": lambda plan: plan["plans"][0].update(site="other-site"),
    "job": lambda plan: plan["plans"][0].update(job="twin"),
    "an action left out": lambda plan: plan["plans"][0]["actions"].pop(),
    "a part doubled": lambda plan: plan["plans"].append(plan["plans"][0]),
    "name": lambda plan: plan["plans"][0]["actions"][0].update(name="OTHER"),
    "a key more": lambda plan: plan["plans"][0]["actions"][0].update(extra=1),
    "a key less": lambda plan: plan["plans"][0]["actions"][0].pop("reason"),
    "description": lambda plan: plan["plans"][0]["actions"][0].update(description="x"),
}


@pytest.mark.sweep
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("with_checksum", [False, True])
def test_a_plan_that_was_edited_does_nothing(job: Lab, bao: Bao, edit: str, with_checksum: bool) -> None:
    from syncd.reconcile import saved_plan as planfile

    other = job.wix.issue_key("other-site")
    job.secret_file("other-key", other)
    job.config["targets"]["second"] = job.target("other-site", "other-key")
    job.job("twin", "vault", {"path": f"{bao.mount}/app/none"}, targets=["second"])
    path = job.folder / "plan.json"
    assert job.run("plan", "job", "--out", str(path)).code == 0
    plan = json.loads(path.read_text())
    EDITS[edit](plan)
    if with_checksum:  # by somebody who knows how it is made
        if edit == "an action left out":
            pytest.skip("a smaller plan is a plan")
        plan["checksum"] = planfile.digest({key: value for key, value in plan.items() if key != "checksum"})
    path.write_text(json.dumps(plan))
    result = job.run("apply", str(path))
    assert result.code in {3, 6} and job.writes() == 0, result.out
    assert not job.wix.site("other-site").values()


def test_an_old_record_of_an_adoption_is_no_consent(job: Lab) -> None:
    """A ledger that holds an unanswered adoption, put back later."""
    theirs(job)
    job.config["jobs"]["job"]["conflict_policy"] = "adopt"
    job.wix.fault("reset_before", "PATCH", times=10)
    job.run("sync")
    job.wix.faults.clear()
    job.config["jobs"]["job"]["conflict_policy"] = "report"
    job.rewrite(lambda record: replace(record, pending_at=record.pending_at and record.pending_at - timedelta(days=30)))
    assert job.run("sync").code == 1 and job.site.values()["s0_v"] == "theirs"
