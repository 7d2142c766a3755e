"""Two installations on one site: what a person hands over is the other's, and no look of ours undoes that."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.bootstrap.app import App, Surroundings
from syncd.config import load
from syncd.domain.ownership import mark_in
from tests.lab import Bao, Lab
from tests.support.clocks import one_cycle
from tests.support.policies import DELETING, closed

pytestmark = pytest.mark.kind


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for name in "abcd":
        bao.put(f"app/{name}", v="ours")
        bao.put(f"other/{name}", v="theirs")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{basename}_{field}"}, **DELETING)
    assert lab.run("sync").code == 0
    return lab


def taken_over(lab: Lab, bao: Bao, value: str = "theirs", owner: str = "team-b") -> None:
    """Another installation takes a_v, as a person there allowed."""
    folder = "other" if value == "theirs" else "app"
    ours, lab.config = lab.config, json.loads(json.dumps(lab.config))
    lab.config |= {"owner": owner, "state": {"path": str(lab.folder / "other" / "state.db")}}
    lab.config["jobs"]["job"]["secrets"] = [{"path": f"{bao.mount}/{folder}/a", "name": "a_{field}"}]
    lab.run("sync")
    assert lab.run("state", "adopt", "a_v", "--reason", "handed over").code == 0
    assert lab.run("sync").code == 0
    lab.config = ours
    stored = lab.site.secrets[lab.site.by_name("a_v").id]  # type: ignore[union-attr]
    lab.site.secrets[stored.id] = replace(stored, updated=stored.updated + timedelta(seconds=30))


def is_theirs(lab: Lab, value: str = "theirs") -> None:
    stored = lab.site.by_name("a_v")
    assert stored is not None and stored.value == value and "[syncd:team-b:" in stored.description


def nothing(job: Lab, bao: Bao) -> None:
    pass


def rotated(job: Lab, bao: Bao) -> None:
    bao.put("app/a", v="new")


def excluded(job: Lab, bao: Bao) -> None:
    job.config["jobs"]["job"]["secrets"][0]["exclude"] = [f"{bao.mount}/app/a"]


def gone(job: Lab, bao: Bao) -> None:
    bao.remove("app/a")


@pytest.mark.sweep
@pytest.mark.parametrize("then", [nothing, rotated, excluded, gone], ids=lambda then: then.__name__)
@pytest.mark.parametrize(("policy", "value"), [("restore", "theirs"), ("report", "ours")])
def test_what_another_installation_took_over_is_its_own(
    job: Lab, bao: Bao, value: str, policy: str, then: Callable[[Lab, Bao], None]
) -> None:
    job.config["jobs"]["job"]["drift_policy"] = policy
    taken_over(job, bao, value)
    first = job.run("sync")
    assert "handed over" in first.out and "another syncd" in first.out
    then(job, bao)
    for is_hidden in (False, True, False, False):
        job.site.options.hide = lambda secret, hides=is_hidden: hides and secret.name == "a_v"
        result = job.run("sync")
        is_theirs(job, value)
    if then in {nothing, rotated}:
        assert result.code == 1 and "carries the mark of another syncd, team-b" in result.out
    lines = job.run("audit", "show", "--event", "secret.forgotten", "--json").json
    assert [line["detail"]["by"] for line in lines] == ["the mark of another syncd"]


@pytest.mark.parametrize("policy", ["report", "adopt"])
@pytest.mark.parametrize("behind", [" was {ours}", " [see wiki]"])
def test_what_stands_behind_anothers_mark_takes_nothing_back(job: Lab, bao: Bao, policy: str, behind: str) -> None:
    """A person there noted whose it was: two owners in one text are a conflict, and the other's stays."""
    job.config["jobs"]["job"]["conflict_policy"] = policy
    ours = mark_in(job.site.secrets[job.ids()["a_v"]].description)
    taken_over(job, bao)
    stored = job.site.secrets[job.site.by_name("a_v").id]  # type: ignore[union-attr]
    job.site.secrets[stored.id] = replace(stored, description=stored.description + behind.format(ours=ours))
    for _ in range(3):
        result = job.run("sync")
        assert result.code == 1 and "carries the mark of another syncd, team-b" in result.out
        is_theirs(job)


def test_a_text_of_ours_that_quotes_a_mark_is_ours(job: Lab, bao: Bao) -> None:
    """As it was written before marks within a text were broken."""
    stored = job.site.secrets[job.ids()["a_v"]]
    quoting = f"as [syncd:team-b:00000000] {mark_in(stored.description)}"
    job.rewrite(lambda record: replace(record, description=quoting) if record.name == "a_v" else record)
    job.site.secrets[stored.id] = replace(stored, description=quoting, updated=stored.updated + timedelta(seconds=30))
    bao.put("app/a", v="rotated")
    assert job.settle().code == 0 and job.site.values()["a_v"] == "rotated"
    assert "handed over" not in job.run("audit", "show").out


def test_it_comes_back_by_a_persons_word(job: Lab, bao: Bao) -> None:
    taken_over(job, bao)
    job.run("sync")
    assert job.run("state", "adopt", "a_v", "--reason", "handed back").code == 0
    assert job.run("sync").code == 0 and job.site.values()["a_v"] == "ours"
    bao.remove("app/a")
    for _ in range(3):
        job.run("sync")
    assert job.site.values()["a_v"] == "ours", "what was taken over is never deleted"


def test_a_mark_of_before_a_rename_is_ours(job: Lab) -> None:
    job.config["owner"] = "renamed"
    assert job.run("state", "rename-owner", "lab", "renamed").code == 0
    result = job.run("sync")
    assert result.code == 0 and "handed over" not in result.out and "4 updated" in result.out


def test_a_mark_of_two_renames_before_is_ours(job: Lab) -> None:
    """The answer to the mark of the first one was lost, and the row tells of the mark before it."""
    for before, after in (("lab", "second"), ("second", "third")):
        job.config["owner"] = after
        assert job.run("state", "rename-owner", before, after).code == 0
        if after == "second":
            job.wix.fault("504_after", "PATCH", times=100)
            job.run("sync")
            job.wix.faults.clear()
    result = job.settle()
    assert result.code == 0 and "handed over" not in job.run("audit", "show").out
    assert set(job.statuses().values()) == {"synced"}
    assert all("[syncd:third:" in one.description for one in job.site.secrets.values())


def test_an_owner_that_differs_in_case_is_another_one(job: Lab, bao: Bao) -> None:
    taken_over(job, bao, owner="Lab")
    for _ in range(2):
        job.run("sync")
        assert job.site.values()["a_v"] == "theirs"


def later(job: Lab, minutes: int) -> None:
    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(minutes=minutes)

    job.wix.clock = job.site._clock = clock
    with App(load(job.config_file), Surroundings(clock=clock)) as app:
        one_cycle(app)


def hidden_from_two_looks(job: Lab) -> None:
    job.site.options.hide = lambda secret: secret.name == "a_v"
    for minutes in (1, 70):
        later(job, minutes)
    job.site.options.hide = lambda _secret: False


@pytest.mark.sweep
@pytest.mark.parametrize("may_read", [True, False])
@pytest.mark.parametrize("description", ["keep! the till uses it", "", "[syncd:team-b:00000000]"])
def test_a_look_up_by_its_id_makes_nothing_fit_to_be_deleted(
    job: Lab, bao: Bao, description: str, may_read: bool
) -> None:
    """It writes our mark over whatever a person wrote there while no listing showed it."""
    job.site.options.may_read = may_read
    gone(job, bao)
    stored = job.site.secrets[job.ids()["a_v"]]
    job.site.secrets[stored.id] = replace(stored, description=description)
    hidden_from_two_looks(job)
    for minutes in (80, 90, 100):
        later(job, minutes)
    assert job.site.values()["a_v"] == "ours"
    done = job.run("state", "forget", "a_v", "--delete", "--reason", "x")
    assert done.code and job.site.values()["a_v"] == "ours", done.out


@pytest.mark.sweep
@pytest.mark.parametrize("may_read", [True, False])
@pytest.mark.parametrize("moved", ["a source's name", "a name's case", "a path", "a path and its source's name"])
def test_a_lost_move_before_another_owners_name_hands_nothing_over(
    lab: Lab, bao: Bao, moved: str, may_read: bool
) -> None:
    """The mark at Wix is of the former owner and of what the rows did not have yet: it is ours all the same."""
    lab.vault(bao)
    lab.site.options.may_read, lab.site.options.case_insensitive = may_read, True
    for name in ("a", "b"):
        bao.put(f"app/{name}", v=f"of {name}")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "K_{basename}"})
    assert lab.run("sync").code == 0
    job = lab.config["jobs"]["job"]
    if "path" in moved:
        for name in ("a", "b"):
            bao.put(f"new/{name}", v=f"of {name}")
            bao.remove(f"app/{name}")
        job["secrets"][0]["path"] = f"{bao.mount}/new/*"
    if "source" in moved:
        lab.config["sources"]["renamed"] = lab.config["sources"].pop("vault")
        job["source"] = "renamed"
    if "case" in moved:
        job["secrets"][0]["name"] = "k_{basename}"
    lab.wix.fault("504_after", "PATCH", times=100)
    lab.run("sync")
    lab.wix.faults.clear()
    lab.config["owner"] = "second"
    assert lab.run("state", "rename-owner", "lab", "second").code == 0
    bao.put(f"{'new' if 'path' in moved else 'app'}/a", v="rotated")
    done = [lab.run("sync") for _ in range(3)]
    assert done[-1].code == 0 and all("handed over" not in one.out for one in done), done
    assert sorted(lab.site.values().values()) == ["of b", "rotated"]


def test_a_former_name_may_be_somebody_elses(job: Lab, bao: Bao) -> None:
    """All marks are of the new name; one of the old name, though it is of the very same name and path, is another's."""
    job.config["owner"] = "renamed"
    assert job.run("state", "rename-owner", "lab", "renamed").code == 0 and job.run("sync").code == 0
    taken_over(job, bao, "ours", owner="lab")
    done = job.run("sync")
    assert "another syncd took it over" in done.out, done.out
    bao.put("app/a", v="rotated")
    for _ in range(2):
        job.run("sync")
        stored = job.site.by_name("a_v")
        assert stored is not None and stored.value == "ours" and "[syncd:lab:" in stored.description


@pytest.mark.parametrize("grace", ["0s", "1h", None])
@pytest.mark.parametrize("first", ["old", "new"])
@pytest.mark.parametrize("entry", ["aws", "aws2"])
def test_a_tag_that_moves_to_another_job_takes_its_secret_along(
    lab: Lab, aws: Any, aws_url: str, grace: str | None, first: str, entry: str
) -> None:
    """Two jobs have one glob and differ in tags, through one entry for the account or two: neither waits for ever."""
    lab.aws(aws_url)
    lab.aws(aws_url, "aws2")
    for name, team in (("a", "x"), ("k", "x"), ("l", "y")):
        aws.create_secret(Name=f"p/{name}", SecretString=f"{name} 0", Tags=[{"Key": "team", "Value": team}])
    policy = {**DELETING, "deletion_grace": grace} if grace else {}
    for team, source in (("x", "aws"), ("y", entry)):
        lab.job(f"job{team}", source, {"path": "p/*", "tags": {"team": team}, "name": "{basename}"}, **policy)
    assert lab.run("sync").code == 0
    aws.untag_resource(SecretId="p/a", TagKeys=["team"])
    aws.tag_resource(SecretId="p/a", Tags=[{"Key": "team", "Value": "y"}])
    aws.put_secret_value(SecretId="p/a", SecretString="a 1")
    for _ in range(4):
        lab.run("sync", *(["jobx", "joby"] if first == "old" else ["joby", "jobx"]))
    assert lab.site.values() == {"a": "a 1", "k": "k 0", "l": "l 0"} and lab.statuses()["a"] == "synced"


@pytest.mark.parametrize("why", ["hold", "deny", "window", "max_creates", "paused", "nothing"])
@pytest.mark.parametrize("first", ["old", "new"])
def test_an_old_name_stays_until_the_one_by_its_new_tags_is_settled(
    lab: Lab, aws: Any, aws_url: str, why: str, first: str
) -> None:
    """Each job has its own name for it: the site is never without the secret, and has it once in the end."""
    lab.aws(aws_url)
    for name, team in (("a", "x"), ("k", "x"), ("l", "y")):
        aws.create_secret(Name=f"p/{name}", SecretString=f"{name} 0", Tags=[{"Key": "team", "Value": team}])
    for team, name in (("x", "{basename}"), ("y", "Y_{basename}")):
        rule = {"path": "p/*", "tags": {"team": team}, "name": name}
        lab.job(f"job{team}", "aws", rule, **{**DELETING, "deletion_grace": "0s"})
    assert lab.run("sync").code == 0
    if why in {"hold", "deny"}:
        lab.config["rules"] = [{"id": "r", "name": "Y_a", "then": why}]
    if why == "window":
        lab.config["jobs"]["joby"]["windows"] = {"allow": closed()}
    if why == "max_creates":
        lab.config["jobs"]["joby"]["guard"] = {"max_creates": 0}
    if why == "paused":
        assert lab.run("pause", "joby", "--until", "1h", "--reason", "x").code == 0
    aws.untag_resource(SecretId="p/a", TagKeys=["team"])
    aws.tag_resource(SecretId="p/a", Tags=[{"Key": "team", "Value": "y"}])
    for _ in range(4):
        lab.run("sync", *(["jobx", "joby"] if first == "old" else ["joby", "jobx"]))
    there = {"a", "Y_a"} & set(lab.site.values())
    assert there == ({"Y_a"} if why == "nothing" else {"a"})


@pytest.mark.parametrize("names", [("{basename}", "{basename}"), ("{basename}", "Y_{basename}")])
@pytest.mark.parametrize("first", ["old", "new"])
@pytest.mark.parametrize("left", [{}, {"team": "z"}])
def test_what_lost_every_teams_tag_goes_as_in_one_job(
    lab: Lab, aws: Any, aws_url: str, names: tuple[str, str], first: str, left: dict[str, str]
) -> None:
    """The pattern of the other job's rule is no claim where the secret itself tells that it lacks its tag."""
    lab.aws(aws_url)
    for name, team in (("a", "x"), ("k", "x"), ("l", "y")):
        aws.create_secret(Name=f"p/{name}", SecretString=f"{name} 0", Tags=[{"Key": "team", "Value": team}])
    for team, name in zip("xy", names, strict=True):
        rule = {"path": "p/*", "tags": {"team": team}, "name": name}
        lab.job(f"job{team}", "aws", rule, **{**DELETING, "deletion_grace": "0s"})
    assert lab.run("sync").code == 0
    aws.untag_resource(SecretId="p/a", TagKeys=["team"])
    if left:
        aws.tag_resource(SecretId="p/a", Tags=[{"Key": key, "Value": value} for key, value in left.items()])
    for _ in range(3):
        result = lab.run("sync", *(["jobx", "joby"] if first == "old" else ["joby", "jobx"]))
    assert "a" not in lab.site.values() and "k" in lab.site.values() and result.code == 0


def rests(lab: Lab, why: str) -> None:
    """What keeps the old job's row as it is, whatever became of the tag."""
    old = lab.config["jobs"]["jobx"]
    if why == "max_deletes":
        old["guard"] = {"max_deletes": 0}
    elif why == "hold":
        lab.config["rules"] = [{"id": "r", "name": "a", "job": "jobx", "then": "hold"}]
    elif why == "window":
        old["windows"] = {"allow": closed()}
    elif why == "frozen":
        assert lab.run("state", "freeze", "a", "--until", "2h", "--reason", "x").code == 0
    elif why == "changed by hand":
        stored = lab.site.by_name("a")
        assert stored is not None
        changed = replace(stored, value="by hand", updated=stored.updated + timedelta(seconds=30))
        lab.site.secrets[stored.id] = changed


@pytest.mark.parametrize("why", ["max_deletes", "hold", "window", "frozen", "changed by hand", "synced"])
@pytest.mark.parametrize("first", ["old", "new"])
@pytest.mark.parametrize("entry", ["aws", "aws2"])
def test_a_row_that_rests_waits_for_nobody_once_its_tag_has_moved(
    lab: Lab, aws: Any, aws_url: str, why: str, first: str, entry: str
) -> None:
    """The old job's deletion would be of nothing: the new job sends what it wants, and nobody has to release it."""
    lab.aws(aws_url)
    lab.aws(aws_url, "aws2")
    for name, team in (("a", "x"), ("k", "x"), ("l", "y")):
        aws.create_secret(Name=f"p/{name}", SecretString=f"{name} 0", Tags=[{"Key": "team", "Value": team}])
    for team, source in (("x", "aws"), ("y", entry)):
        rule = {"path": "p/*", "tags": {"team": team}, "name": "{basename}"}
        lab.job(f"job{team}", source, rule, **{**DELETING, "deletion_grace": "0s"})
    assert lab.run("sync").code == 0
    rests(lab, why)
    aws.untag_resource(SecretId="p/a", TagKeys=["team"])
    aws.tag_resource(SecretId="p/a", Tags=[{"Key": "team", "Value": "y"}])
    aws.put_secret_value(SecretId="p/a", SecretString="a 1")
    for _ in range(4):
        result = lab.run("sync", *(["jobx", "joby"] if first == "old" else ["joby", "jobx"]))
    if why == "frozen":
        assert lab.site.values()["a"] == "a 0", "a freeze holds for whichever job"
        assert lab.run("state", "thaw", "a").code == 0
        result = lab.run("sync", "joby")
    assert result.code == 0, result.out
    assert lab.site.values()["a"] == "a 1" and lab.statuses()["a"] == "synced"
