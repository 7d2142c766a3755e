"""Holds and denials under kills, recovery, adoption, rollback, two jobs and changed rules: nothing goes around them."""

from __future__ import annotations

import os
import signal

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import DELETING

pytestmark = pytest.mark.kind

HOLD = {"id": "prod", "label": {"env": "prod"}, "then": "hold"}


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/a", v="one")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    lab.config["targets"]["shop"]["labels"] = {"env": "prod"}
    return lab


def release_all(lab: Lab) -> None:
    for batch in lab.run("held", "--json").json:
        assert lab.run("release", batch["batch"], "--reason", "x").code == 0


@pytest.mark.long
def test_a_kill_in_the_middle_of_a_released_write_finishes_that_version_alone(job: Lab, bao: Bao) -> None:
    job.config["rules"] = [HOLD]
    assert job.run("sync").code == 6
    release_all(job)
    process = job.popen("sync")
    job.wix.fault("reset_after", "POST", on=lambda: os.kill(process.pid, signal.SIGKILL))
    process.communicate(timeout=60)
    bao.put("app/a", v="two")
    for _ in range(3):
        job.run("sync")
    assert job.site.values().get("a_v") in {None, "one"}, "the next version was never released"
    assert job.statuses()["a_v"] in {"held", "unverified"}


def test_adoption_is_held(job: Lab) -> None:
    job.site.create({"name": "a_v", "value": "somebody's"})
    job.config["jobs"]["job"]["conflict_policy"] = "adopt"
    job.config["rules"] = [HOLD]
    assert job.run("sync").code == 6 and job.site.values() == {"a_v": "somebody's"}
    release_all(job)
    assert job.run("sync").code == 0 and job.site.values() == {"a_v": "one"}


def test_deletions_are_held_by_a_rule(job: Lab, bao: Bao) -> None:
    bao.put("app/b", v="1")
    job.config["jobs"]["job"] |= DELETING
    assert job.run("sync").code == 0
    job.config["rules"] = [HOLD]
    bao.remove("app/b")
    assert job.run("sync").code == 6 and set(job.site.values()) == {"a_v", "b_v"}
    assert job.statuses()["b_v"] == "held"
    release_all(job)
    assert job.run("sync").code == 0 and set(job.site.values()) == {"a_v"}


def test_kv1_is_held_and_no_fingerprint_is_shown(lab: Lab, bao: Bao) -> None:
    bao.root.sys.enable_secrets_engine("kv", path=f"{bao.mount}-1", options={"version": "1"})
    bao.root.secrets.kv.v1.create_or_update_secret("a", {"v": "one"}, mount_point=f"{bao.mount}-1")
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}-1/*"})
    lab.config["rules"] = [{**HOLD, "label": {"env": "*"}}]
    lab.config["targets"]["shop"]["labels"] = {"env": "prod"}
    assert lab.run("sync").code == 6
    (batch,) = lab.run("held", "--json").json
    assert batch["actions"][0]["to"] is None and "kv1:" not in lab.run("held").out + lab.run("audit", "export").out
    release_all(lab)
    bao.root.secrets.kv.v1.create_or_update_secret("a", {"v": "two"}, mount_point=f"{bao.mount}-1")
    assert lab.run("sync").code == 6 and not lab.site.values(), "the release was for the value that was there"
    release_all(lab)
    assert lab.run("sync").code == 0 and lab.site.values() == {"a_v": "two"}


def test_another_job_does_not_carry_a_held_name(job: Lab, bao: Bao) -> None:
    job.config["rules"] = [{"id": "only-job", "job": "job", "then": "hold"}]
    assert job.run("sync").code == 6
    job.config["jobs"]["twin"] = job.config["jobs"]["job"]
    job.run("sync")
    job.run("sync")
    values = job.site.values()
    assert values in ({}, {"a_v": "one"})
    if not values:
        assert job.statuses()["a_v"] == "held"


def test_a_denied_value_is_not_restored_after_drift(job: Lab) -> None:
    from tests.support.wix_people import changed_by_hand

    assert job.run("sync").code == 0
    job.config["rules"] = [{"id": "weak", "min_length": 16, "then": "deny"}]
    assert job.run("rules", "--recheck").code == 1
    changed_by_hand(job, "a_v")
    assert job.run("sync").code == 1 and job.site.values()["a_v"] == "HAND-MADE", (
        "what is denied is not sent, whatever the reason"
    )


def test_a_pause_with_open_recovery_recovers_nothing(job: Lab) -> None:
    process = job.popen("sync")
    job.wix.fault("reset_after", "POST", on=lambda: os.kill(process.pid, signal.SIGKILL))
    process.communicate(timeout=60)
    assert job.run("pause", "--all", "--reason", "x").code == 0
    seen = len(job.wix.seen)
    assert job.run("sync").code == 0 and len(job.wix.seen) == seen
    assert job.run("check", "--probe", "shop").code == 6 and len(job.wix.seen) == seen
    assert job.run("resume", "--all").code == 0 and job.settle().code == 0 and job.site.values() == {"a_v": "one"}


def test_a_rollback_while_paused_is_kept_and_said(job: Lab, bao: Bao) -> None:
    bao.put("app/a", v="two")
    assert job.run("sync").code == 0
    assert job.run("pause", "job", "--reason", "x").code == 0
    result = job.run("rollback", "a_v", "--to", "1", "--reason", "x")
    assert result.code == 6 and job.site.values() == {"a_v": "two"}
    assert job.run("resume", "job").code == 0 and job.run("sync").code == 0 and job.site.values() == {"a_v": "one"}


ODD: list[tuple[str, ...]] = [
    ("held", "--json"), ("release", "../../x", "--reason", "x"), ("release", "x" * 5000, "--reason", "x"),
    ("release", "a", "--reason", "x\ny"), ("release", "a", "--reason", "x" * 501), ("pause", "--target", "nobody", "--reason", "x"),
    ("pause", "job", "--until", "9999999d", "--reason", "x"), ("pause", "job", "--until", "-1h", "--reason", "x"),
    ("resume",), ("resume", "job", "--all"), ("rollback", "--reason", "x"), ("rollback", "%", "--reason", "x"),
    ("rollback", "a_v", "--job", "job", "--reason", "x"), ("rollback", "--job", "nobody", "--since", "1h", "--reason", "x"),
    ("rollback", "a_v", "--to", "-1", "--reason", "x"), ("rollback", "a_v", "--to", "9" * 40, "--reason", "x"),
    ("report", "--label", "="), ("report", "--evidence", ".."), ("report", "--evidence", "2026-01-01"), ("rules", "--id", "x"),
    ("held", "--server", "ftp://x"), ("held", "--server", "http://example.com", "--token-file", "x"),
    ("held", "--server", "http://127.0.0.1:1", "--token-file", "/nowhere"), ("where", "x", "--server", "https://u:p@h", "--token-file", "x"),
    ("sync", "--outside-window", "--reason", "x", "nobody"),
]  # fmt: skip


@pytest.mark.sweep
@pytest.mark.parametrize("words", ODD, ids=lambda words: " ".join(words)[:40])
def test_odd_input_is_explained(job: Lab, words: tuple[str, ...]) -> None:
    assert job.run("sync").code == 0
    result = job.run(*words)
    assert result.code in {0, 1, 3, 6}, result.err
    assert result.code == 0 or "fix:" in result.err, result.err


def test_no_second_target_of_a_site_goes_around_its_label(job: Lab) -> None:
    job.config["rules"] = [HOLD]
    job.config["targets"]["alias"] = {**job.config["targets"]["shop"], "labels": {}}
    job.config["jobs"]["job"]["targets"] = ["alias"]
    result = job.run("sync")
    assert result.code == 3 and "labels" in result.err and not job.site.values(), result.err
    job.config["targets"]["alias"]["labels"] = {"env": "prod"}
    assert job.run("sync").code == 6 and not job.site.values()
