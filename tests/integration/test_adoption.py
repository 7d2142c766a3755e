"""Taking over what somebody else made: compared first, said before, and never another installation's."""

from __future__ import annotations

import pytest

from syncd.domain import SecretRef
from syncd.domain.ownership import mark_of
from tests.lab import Bao, Lab


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/x", same="1", other="2", new="3")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{field}"})
    lab.site.create({"name": "same", "value": "1", "description": "made by hand"})
    lab.site.create({"name": "other", "value": "by hand", "description": ""})
    return lab


def consent(job: Lab, door: str) -> None:
    if door == "policy":
        job.config["jobs"]["job"]["conflict_policy"] = "adopt"
    else:
        assert job.run("sync").code == 1
        for name in ("same", "other"):
            assert job.run("state", "adopt", name, "--reason", "agreed").code == 0


@pytest.mark.sweep
@pytest.mark.parametrize("door", ["policy", "grant"])
@pytest.mark.parametrize("may_read", [True, False])
def test_the_plan_says_what_is_overwritten_and_the_same_value_is_not_sent(job: Lab, door: str, may_read: bool) -> None:
    job.site.options.may_read = may_read
    consent(job, door)
    plan = {one["name"]: one["reason"] for part in job.run("plan", "--json").json["plans"] for one in part["actions"]}
    if may_read:
        assert plan["same"] == "taken over, its value is the same"
        assert plan["other"] == "taken over, another value is overwritten"
    else:
        assert plan["same"] == plan["other"] == "taken over, whatever it holds"
    before = job.site.by_name("same")
    assert job.run("sync").code == 0
    assert job.site.values() == {"same": "1", "other": "2", "new": "3"}
    after = job.site.by_name("same")
    assert before is not None and after is not None and after.id == before.id and "[syncd:lab:" in after.description
    assert job.statuses() == {"same": "synced", "other": "synced", "new": "synced"}
    assert job.run("plan", "--detailed-exitcode").code == 0, "a second run does nothing"


@pytest.mark.sweep
@pytest.mark.parametrize("fault", ["reset_after", "504_after", "500", "403", "reset_before"])
def test_an_adoption_of_the_same_value_that_fails(job: Lab, bao: Bao, fault: str) -> None:
    consent(job, "policy")
    job.wix.fault(fault, "PATCH", times=30)
    job.run("sync")
    job.wix.faults.clear()
    assert job.site.values()["same"] == "1"
    for _ in range(3):
        job.run("sync")
    assert job.statuses() == {"same": "synced", "other": "synced", "new": "synced"}
    bao.put("app/x", same="9", other="2", new="3")
    assert job.run("sync").code == 0 and job.site.values()["same"] == "9"


@pytest.mark.sweep
@pytest.mark.parametrize("owner", ["others", "LAB", "lab2", "l-a-b"])
@pytest.mark.parametrize("text", ["Stripe key {mark}", "{mark} edited by hand", "{mark}"])
def test_another_installations_secret_is_a_conflict_that_names_it(job: Lab, owner: str, text: str) -> None:
    mark = mark_of(owner, "theirs", SecretRef(source="v", path="p", field="theirs"))
    job.site.create({"name": "theirs", "value": "theirs", "description": text.format(mark=mark)})
    job.config["jobs"]["job"]["secrets"][0]["name"] = "theirs"
    job.config["jobs"]["job"]["secrets"][0]["field"] = "same"
    job.config["jobs"]["job"]["conflict_policy"] = "adopt"
    for _ in range(2):
        done = job.run("sync")
        assert done.code == 1 and owner in done.out and "state adopt theirs" in done.out
    assert job.site.values()["theirs"] == "theirs"
    assert job.run("state", "adopt", "theirs", "--reason", "they moved out").code == 0
    assert job.run("sync").code == 0 and job.site.values()["theirs"] == "1"
    assert f"[syncd:{owner}:" not in job.site.by_name("theirs").description or owner == "LAB"


def with_a_lost_ledger(job: Lab, bao: Bao, swap: str) -> str:
    """Two jobs of which each gives the other's name, or one that took over its name. Returns: that name."""
    bao.put("team/x", new="of the team")
    job.config["jobs"]["job"]["secrets"] = [{"path": f"{bao.mount}/team/*", "name": "{field}"}]
    assert job.run("sync").code == 0
    job.config["jobs"]["team"] = job.config["jobs"].pop("job")
    for file in job.state.parent.glob("state.db*"):
        if not file.name.endswith("key"):
            file.unlink()
    # By the alphabet the first one; its name is the team's by a pattern, in full, or by another field.
    rule = {
        "pattern": {"path": f"{bao.mount}/app/*", "field": "new", "name": "{field}"},
        "name": {"path": f"{bao.mount}/app/x", "field": "other", "name": "new"},
        "value": {"path": f"{bao.mount}/app/x", "value": "{same}-{other}", "name": "new"},
    }[swap]
    job.job("a-job", "vault", rule)
    return "new"


@pytest.mark.parametrize("swap", ["pattern", "name", "value"])
@pytest.mark.parametrize("door", ["policy", "grant"])
def test_what_carries_our_mark_for_another_secret_is_not_taken_over(job: Lab, bao: Bao, swap: str, door: str) -> None:
    """The ledger is lost, and the job that comes first gives a name that is another job's."""
    name = with_a_lost_ledger(job, bao, swap)
    if door == "policy":
        job.config["jobs"]["a-job"]["conflict_policy"] = "adopt"
    else:
        refused = job.run("state", "adopt", name, "--target", "shop", "--reason", "the hint says so")
        assert refused.code == 3 and "carries our own mark" in refused.err and "syncd sync" in refused.err
    done = job.run("sync")
    assert done.code == 1 and "takes it back once its source can be read" in done.out
    assert job.site.values()[name] == "of the team"
    done = job.run("sync")
    assert job.site.values()[name] == "of the team" and "of job team" in done.out
    assert "is ours already" in job.run("state", "adopt", name, "--target", "shop", "--reason", "again").err


def test_what_no_job_gives_any_more_is_taken_over_by_a_persons_word(job: Lab, bao: Bao) -> None:
    name = with_a_lost_ledger(job, bao, "pattern")
    job.config["jobs"].pop("team")
    assert job.run("sync").code == 1
    said = job.run("state", "adopt", name, "--target", "shop", "--reason", "the team's path has moved")
    assert said.code == 0 and "our mark for another secret" in said.out
    assert job.run("sync").code == 0 and job.site.values()[name] == "3"


@pytest.mark.parametrize("trouble", ["source away", "denied path", "paused", "no cycle"])
@pytest.mark.parametrize("door", ["policy", "grant"])
def test_a_job_that_could_not_look_may_still_take_it_back(job: Lab, bao: Bao, trouble: str, door: str) -> None:
    name = with_a_lost_ledger(job, bao, "pattern")
    job.config["sources"]["own"] = dict(job.config["sources"]["vault"])
    address = job.config["sources"]["own"]["address"]
    if door == "policy":
        job.config["jobs"]["a-job"]["conflict_policy"] = "adopt"
    job.config["jobs"]["team"]["source"] = "vault"
    job.config["jobs"]["a-job"]["source"] = "own"
    if trouble == "source away":
        job.config["sources"]["vault"]["address"] = "http://127.0.0.1:9"
    elif trouble == "denied path":
        job.config["jobs"]["team"]["secrets"].append({"path": "nowhere/x", "field": "v", "name": "NOWHERE"})
    elif trouble == "paused":
        assert job.run("pause", "team", "--reason", "rests").code == 0
    for _ in range(2):
        job.run("sync", *(("a-job",) if trouble == "no cycle" else ()))
    if door == "grant":
        refused = job.run("state", "adopt", name, "--target", "shop", "--reason", "the hint says so")
        # What it could read of its source was enough to take that one back.
        said = "is ours already" if trouble == "denied path" else "may be of job team, which has not looked"
        assert refused.code == 3 and said in refused.err
        assert ("rests" in refused.err and "off shop" in refused.err) == (trouble == "paused")
    assert job.site.values()[name] == "of the team"
    job.config["sources"]["vault"]["address"] = address
    job.config["jobs"]["team"]["secrets"] = job.config["jobs"]["team"]["secrets"][:1]
    job.run("resume", "team")
    for _ in range(2):
        job.run("sync")
    assert job.site.values()[name] == "of the team"


@pytest.mark.parametrize("how", ["restored", "forgotten", "one job", "one job, denied"])
@pytest.mark.parametrize("door", ["policy", "grant"])
def test_nothing_of_ours_is_written_over_whatever_the_ledger_has_seen(job: Lab, bao: Bao, how: str, door: str) -> None:
    """A look of before says nothing of what the ledger has lost since then."""
    bao.put("team/x", new="of the team")
    team = {"path": f"{bao.mount}/team/*", "name": "{field}"}
    mine = {"path": f"{bao.mount}/app/*", "field": "new", "name": "{field}"}
    job.config["jobs"]["job"]["secrets"] = [{"path": f"{bao.mount}/app/*", "field": "same", "name": "S"}]
    assert job.run("sync").code == 0
    kept = {file: file.read_bytes() for file in job.state.parent.iterdir() if file.is_file()}
    job.config["jobs"]["job"]["secrets"] = [team]
    assert job.run("sync").code == 0 and job.site.values()["new"] == "of the team"
    if how == "forgotten":
        assert job.run("state", "forget", "new").code == 0
    else:
        for file in list(job.state.parent.iterdir()):
            if file.is_file() and file not in kept:
                file.unlink()
        for file, content in kept.items():
            file.write_bytes(content)
    policy = {"conflict_policy": "adopt"} if door == "policy" else {}
    if how.startswith("one job"):
        denied = [{"path": "nowhere/x", "field": "v", "name": "N"}] if "denied" in how else []
        job.config["jobs"]["job"] |= {"secrets": [mine, team, *denied], **policy}
    else:
        job.config["jobs"]["team"] = job.config["jobs"].pop("job")
        job.job("a-job", "vault", mine, **policy)
    for _ in range(2):
        done = job.run("sync")
        assert job.site.values()["new"] == "of the team", done.out


@pytest.mark.parametrize("trouble", ["source away", "denied path", "none"])
def test_a_grant_waits_for_a_job_that_was_added_since(job: Lab, bao: Bao, trouble: str) -> None:
    name = with_a_lost_ledger(job, bao, "pattern")
    team = job.config["jobs"].pop("team")
    job.run("sync")
    assert job.run("state", "adopt", name, "--target", "shop", "--reason", "nobody gives it any more").code == 0
    job.config["sources"]["own"] = dict(job.config["sources"]["vault"])
    if trouble == "source away":
        job.config["sources"]["own"]["address"] = "http://127.0.0.1:9"
    job.config["jobs"]["team"] = {**team, "source": "own" if trouble == "source away" else "vault"}
    if trouble == "denied path":
        job.config["jobs"]["team"]["secrets"] = [*team["secrets"], {"path": "nowhere/x", "field": "v", "name": "N"}]
    said = job.run("sync").out
    assert "it may be of job team, which has not looked at all of its source yet" in said
    for _ in range(2):
        job.run("sync")
        assert job.site.values()[name] == "of the team"


@pytest.mark.parametrize("behind", [".", " (checked by Bob)", " [syncd:lab:00000000]", "\nsee CHG-7"])
@pytest.mark.parametrize("door", ["policy", "grant"])
def test_our_mark_counts_wherever_it_stands(job: Lab, bao: Bao, behind: str, door: str) -> None:
    """A person wrote something behind it."""
    name = with_a_lost_ledger(job, bao, "pattern")
    stored = job.site.by_name(name)
    assert stored is not None
    job.site.update(stored.id, {"description": stored.description + behind})
    if door == "policy":
        job.config["jobs"]["a-job"]["conflict_policy"] = "adopt"
    else:
        refused = job.run("state", "adopt", name, "--target", "shop", "--reason", "the hint says so")
        assert refused.code == 3 and "carries our own mark" in refused.err
    for _ in range(2):
        job.run("sync")
        assert job.site.values()[name] == "of the team"


def test_a_twin_in_another_case_that_is_marked_is_not_to_be_removed(job: Lab, bao: Bao) -> None:
    with_a_lost_ledger(job, bao, "pattern")
    job.config["jobs"].pop("team")
    job.config["jobs"]["a-job"]["secrets"][0]["name"] = "NEW"
    said = job.run("sync").out
    assert "differs only in case" in said and "fix: give the rule another `name`" in said and "remove" not in said
