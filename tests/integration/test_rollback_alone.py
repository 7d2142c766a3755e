"""A rollback goes by itself: what waits beside it neither holds it up nor goes with it, and is told on."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from syncd.cli import rollback as command
from syncd.errors import SourceUnavailable
from syncd.sandbox.wix_site import Refusal, Site
from syncd.sources.aws.listing import AwsListing
from tests.lab import Bao, Lab
from tests.support.policies import closed
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind
KEYS = [f"K{number}" for number in range(12)]


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    """Twelve secrets that hold `two`, of which one was updated to that."""
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "field": "v", "name": "{basename}"})
    for version, keys in (("one", KEYS[:1]), ("two", KEYS)):
        for key in keys:
            bao.put(f"app/{key}", v=version)
        assert lab.run("sync").code == 0
    return lab


def roll(lab: Lab, *words: str) -> Any:
    return lab.run("rollback", *words, "--reason", "two leaked")


@pytest.mark.parametrize("shut", [True, False], ids=["the window is shut", "the window is open"])
@pytest.mark.parametrize("waits", ["updates", "updates over the limit", "deletions over the limit"])
def test_what_waits_beside_it_holds_it_up_in_no_limit(job: Lab, bao: Bao, waits: str, shut: bool) -> None:
    settings = job.config["jobs"]["job"]
    settings |= {"guard": {"max_updates": 2, "max_deletes": 2}, "deletion_policy": "delete", "deletion_grace": "0s"}
    if waits != "updates":
        for key in KEYS[1:7]:
            if waits.startswith("updates"):
                bao.put(f"app/{key}", v="three")
            else:
                bao.remove(f"app/{key}")
    if shut:
        settings["windows"] = {"allow": closed()}
    done = roll(job, "K0")
    assert done.code == 0, done.out + done.err
    assert job.site.values() == {**dict.fromkeys(KEYS, "two"), "K0": "one"}
    assert job.run("held", "--json").json == [], "what waits for the window is put before nobody"


def test_a_rotation_that_a_limit_withholds_does_not_hold_back_what_is_taken_back(job: Lab, bao: Bao) -> None:
    job.config["jobs"]["job"]["guard"] = {"max_updates": 2}
    for key in KEYS[1:7]:
        bao.put(f"app/{key}", v="three")
    job.wix.fault("503", "PATCH", times=1000)
    assert roll(job, "K0").code == 5
    job.wix.faults.clear()
    assert job.run("sync").code == 6
    assert job.site.values() == {**dict.fromkeys(KEYS, "two"), "K0": "one"}


def test_a_rollback_that_ran_out_while_it_waited_sends_nothing_newer(
    job: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process had the site for as long as it was to hold."""
    bao.put("app/K0", v="three")
    job.config["jobs"]["job"]["windows"] = {"allow": closed()}
    cycles = command.run_cycles

    def late(app: Any, wanted: Any, *words: Any, **more: Any) -> int:
        app.ledger.decisions.end_rollbacks(list(wanted), [])
        return cycles(app, wanted, *words, **more)

    monkeypatch.setattr(command, "run_cycles", late)
    done = roll(job, "K0", "--to", "1")
    assert done.code == 1 and "the rollback has ended" in done.err, done.out + done.err
    assert job.site.values()["K0"] == "two", "three waits for the window"


@pytest.mark.parametrize("way", ["another is rolled back", "its window shuts"])
def test_what_was_not_tried_is_told_on(job: Lab, bao: Bao, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure and a change by hand have not ended because nothing was done about them."""
    settings = job.config["jobs"]["job"]
    settings["drift_policy"] = "report"
    bao.put("app/K1", v="fails")
    update = Site.update

    def picky(self: Site, secret_id: str, body: dict[str, Any]) -> Any:
        if "fails" in str(body):
            raise Refusal(403, "PERMISSION_DENIED")
        return update(self, secret_id, body)

    monkeypatch.setattr(Site, "update", picky)
    changed_by_hand(job, "K2")
    assert job.run("sync").code == 5
    bao.put("app/K2", v="three")
    if way == "its window shuts":
        settings["windows"] = {"allow": closed()}
        job.run("sync")
    else:
        assert roll(job, "K0").code in {0, 1}
    lines = job.run("audit", "show", "--json").json
    assert not [line for line in lines if line["event"] == "finding.ended"]
    assert len([line for line in lines if line["event"] == "drift.found"]) == 1
    assert "permission" in job.run("explain", "K1").out


def test_a_job_goes_back_but_for_what_cannot(job: Lab, bao: Bao) -> None:
    """One path is back at its newest version, one lost its older ones, and the others were rotated badly."""
    for key in KEYS:
        bao.put(f"app/{key}", v="three")
    assert job.run("sync").code == 0
    assert roll(job, "K0").code == 0 and job.run("rollback", "K0", "--end", "--reason", "x").code == 0
    bao.root.secrets.kv.v2.destroy_secret_versions("app/K1", versions=[1], mount_point=bao.mount)
    done = job.run("rollback", "--job", "job", "--since", "1h", "--reason", "three is bad")
    assert done.code == 1 and "app/K1" in done.err, done.out + done.err
    values = job.site.values()
    assert values["K1"] == "three" and {values[key] for key in KEYS[2:]} == {"two"}, values


@pytest.mark.parametrize("of", ["updates", "deletions"])
@pytest.mark.parametrize("words", [("K0",), ("K0", "--end")], ids=["back", "and on again"])
def test_what_waits_for_a_release_waits_on(job: Lab, bao: Bao, of: str, words: tuple[str, ...]) -> None:
    settings = job.config["jobs"]["job"]
    settings |= {"guard": {"max_updates": 2, "max_deletes": 2}, "deletion_policy": "delete", "deletion_grace": "0s"}
    if "--end" in words:
        assert roll(job, "K0").code == 0
    for key in KEYS[1:7]:
        if of == "updates":
            bao.put(f"app/{key}", v="three")
        else:
            bao.remove(f"app/{key}")
    assert job.run("sync").code == 6
    held, statuses = job.run("held", "--json").json, job.statuses()
    assert roll(job, *words).code == 0
    assert job.run("held", "--json").json == held
    assert {key: status for key, status in job.statuses().items() if key != "K0"} == {
        key: status for key, status in statuses.items() if key != "K0"
    }
    assert not [line for line in job.run("audit", "show", "--json").json if line["event"] == "finding.ended"]
    assert job.run("release", held[0]["batch"], "--reason", "meant").code == 0
    assert job.run("sync").code in {0, 1}
    values = job.site.values()
    assert all(values.get(key) == ("three" if of == "updates" else None) for key in KEYS[1:7])


def test_a_pin_of_another_rule_takes_no_name_back(job: Lab, bao: Bao) -> None:
    """Its rule's version changed, so it alone was updated; what else comes from its path was not."""
    for version in ("one", "two"):
        bao.put("pinned", v=version)
    pinned = {"path": f"{bao.mount}/pinned", "field": "v", "name": "PINNED", "version": 1}
    rules = job.config["jobs"]["job"]["secrets"]
    rules.append(pinned)
    assert job.run("sync").code == 0
    rules.append({"path": f"{bao.mount}/pinned", "field": "v", "name": "FREE"})
    pinned["version"] = 2
    assert job.run("sync").code == 0
    done = job.run("rollback", "--job", "job", "--since", "1h", "--reason", "x")
    assert done.code == 1 and "PINNED is pinned by its rule" in done.err, done.out + done.err
    values = job.site.values()
    assert (values["PINNED"], values["FREE"], values["K0"]) == ("two", "two", "one")
    rules.pop()
    assert job.run("sync").code in {0, 1}, "nor does it end in a bug where it is the only one"
    assert job.run("rollback", "--job", "job", "--since", "1h", "--reason", "x").code == 1


@pytest.mark.parametrize("what", ["is gone", "its newest version is deleted"])
def test_a_path_that_is_gone_holds_no_other_back(job: Lab, bao: Bao, what: str) -> None:
    for key in KEYS:
        bao.put(f"app/{key}", v="three")
    assert job.run("sync").code == 0
    if what == "is gone":
        bao.root.secrets.kv.v2.delete_metadata_and_all_versions("app/K3", mount_point=bao.mount)
    else:
        bao.remove("app/K3")
    done = job.run("rollback", "--job", "job", "--since", "1h", "--reason", "three is bad")
    assert done.code == 1 and "app/K3 is gone" in done.err, done.out + done.err
    values = job.site.values()
    assert {values[key] for key in KEYS if key != "K3"} == {"one", "two"} and values["K3"] == "three", values


@pytest.mark.parametrize("what", ["a newer version", "back at its source"])
def test_what_changed_meanwhile_leaves_its_batch(job: Lab, bao: Bao, what: str) -> None:
    """A release of it would send something else, or nothing."""
    settings = job.config["jobs"]["job"]
    settings |= {"guard": {"max_updates": 2, "max_deletes": 2}, "deletion_policy": "delete", "deletion_grace": "0s"}
    for key in KEYS[1:7]:
        if what == "a newer version":
            bao.put(f"app/{key}", v="three")
        else:
            bao.remove(f"app/{key}")
    assert job.run("sync").code == 6
    batch = job.run("held", "--json").json[0]["batch"]
    bao.put("app/K1", v="four")
    assert roll(job, "K0").code == 0
    names = {action["name"] for held in job.run("held", "--json").json for action in held["actions"]}
    assert names == set(KEYS[2:7])
    assert job.run("release", batch, "--reason", "meant").code == 0
    job.run("sync")
    values = job.site.values()
    assert all(values.get(key) == ("three" if what == "a newer version" else None) for key in KEYS[2:7]), values


@pytest.mark.parametrize("ahead", [1, 2, 4])
def test_the_one_before_is_before_what_the_site_has(job: Lab, bao: Bao, ahead: int) -> None:
    """Newer versions wait at the source; who takes back what the site has wants none of them."""
    job.config["jobs"]["job"]["windows"] = {"allow": closed()}
    for number in range(ahead):
        bao.put("app/K0", v=f"later {number}")
    done = roll(job, "K0")
    assert (done.code, job.site.values()["K0"]) == (0, "one"), done.out + done.err
    again = roll(job, "K0")
    assert again.code == 3 and "rolled back to 1" in again.err and "--to 1 prolongs" in again.err, again.err
    assert roll(job, "K0", "--to", "1", "--until", "48h").code == 0
    assert job.site.values()["K0"] == "one"


def test_there_is_none_before_the_first(job: Lab, bao: Bao) -> None:
    bao.put("app/only", v="x")
    assert job.run("sync").code == 0
    done = roll(job, "only")
    assert done.code == 1 and "no version before" in done.err, done.err


@pytest.mark.parametrize("lost", ["before it was done", "after it was done"])
def test_after_a_lost_answer_a_person_says_which(job: Lab, bao: Bao, lost: str) -> None:
    """Does the site have the newest version or the one before? One further back is what nobody asked for."""
    bao.put("app/K0", v="three")
    assert job.run("sync").code == 0
    bao.put("app/K0", v="bad")
    job.wix.fault("reset_before" if "before" in lost else "reset_after", "PATCH", times=20)
    job.run("sync")
    job.wix.faults.clear()
    done = roll(job, "K0")
    assert done.code == 3 and "is not known" in done.err and "--to" in done.err, done.err
    assert roll(job, "K0", "--to", "3").code == 0
    assert job.site.values()["K0"] == "three"


def test_a_site_that_no_target_names_any_more_counts_no_version(job: Lab, bao: Bao) -> None:
    other = str(uuid.uuid4())
    job.secret_file("other-key", job.wix.issue_key(other))
    job.config["targets"]["outlet"] = job.target(other, "other-key")
    job.config["jobs"]["job"]["targets"].append("outlet")
    assert job.run("sync").code == 0
    job.config["jobs"]["job"]["targets"].remove("outlet")
    del job.config["targets"]["outlet"]
    for value in ("three", "four"):
        bao.put("app/K0", v=value)
        assert job.run("sync").code == 0
    done = roll(job, "K0")
    assert job.site.values()["K0"] == "three", done.out + done.err
    assert done.code == 1 and f"K0 on {other} is not in version 3, and keeps version 2" in done.err, "and it is told"


def test_a_version_of_a_secret_that_was_made_anew_has_none_before_it(job: Lab, bao: Bao) -> None:
    job.config["jobs"]["job"]["windows"] = {"allow": closed()}
    bao.root.secrets.kv.v2.delete_metadata_and_all_versions("app/K0", mount_point=bao.mount)
    for value in ("new one", "new two", "new three"):
        bao.put("app/K0", v=value)
    before = job.site.values()["K0"]
    done = roll(job, "K0")
    assert done.code == 3 and "is not known" in done.err, done.out + done.err
    assert job.site.values()["K0"] == before


@pytest.mark.parametrize("apart", [1, 2])
def test_sites_that_have_different_versions_are_named(job: Lab, bao: Bao, apart: int) -> None:
    """A site that lags by one has the version before already; one that lags further would get a newer one."""
    other = str(uuid.uuid4())
    job.secret_file("other-key", job.wix.issue_key(other))
    job.config["targets"]["outlet"] = job.target(other, "other-key")
    job.config["jobs"]["job"]["targets"].append("outlet")
    assert job.run("sync").code == 0
    assert job.run("pause", "--target", "outlet", "--reason", "x").code == 0
    for number in range(apart):
        bao.put("app/K0", v=f"later {number}")
        job.run("sync")
    done = roll(job, "K0")
    if apart == 1:
        assert job.site.values()["K0"] == "two", done.out + done.err
    else:
        assert done.code == 3 and "the sites have the versions 2, 4" in done.err, done.err
        assert job.site.values()["K0"] == "later 1"


def test_at_aws_it_is_before_what_the_site_has(lab: Lab, aws: Any, aws_url: str) -> None:
    lab.aws(aws_url)
    aws.create_secret(Name="p/a", SecretString="one")
    lab.job("job", "aws", {"path": "p/a", "name": "A"})
    assert lab.run("sync").code == 0
    lab.config["jobs"]["job"]["windows"] = {"allow": closed()}
    for value in ("two", "three"):
        aws.put_secret_value(SecretId="p/a", SecretString=value)
        done = roll(lab, "A")
        assert done.code == 3 and "do not have its newest version" in done.err, done.err
    assert lab.site.values() == {"A": "one"}


def test_it_tells_of_itself_alone(job: Lab, bao: Bao) -> None:
    """What else is wrong in the job is no failure of what a person asked for."""
    rules = job.config["jobs"]["job"]["secrets"]
    rules += [
        {"path": f"{bao.mount}/nothing", "name": "NOTHING"},
        {"path": f"{bao.mount}/app/K1", "field": "w", "name": "W"},
    ]
    bao.put("app/K2", v="")
    assert job.run("sync").code == 1
    done = roll(job, "K0")
    assert done.code == 0, done.out
    assert "NOTHING" not in done.out and "K2" not in done.out and "rolled back" in done.out
    assert job.run("sync").code == 1, "its own cycles tell the rest"


@pytest.mark.parametrize("ends", [False, True], ids=["a rollback", "its end"])
@pytest.mark.parametrize("what", ["one page", "everything"])
def test_a_source_that_was_not_listed_is_told(
    lab: Lab, aws: Any, aws_url: str, what: str, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.aws(aws_url)
    aws.create_secret(Name="p/a", SecretString="one")
    aws.create_secret(Name="q", SecretString="other")
    lab.job("job", "aws", {"path": "p/*", "name": "A"}, {"path": "q", "name": "Q"})
    assert lab.run("sync").code == 0
    aws.put_secret_value(SecretId="p/a", SecretString="two")
    assert lab.run("sync").code == 0
    if ends:
        assert roll(lab, "A").code == 0

    def refused(*_: Any) -> Any:
        raise SourceUnavailable("source aws: InternalServiceError", whole=what == "everything")
        yield

    monkeypatch.setattr(AwsListing, "_pages", refused)
    done = roll(lab, "A", *(["--end"] if ends else []))
    assert done.code == 4 and "InternalServiceError" in done.out + done.err, done.out + done.err


@pytest.mark.parametrize("status", ["missing", "orphan", "frozen"])
def test_a_name_that_stays_as_it_is_forbids_no_rollback(job: Lab, bao: Bao, status: str) -> None:
    """It is of an older version than the one that is gone back to, and gets nothing of it."""
    rules = job.config["jobs"]["job"]["secrets"]
    rules.append({"path": f"{bao.mount}/app/K0", "field": "w", "name": "OLD"})
    bao.put("app/K0", v="two", w="old")
    assert job.run("sync").code == 0
    if status == "frozen":
        assert job.run("state", "freeze", "OLD", "--until", "7d", "--reason", "x").code == 0
    if status == "orphan":
        rules.pop()
    for value in ("three", "four", "bad"):
        bao.put("app/K0", v=value, **({} if status == "missing" else {"w": f"old {value}"}))
        job.run("sync")
    assert job.statuses()["OLD"] == status
    done = roll(job, "K0")
    assert job.site.values()["K0"] == "four" and job.site.values()["OLD"] == "old", done.out + done.err


def test_where_the_way_back_waits_it_is_not_called_rolled_back(job: Lab, bao: Bao) -> None:
    """The site never had that version, so its rule holds it: what leaked is there still."""
    job.config["jobs"]["job"]["windows"] = {"allow": closed()}
    bao.put("app/K0", v="three")
    job.run("sync")
    del job.config["jobs"]["job"]["windows"]
    bao.put("app/K0", v="bad")
    assert job.run("sync").code == 0
    job.config["rules"] = [{"id": "all", "job": "job", "then": "hold"}]
    done = roll(job, "K0")
    assert job.site.values()["K0"] == "bad" and job.statuses()["K0"] == "held", done.out
    assert done.code == 6 and "K0" in done.out and "  rolled back" not in done.out, done.out
    (batch,) = {row["batch"] for row in job.run("held", "--json").json}
    assert job.run("release", batch, "--reason", "x").code == 0 and job.run("sync").code == 0
    assert job.site.values()["K0"] == "three" and job.statuses()["K0"] == "rolled_back"
