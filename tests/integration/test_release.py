"""What waits for a person: bound action by action, released once, and everything harmless goes meanwhile."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING, closed
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind

HOLD = {"id": "prod", "label": {"env": "prod"}, "then": "hold"}


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for name in "ab":
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.config["targets"]["shop"]["labels"] = {"env": "prod"}
    lab.config["rules"] = [HOLD]
    return lab


def held(lab: Lab) -> list[dict[str, Any]]:
    result = lab.run("held", "--json")
    assert result.code == 0, result.err
    rows: list[dict[str, Any]] = result.json
    return rows


def batches(lab: Lab) -> dict[str, list[str]]:
    return {row["batch"]: [action["name"] for action in row["actions"]] for row in held(lab)}


def test_nothing_goes_before_its_release_and_then_once(job: Lab, bao: Bao) -> None:
    result = job.run("sync")
    assert result.code == 6 and not job.site.values() and "syncd release" in result.out, result.out
    assert job.statuses() == {"a_v": "held", "b_v": "held"}
    (batch,) = held(job)
    shown = [line for line in job.run("audit", "show").out.splitlines() if "secret.held" in line]
    assert len(shown) == 2 and all(f"held in batch {batch['batch']}" in line for line in shown)
    assert (
        set(batch) == {"batch", "job", "target", "site", "cause", "since", "actions"} and batch["cause"] == "rule prod"
    )
    assert batch["actions"][0] == {
        "action": "create", "name": "a_v", "ref": f"vault:{bao.mount}/app/a#v", "from": None, "to": "1", "remote_id": None,
    }  # fmt: skip
    assert job.run("release", batch["batch"]).code == 3, "a reason is needed"
    assert job.run("release", "0" * 12, "--reason", "x").code == 3
    assert job.run("release", batch["batch"], "--reason", "CHG-1").code == 0
    again = job.run("release", batch["batch"], "--reason", "CHG-1")
    assert again.code == 0 and "already released" in again.out
    assert job.run("sync").code == 0 and set(job.site.values()) == {"a_v", "b_v"} and not held(job)
    sent = job.run("audit", "show", "--event", "secret.create", "--json").json
    assert {line["outcome"] for line in sent} == {"intent", "done"}
    assert {line["detail"]["batch"] for line in sent} == {batch["batch"]}, "a change's own lines say who agreed"
    assert all(line["detail"]["released_by"] and line["detail"]["because"] == "CHG-1" for line in sent)
    table = job.run("audit", "show", "--event", "secret.create").out
    assert table.count("CHG-1") == 4 and "because=" not in table, "the reason stands where reasons do"
    evidence = job.run("report", "--evidence", "1h..").json["questions"]["q4"]["answer"]
    assert evidence["agreed by another"].startswith("2 of 2 name who released them"), evidence
    bao.put("app/a", v="2")
    assert job.run("sync").code == 6 and job.site.values()["a_v"] == "1", "a held name stays held at its new version"
    assert job.statuses() == {"a_v": "held", "b_v": "synced"}
    lines = [
        line for line in job.run("audit", "show", "--json").json if line["event"] in {"secret.held", "secret.released"}
    ]
    assert [(line["event"], line["name"], line["rule"]) for line in lines] == [
        ("secret.held", "a_v", "prod"), ("secret.held", "b_v", "prod"), ("secret.released", "a_v", "prod"),
        ("secret.released", "b_v", "prod"), ("secret.held", "a_v", "prod"),
    ]  # fmt: skip
    assert lines[2]["reason"] == "CHG-1" and lines[2]["stream"] == "control" and lines[2]["site"] == job.site_id


def test_what_changes_leaves_its_batch(job: Lab, bao: Bao) -> None:
    assert job.run("sync").code == 6
    (first,) = batches(job)
    bao.put("app/a", v="2")
    assert job.run("sync").code == 6
    now = batches(job)
    assert now[first] == ["b_v"] and len(now) == 2
    assert job.run("release", first, "--reason", "x").code == 0
    assert job.run("sync").code == 6 and set(job.site.values()) == {"b_v"}
    (second,) = batches(job)
    bao.put("app/a", v="3")
    assert job.run("sync").code == 6
    moved = job.run("release", second, "--reason", "x")
    assert moved.code == 6 and "waits any more" in moved.err


def test_a_release_is_for_the_version_that_was_seen(job: Lab, bao: Bao) -> None:
    assert job.run("sync").code == 6
    (batch,) = batches(job)
    assert job.run("release", batch, "--reason", "x").code == 0
    bao.put("app/a", v="2")
    assert job.run("sync").code == 6 and job.site.values() == {"b_v": "1"}


def test_a_failed_try_does_not_use_a_release_up(job: Lab) -> None:
    assert job.run("sync").code == 6
    (batch,) = batches(job)
    assert job.run("release", batch, "--reason", "x").code == 0
    job.wix.fault("403", "POST", times=50)
    assert job.run("sync").code == 5 and not job.site.values()
    job.wix.faults.clear()
    assert job.run("sync").code == 0 and len(job.site.values()) == 2


def test_a_restore_and_a_description_are_no_new_content(job: Lab, bao: Bao) -> None:
    assert job.run("sync").code == 6
    for batch in batches(job):
        assert job.run("release", batch, "--reason", "x").code == 0
    assert job.run("sync").code == 0
    from tests.support.wix_people import changed_by_hand

    changed_by_hand(job, "a_v")
    assert job.run("sync").code == 0 and job.site.values()["a_v"] == "1", "our own value is put back"
    job.config["jobs"]["job"]["secrets"][0]["description"] = "Kept"
    assert job.run("sync").code == 0 and not held(job)


def test_deletions_that_a_limit_withheld_are_released_once(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    for number in range(6):
        bao.put(f"app/s{number}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, **(DELETING | {"guard": {"max_deletes": 1}}))
    assert lab.run("sync").code == 0
    for number in range(3):
        bao.remove(f"app/s{number}")
    bao.put("app/s5", v="2")
    result = lab.run("sync")
    assert result.code == 6 and lab.site.values()["s5_v"] == "2", "a rotation is never held up by a deletion"
    (batch,) = held(lab)
    assert batch["cause"] == "max_deletes" and [a["action"] for a in batch["actions"]] == ["delete"] * 3
    assert lab.run("release", batch["batch"], "--reason", "CHG-2").code == 0
    assert lab.run("sync").code == 0 and len(lab.site.values()) == 3 and not held(lab)
    bao.remove("app/s3")
    assert lab.run("sync").code == 6, "what was released counts in the rolling day"


def test_a_rule_that_goes_frees_what_it_held(job: Lab) -> None:
    assert job.run("sync").code == 6
    job.config["rules"] = []
    assert job.run("sync").code == 0 and len(job.site.values()) == 2 and not held(job)


def test_a_plan_is_no_release(job: Lab) -> None:
    plan = job.run("plan", "--out", str(job.folder / "plan.json"))
    assert plan.code == 6 and "held in batch" in plan.out
    assert job.run("apply", str(job.folder / "plan.json")).code in {0, 6} and not job.site.values()


def aged(lab: Lab, hours: int) -> None:
    """Everything that was released was released so much earlier."""
    with sqlite3.connect(lab.state) as database:
        for table in ("syncd_held", "syncd_batches"):
            database.execute(f"UPDATE {table} SET released_at = released_at - ?", (hours * 3600 * 10**6,))


@pytest.mark.sweep
@pytest.mark.parametrize("verb", ["create", "update", "delete"])
def test_a_release_that_ran_out_is_asked_for_again(job: Lab, bao: Bao, verb: str) -> None:
    rules, job.config["rules"] = job.config["rules"], []
    if verb != "create":
        assert job.run("sync").code == 0
    job.config["jobs"]["job"] |= DELETING
    job.config["rules"] = rules
    if verb == "update":
        bao.put("app/a", v="2")
    elif verb == "delete":
        bao.remove("app/a")
    before = job.site.values()
    for _ in range(3):
        code = job.run("sync").code
    assert code == 6
    (batch,) = batches(job)
    assert job.run("release", batch, "--reason", "CHG-1").code == 0
    aged(job, 25)
    assert batches(job) == {batch: ["a_v", "b_v"] if verb == "create" else ["a_v"]}, "it waits again"
    assert job.run("sync").code == 6 and job.site.values() == before
    assert job.run("release", batch, "--reason", "CHG-2").code == 0
    assert job.run("sync").code == 0 and job.site.values() != before and not held(job)


def test_a_release_is_for_one_deed(job: Lab, bao: Bao) -> None:
    job.config["rules"] = []
    assert job.run("sync").code == 0
    job.config["rules"] = [HOLD]
    bao.put("app/a", v="2")
    assert job.run("sync").code == 6
    (batch,) = batches(job)
    assert job.run("release", batch, "--reason", "CHG-1").code == 0
    assert job.run("sync").code == 0 and job.site.values()["a_v"] == "2"
    assert not job.run("report", "--format", "json").json["released"], "spent by the deed itself"
    assert job.run("rollback", "a_v", "--to", "1", "--reason", "two is bad").code == 0
    assert job.run("rollback", "a_v", "--end", "--reason", "on again").code == 6
    assert job.site.values()["a_v"] == "1", "what was released once is sent once"
    # Nor by way of a name that was given to another reference of the same version meanwhile.
    (batch,) = batches(job)
    assert job.run("release", batch, "--reason", "CHG-2").code == 0
    bao.put("app/b", v="2")
    job.config["jobs"]["job"]["secrets"] = [{"path": f"{bao.mount}/app/b", "field": "v", "name": "a_v"}]
    assert job.run("sync").code == 6 and job.site.values()["a_v"] == "1"


@pytest.mark.parametrize("gone", ["job", "target", "renamed"])
def test_what_nobody_wants_any_more_does_not_wait(job: Lab, bao: Bao, gone: str) -> None:
    other = str(uuid.uuid4())
    job.secret_file("other-key", job.wix.issue_key(other))
    job.config["targets"]["other"] = {**job.target(other, "other-key"), "labels": {"env": "prod"}}
    bao.put("more/c", v="1")
    job.job("more", "vault", {"path": f"{bao.mount}/more/*"})
    job.config["jobs"]["more"]["targets"] = ["other"]
    assert job.run("sync").code == 6
    (theirs,) = [row for row in held(job) if row["job"] == "more"]
    if gone == "renamed":
        job.config["jobs"]["next"] = job.config["jobs"].pop("more")
        assert job.run("sync").code == 6
    else:
        del job.config["jobs"]["more"]
        if gone == "target":
            del job.config["targets"]["other"]
    assert "more" not in {row["job"] for row in held(job)}
    # Where the job only has a new name, its batch of that name is another one.
    result = job.run("release", theirs["batch"], "--reason", "x")
    assert result.code == 6, result.out
    assert not job.wix.site(other).values()


def test_only_what_changed_waits(job: Lab, bao: Bao) -> None:
    """A new version of a path is no new value of each of its fields, also when its value was read for another site."""
    job.config["rules"] = []
    other = str(uuid.uuid4())
    job.secret_file("other-key", job.wix.issue_key(other))
    job.config["targets"] = {"other": job.target(other, "other-key"), **job.config["targets"]}
    job.config["jobs"]["job"]["targets"] = ["other", "shop"]
    bao.put("app/db", a="1", b="1", c="1")
    assert job.run("sync").code == 0
    job.config["rules"] = [HOLD]
    bao.put("app/db", a="2", b="1", c="1")
    kept = str(job.folder / "plan.json")
    assert job.run("plan", "--out", kept).code == 6
    applied = job.run("apply", kept)
    assert applied.code == 6 and job.wix.site(other).values()["db_a"] == "2", "held stays held, and is said"
    for _ in range(2):
        assert job.run("sync").code == 6
        assert list(batches(job).values()) == [["db_a"]]
        listed = job.run("state", "list", "--json").json
        told = {row["name"]: row["status"] for row in listed if row["target"] == "shop"}
        assert (told["db_a"], told["db_b"], told["db_c"]) == ("held", "synced", "synced")


@pytest.mark.sweep
@pytest.mark.parametrize("other", ["a limit", "a window", "its value", "a pause", "a denial"])
def test_a_release_lasts_while_something_else_keeps_it_back(job: Lab, bao: Bao, other: str) -> None:
    assert job.run("sync").code == 6
    (batch,) = batches(job)
    if other == "a limit":
        job.config["jobs"]["job"]["guard"] = {"max_creates": 0}
    elif other == "a window":
        job.config["jobs"]["job"]["windows"] = {"allow": ["00:00-00:01 Pacific/Kiritimati"]}
    elif other == "a denial":
        job.config["rules"].append({"id": "no", "name": "*", "then": "deny"})
    assert job.run("release", batch, "--reason", "CHG-1").code == 0
    if other == "its value":
        job.config["sources"]["vault"]["address"] = "http://127.0.0.1:9"
    elif other == "a pause":
        assert job.run("pause", "job", "--reason", "x").code == 0
    for _ in range(3):
        job.run("sync")
        assert not job.site.values()
    if other == "its value":
        job.vault(bao)
    elif other == "a pause":
        assert job.run("resume", "job").code == 0
    elif other == "a denial":
        job.config["rules"].pop()
    else:
        job.config["jobs"]["job"].pop("guard" if other == "a limit" else "windows")
    assert job.run("sync").code == 0 and set(job.site.values()) == {"a_v", "b_v"}, other


def test_an_applied_plan_of_which_all_is_held_makes_its_batches(job: Lab, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    assert job.run("plan", "--out", str(file)).code == 6
    assert not held(job), "a plan writes nothing"
    done = job.run("apply", str(file))
    assert done.code == 6 and not job.site.values() and "needs a release" in done.out, done.out
    (batch,) = batches(job)
    assert job.run("release", batch, "--reason", "CHG-2").code == 0
    assert job.run("sync").code == 0 and set(job.site.values()) == {"a_v", "b_v"}


@pytest.mark.sweep
@pytest.mark.parametrize("then", ["held", "denied", "outside the window", "frozen"])
def test_what_somebody_changes_while_a_version_waits_is_told(job: Lab, bao: Bao, then: str) -> None:
    job.config["rules"] = []
    assert job.run("sync").code == 0
    if then == "held":
        job.config["rules"] = [HOLD]
    elif then == "denied":
        job.config["rules"] = [{"id": "no", "name": "a_v", "then": "deny"}]
    elif then == "outside the window":
        job.config["jobs"]["job"]["windows"] = {"allow": closed()}
    else:
        assert job.run("state", "freeze", "a_v", "--until", "1d", "--reason", "x").code == 0
    bao.put("app/a", v="2")
    job.run("sync")
    changed_by_hand(job, "a_v")
    for _ in range(2):
        result = job.run("sync")
        assert "drift" in result.out and "changed at Wix by somebody else" in result.out, result.out
    assert job.site.values()["a_v"] == "HAND-MADE"
    lines = job.run("audit", "show", "--event", "drift.*", "--name", "a_v", "--json").json
    assert [line["event"] for line in lines] == ["drift.found"]


@pytest.mark.parametrize("policy", ["restore", "report"])
def test_what_somebody_removes_comes_back_without_a_release(job: Lab, bao: Bao, policy: str) -> None:
    """It was agreed on when it was sent; a newer version waits like any other."""
    job.config["rules"] = []
    job.config["jobs"]["job"]["drift_policy"] = policy
    assert job.run("sync").code == 0
    job.config["rules"] = [HOLD]
    job.site.delete(job.ids()["a_v"])
    assert job.run("sync").code == 0 and job.site.values() == {"a_v": "1", "b_v": "1"}
    lines = job.run("audit", "show", "--name", "a_v", "--json").json[2:]
    assert [(line["event"], line["outcome"]) for line in lines] == [
        ("secret.update", "intent"), ("secret.update", "failed"), ("drift.found", None),
        ("secret.create", "intent"), ("secret.create", "done"), ("drift.restored", None),
    ]  # fmt: skip
    assert lines[3]["detail"]["why"] == "removed at Wix by somebody else"
    bao.put("app/b", v="2")
    job.site.delete(job.ids()["b_v"])
    assert job.run("sync").code == 6 and "b_v" not in job.site.values()


def test_what_we_deleted_ourselves_is_nobodys_change(job: Lab, bao: Bao) -> None:
    job.config["rules"] = []
    job.config["jobs"]["job"] |= DELETING
    assert job.run("sync").code == 0
    bao.remove("app/a")
    job.wix.fault("504_after", "DELETE", times=5)
    job.run("sync")
    job.wix.faults.clear()
    bao.put("app/a", v="3")
    job.settle()
    assert job.site.values()["a_v"] == "3"
    assert not job.run("audit", "show", "--event", "drift.*", "--json").json


@pytest.mark.sweep
@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("to", [{"field": "other"}, {"path": "app/b"}], ids=str)
def test_another_reference_waits_though_its_version_is_the_same(
    job: Lab, bao: Bao, to: dict[str, str], moved: bool
) -> None:
    """A version is of a path, and without fingerprints (a ledger that was moved) nothing else tells values apart."""
    bao.put("app/a", v="1", other="2")
    bao.put("app/b", v="3")
    job.config["rules"] = []
    job.config["jobs"]["job"]["secrets"] = [{"path": f"{bao.mount}/app/a", "field": "v", "name": "TOKEN"}]
    assert job.run("sync").code == 0
    job.config["rules"] = [HOLD]
    if moved:
        file = job.folder / "export.json"
        file.write_text(job.run("state", "export", "--full").out)
        job.config["state"] = {"path": str(job.folder / "moved" / "state.db")}
        assert job.run("state", "import", str(file)).code == 0
    change = {key: f"{bao.mount}/{value}" if key == "path" else value for key, value in to.items()}
    job.config["jobs"]["job"]["secrets"][0] |= change
    for _ in range(2):
        job.run("sync")
        assert job.site.values()["TOKEN"] == "1"
    assert [action["name"] for row in held(job) for action in row["actions"]] == ["TOKEN"]


def test_a_newer_version_that_waits_in_the_place_of_another_has_its_line(job: Lab, bao: Bao) -> None:
    assert job.run("sync").code == 6
    bao.put("app/a", v="2")
    assert job.run("sync").code == 6
    bao.put("app/a", v="3")
    assert job.run("sync").code == 6 and job.run("sync").code == 6
    lines = [
        line for line in job.run("audit", "show", "--event", "secret.held", "--json").json if line["name"] == "a_v"
    ]
    assert [line["to"] for line in lines[1:]] == ["2", "3"] and all(line["site"] == job.site_id for line in lines)
    batches = [row["batch"] for row in held(job) if [one["name"] for one in row["actions"]] == ["a_v"]]
    assert [lines[-1]["detail"]["batch"]] == batches and lines[-1]["detail"]["instead_of"] == lines[-2]["detail"][
        "batch"
    ]
    assert job.run("audit", "verify").code == 0


@pytest.mark.parametrize("moment", ["another job is blind", "its own source is blind"])
def test_a_released_deletion_waits_for_what_objects(job: Lab, bao: Bao, moment: str) -> None:
    """What keeps it back for a cycle uses no release up: a person agreed, and is not asked twice."""
    bao.put("other/c", v="1")
    bao.put("app/keeps", v="the glob from listing nothing")
    job.config["jobs"]["job"] |= DELETING
    job.vault(bao, "second")
    job.config["rules"] = []
    assert job.run("sync").code == 0
    job.config["rules"] = [HOLD]
    bao.remove("app/a")
    job.run("sync")
    (batch,) = held(job)
    assert job.run("release", batch["batch"], "--reason", "CHG-1").code == 0
    job.job("other", "second", {"path": f"{bao.mount}/other/*"})
    blind = "second" if moment == "another job is blind" else "vault"
    address = job.config["sources"][blind]["address"]
    job.config["sources"][blind]["address"] = "http://127.0.0.1:9"
    job.run("sync")
    assert "a_v" in job.site.values()
    job.config["sources"][blind]["address"] = address
    job.run("sync")
    assert "a_v" not in job.site.values() and batch["batch"] not in batches(job)


@pytest.mark.parametrize(("schedule", "rare"), [
    ({"every": "1h"}, False), ({"every": "24h"}, False), ({"every": "7d"}, True), ({"cron": "0 3 * * 1"}, True), (None, False),
])  # fmt: skip
def test_a_release_that_may_end_before_the_next_run_says_so(
    job: Lab, schedule: dict[str, str] | None, rare: bool
) -> None:
    assert job.run("sync").code == 6
    if schedule:
        job.config["jobs"]["job"]["schedule"] = schedule
    said = job.run("release", held(job)[0]["batch"], "--reason", "agreed")
    assert said.code == 0 and ("syncd sync job" in said.out) == rare, said.out


@pytest.mark.parametrize("words", [("status",), ("explain", "a_v"), ("where", "app/a")], ids=str)
def test_what_was_released_is_told_as_that(job: Lab, bao: Bao, words: tuple[str, ...]) -> None:
    """Nobody is told to do what was just done; what waits in another batch is told as before."""
    job.run("sync")
    (batch,) = batches(job)
    asked = tuple(word.replace("app/a", f"{bao.mount}/app/a") for word in words)
    assert words[0] == "where" or f"syncd release {batch}" in job.run(*asked).out
    assert job.run("release", batch, "--reason", "CHG-1").code == 0
    told = job.run(*asked)
    assert "syncd release" not in told.out + told.err, told.out
    assert words[0] == "where" or f"released in batch {batch}" in told.out
    assert job.run("sync").code == 0 and "released" not in job.run("status").out
