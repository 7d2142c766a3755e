"""The commands as people and scripts use them, and bad input: one message, the right code, nothing lost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.config.cron import is_due
from tests.lab import Bao, Lab

pytestmark = pytest.mark.kind


@pytest.fixture
def synced(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**"}, schedule={"every": "5m"})
    for number in range(3):
        bao.put(f"app/s{number}", v=f"value {number}")
    assert lab.run("sync").code == 0
    return lab


def test_plan_changes_nothing_not_even_a_ledger(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**"})
    bao.put("app/a", v="planted-value")
    first, second = lab.run("plan"), lab.run("plan")
    assert first.code == 0 and first.out == second.out
    assert "1 to create" in first.out and "planted" not in first.out
    assert not lab.state.exists() and lab.writes() == 0
    assert lab.run("plan", "--detailed-exitcode").code == 2
    lab.run("sync")
    assert lab.run("plan", "--detailed-exitcode").code == 0


def test_plan_and_apply_exactly_that(synced: Lab, bao: Bao) -> None:
    kept = synced.folder / "plan.json"
    bao.put("app/s0", v="rotated")
    bao.put("app/new", v="new")
    assert synced.run("plan", "--out", str(kept)).code == 0
    text = kept.read_text()
    assert "rotated" not in text and kept.stat().st_mode & 0o777 == 0o600
    assert synced.run("plan", "--out", str(synced.folder / "again.json")).code == 0
    assert (synced.folder / "again.json").read_text() == text, "same inputs, same plan, byte for byte"
    bao.put("app/later", v="not in the plan")
    assert synced.run("apply", str(kept)).code == 0
    held = synced.site.values()
    assert held["s0_v"] == "rotated" and held["new_v"] == "new" and "later_v" not in held
    assert synced.run("apply", str(kept)).code == 6, "it is done; the world has moved"


@pytest.mark.parametrize("move", ["version", "site", "configuration"])
def test_apply_is_refused_when_the_world_has_moved(synced: Lab, bao: Bao, move: str) -> None:
    kept = synced.folder / "plan.json"
    bao.put("app/s0", v="rotated")
    synced.run("plan", "--out", str(kept))
    if move == "version":
        bao.put("app/s0", v="rotated again")
    elif move == "site":
        one = synced.site.by_name("s0_v")
        synced.site.update(one.id, {"name": "elsewhere"})
    else:
        synced.config["jobs"]["job"]["drift_policy"] = "report"
    before, writes = synced.site.values(), synced.writes()
    result = synced.run("apply", str(kept))
    assert result.code == 6 and "fix" in result.err + result.out
    assert synced.site.values() == before and synced.writes() == writes


def test_apply_of_a_deletion(synced: Lab, bao: Bao) -> None:
    synced.config["jobs"]["job"] |= {"deletion_policy": "delete", "deletion_grace": "0s"}
    bao.remove("app/s0")
    kept = synced.folder / "plan.json"
    assert "1 to delete" in synced.run("plan", "--out", str(kept)).out
    assert synced.run("apply", str(kept)).code == 0
    assert set(synced.ids()) == {"s1_v", "s2_v"}


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "syncd-plan/1"}', "\x00"])
def test_apply_of_what_is_no_plan(synced: Lab, text: str) -> None:
    path = synced.folder / "plan.json"
    path.write_text(text)
    assert synced.run("apply", str(path)).code == 3
    assert synced.run("apply", str(path) + "-not-there").code == 3


def test_state_list_is_an_array_of_objects(synced: Lab) -> None:
    rows = synced.run("state", "list", "--json").json
    assert [set(row) for row in rows] == [
        {"target", "name", "remote_id", "job", "source", "path", "field", "version", "status", "last_synced_at"}
    ] * 3
    assert {row["status"] for row in rows} == {"synced"}
    table = synced.run("state", "list").out
    assert table.splitlines()[0].split() == ["STATUS", "TARGET", "NAME", "ID", "SOURCE", "VERSION"]


def test_status_explain_export(synced: Lab, bao: Bao) -> None:
    told = synced.run("status", "--json").json
    assert told["jobs"][0]["exit_code"] == 0 and told["jobs"][0]["secrets"] == {"synced": 3}
    assert "DUE" in synced.run("status").out
    for what in ("s0_v", f"{bao.mount}/app/s0", synced.ids()["s0_v"]):
        result = synced.run("explain", what)
        assert result.code == 0 and synced.ids()["s0_v"] in result.out, what
        assert "one call (detailed-metadata)" in result.out, "how its path is listed"
    assert synced.run("explain", f"{bao.mount}/app/never-read").code == 0
    assert synced.run("explain", "nobody/knows").code == 3
    exported = synced.run("state", "export").json
    assert len(exported["records"]) == 3 and "fingerprint" not in json.dumps(exported)


def test_freeze_leaves_it_alone_until_it_is_thawed(synced: Lab, bao: Bao) -> None:
    assert synced.run("state", "freeze", "s0_v", "--reason", "agreed", "--until", "1d").code == 0
    bao.put("app/s0", v="rotated")
    result = synced.run("sync")
    assert result.code == 0 and "frozen" in result.out
    assert synced.site.values()["s0_v"] == "value 0" and synced.statuses()["s0_v"] == "frozen"
    assert synced.run("state", "freeze", "s0_v", "--reason", "agreed", "--until", "0s").code == 0
    synced.run("sync")
    assert synced.site.values()["s0_v"] == "rotated"
    assert synced.run("state", "freeze", "s0_v", "--reason", "agreed", "--until", "soon").code == 3
    assert synced.run("state", "freeze", "nobody", "--reason", "agreed", "--until", "1d").code == 3


def test_forget_keeps_it_at_wix_and_delete_asks_for_an_orphan(synced: Lab, bao: Bao) -> None:
    ids = synced.ids()
    assert synced.run("state", "forget", "s0_v", "--delete", "--reason", "agreed").code == 6, "its job still wants it"
    assert synced.run("state", "forget", "s0_v").code == 0
    assert synced.ids() == ids and "s0_v" not in synced.ledger()
    assert synced.settle().code == 0
    assert synced.ledger() == ids == synced.ids()
    synced.config["jobs"]["job"]["secrets"] = [{"path": f"{bao.mount}/app/s[12]"}, {"path": f"{bao.mount}/app/s1"}]
    synced.run("sync")
    assert synced.statuses()["s0_v"] == "orphan"
    assert synced.run("state", "forget", "s0_v", "--delete", "--reason", "agreed").code == 0
    assert "s0_v" not in synced.ids() and "s0_v" not in synced.ledger()


def test_check_and_connect(synced: Lab) -> None:
    assert synced.run("check").code == 0
    result = synced.run("check", "--connect")
    assert result.code == 0 and "3 secrets on the site, 3 of them with our mark" in result.out
    synced.secret_file("wix-key", "IST.wrong")
    synced.secret_file("vault-token", "wrong")
    result = synced.run("check", "--connect", "--json")
    assert result.code == 4 and [row["result"] for row in result.json] == ["ok", "failed", "failed"]


@pytest.mark.sweep
@pytest.mark.parametrize("quirk", ["none", "lag", "case", "dates", "reading"])
def test_the_probe_reports_each_quirk_and_the_cycle_stays_right(lab: Lab, bao: Bao, quirk: str) -> None:
    options = lab.site.options
    expected = {"none": "shows a new secret at once", "lag": "(it lags)", "case": "are the same here",
                "dates": "updatedDate is missing", "reading": "may not read values"}[quirk]  # fmt: skip
    if quirk == "lag":
        options.listing_lag = timedelta(seconds=2)
    options.case_insensitive = quirk == "case"
    options.dates = quirk != "dates"
    options.may_read = quirk != "reading"
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**"}, deletion_policy="delete", deletion_grace="0s")
    bao.put("app/a", v="1")
    result = lab.run("check", "--probe", "shop")
    assert result.code == 0 and expected in result.out, result.out + result.err
    assert lab.site.secrets == {}, "nothing of the probe is left"
    assert lab.ledger() == {}
    for turn in range(3):
        bao.put("app/a", v=f"turn {turn}")
        bao.put(f"app/b{turn}", v="2")
        lab.run("sync")
    options.listing_lag = timedelta(0)
    assert lab.settle().code == 0
    assert lab.site.values() == {"a_v": "turn 2", "b0_v": "2", "b1_v": "2", "b2_v": "2"}
    assert lab.ledger() == lab.ids()
    assert len(lab.site.created_ids) - lab.wix.count("POST") <= 0
    before = lab.writes()
    assert lab.run("sync").code == 0
    assert lab.writes() == before


def test_names_in_another_case_are_a_conflict(lab: Lab, bao: Bao) -> None:
    lab.site.options.case_insensitive = True
    lab.site.create({"name": "A_V", "value": "theirs"})
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**"})
    bao.put("app/a", v="1")
    result = lab.run("sync")
    assert result.code == 1 and "differs only in case" in result.out
    assert lab.site.values() == {"A_V": "theirs"}


# --- bad input


def test_usage_errors_are_3(lab: Lab) -> None:
    for words in (
        ["nonsense"],
        ["sync", "--nonsense"],
        ["sync", "--wait", "soon"],
        ["state", "freeze"],
        ["sync", "nojob"],
    ):
        lab.config["sources"] = {"aws": {"type": "aws_secrets_manager", "region": "x"}}
        lab.job("job", "aws", {"path": "a/*"})
        result = lab.run(*words)
        assert result.code == 3 and "syncd:" in result.err and "Traceback" not in result.err, words


def test_a_missing_credential_is_named(synced: Lab) -> None:
    (synced.folder / "wix-key").unlink()
    result = synced.run("sync")
    assert result.code == 3 and "targets.shop.auth.api_key" in result.err and "fix" in result.err
    assert synced.run("state", "list").code == 0, "only the credentials that a command uses have to be there"


def test_a_wrong_key_at_wix(synced: Lab) -> None:
    synced.secret_file("wix-key", "IST.wrong-generated")
    result = synced.run("sync")
    assert result.code == 5 and "refused" in result.err and "fix" in result.err and "IST.wrong" not in result.err


def test_nobody_answers_at_wix(synced: Lab) -> None:
    synced.config["targets"]["shop"]["base_url"] = "http://127.0.0.1:1"
    result = synced.run("sync")
    assert result.code == 5 and "cannot be reached" in result.err
    told = synced.run("status", "--json").json["jobs"][0]
    assert told["exit_code"] == 5 and "cannot be reached" in told["message"]
    assert told["last_success_at"] < told["last_run_at"]


@pytest.mark.parametrize("content", [b"garbage" * 100, b"just text\n", None])
def test_a_ledger_that_is_none(synced: Lab, content: bytes | None) -> None:
    path = synced.state
    if content is None:
        for beside in path.parent.glob("state.db-*"):
            beside.unlink()
        data = bytearray(path.read_bytes())
        data[4096:8192] = os.urandom(4096)
        path.write_bytes(data)
    else:
        for beside in path.parent.glob("state.db-*"):
            beside.unlink()
        path.write_bytes(content)
    before, writes = path.read_bytes(), synced.writes()
    result = synced.run("sync")
    assert result.code == 7 and "fix" in result.err and "Traceback" not in result.err
    assert path.read_bytes() == before and synced.writes() == writes


def test_another_programs_database_is_not_touched(lab: Lab, bao: Bao) -> None:
    lab.state.parent.mkdir()
    with sqlite3.connect(lab.state) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**"})
    result = lab.run("sync")
    assert result.code == 7 and "another program's" in result.err
    with sqlite3.connect(lab.state) as other:
        assert [row[0] for row in other.execute("SELECT name FROM sqlite_master")] == ["theirs"]
    other.close()


def test_a_missing_or_other_key(synced: Lab) -> None:
    key = synced.state.with_name("state.db.key")
    text = key.read_text()
    writes = synced.writes()
    for broken in (None, "", "ab" * 8, "zz" * 32, "ab" * 32):
        if broken is None:
            key.unlink()
        else:
            key.write_text(broken)
        result = synced.run("sync")
        assert result.code == 7 and "key" in result.err and "fix" in result.err
        assert key.exists() == (broken is not None)
    key.write_text(text)
    assert synced.run("sync").code == 0
    assert synced.writes() == writes


def test_a_half_written_state_folder(synced: Lab) -> None:
    """The -wal of another moment, an empty main file: rebuilt, with the same ids."""
    ids = synced.ids()
    for path in synced.state.parent.iterdir():
        if path.name != "state.db.key":
            path.unlink()
    synced.state.touch()
    assert synced.settle().code == 0
    assert synced.ledger() == ids == synced.ids()


def test_files_are_for_their_user_alone(synced: Lab) -> None:
    for path in synced.state.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert synced.state.parent.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.getuid() != 0, reason="a full disk needs a small tmpfs, which only root can mount")
def test_a_full_disk(synced: Lab, bao: Bao) -> None:
    import subprocess

    small = synced.folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        shutil.copytree(synced.state.parent, small / "state")
        synced.config["state"]["path"] = str(small / "state" / "state.db")
        for number in range(30):
            bao.put(f"app/more{number}", v="x")
        filler = small / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        result = synced.run("sync")
        assert result.code == 7 and "Traceback" not in result.err and "fix" in result.err, result.err
        filler.unlink()
        assert synced.settle().code == 0
        assert synced.ledger() == synced.ids() and len(synced.ids()) == 33
        assert len(synced.site.created_ids) == 33
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)


@pytest.mark.long
def test_two_processes_at_once(synced: Lab, bao: Bao) -> None:
    for number in range(20):
        bao.put(f"app/more{number}", v="x")
    synced.site.options.latency = 0.02
    processes = [synced.popen("sync") for _ in range(3)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    assert len(synced.site.created_ids) == 23 == len(synced.ids())


def test_collisions_name_both_sides(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**", "name": "{basename}_{field}"})
    bao.put("app/a/x", v="1")
    bao.put("app/b/x", v="2")
    bao.put("app/b/X", v="3")
    bao.put("app/fine", v="4")
    result = lab.run("sync")
    assert result.code == 1
    assert lab.site.values() == {"fine_v": "4"}
    for path in ("app/a/x", "app/b/x", "app/b/X"):
        assert path in result.out


def test_two_jobs_on_one_name(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.job("first", "vault", {"path": f"{bao.mount}/one/x", "name": "SHARED"})
    lab.job("second", "vault", {"path": f"{bao.mount}/two/x", "name": "SHARED"})
    lab.config["jobs"]["first"]["secrets"][0] |= {"field": "v"}
    lab.config["jobs"]["second"]["secrets"][0] |= {"field": "v"}
    bao.put("one/x", v="one")
    bao.put("two/x", v="two")
    result = lab.run("sync")
    assert result.code == 1 and "belongs to" in result.out
    assert lab.site.values() == {"SHARED": "one"}
    bao.remove("one/x")
    lab.run("sync", "second")
    assert lab.site.values() == {"SHARED": "two"}, "the name passes when the old reference is gone"
    assert len(lab.site.created_ids) == 1


def test_the_same_reference_in_two_jobs_merges_and_outlives_the_first(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    rule = {"path": f"{bao.mount}/app/**"}
    lab.job("a", "vault", rule, deletion_policy="delete", deletion_grace="0s")
    lab.job("b", "vault", rule)
    bao.put("app/x", v="1")
    bao.put("app/y", v="1")
    assert lab.run("sync").code == 0
    assert {row["job"] for row in lab.run("state", "list", "--json").json} == {"a"}
    lab.config["jobs"]["a"]["secrets"] = [{"path": f"{bao.mount}/app/x"}]
    assert lab.run("sync").code == 0
    assert set(lab.ids()) == {"x_v", "y_v"}
    assert {row["name"]: row["job"] for row in lab.run("state", "list", "--json").json} == {"x_v": "a", "y_v": "b"}


def test_a_changed_mapping_creates_the_new_name_first(synced: Lab, bao: Bao) -> None:
    synced.config["jobs"]["job"] |= {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 9}}
    synced.config["jobs"]["job"]["secrets"][0]["name"] = "NEW_{path}_{field}"
    synced.wix.fault("403", "POST", times=99)
    assert synced.run("sync").code == 5
    assert set(synced.ids()) == {"s0_v", "s1_v", "s2_v"}, "the old names stay while the new ones cannot be made"
    synced.wix.faults.clear()
    assert synced.run("sync").code == 0
    assert len(synced.ids()) == 6
    assert synced.run("sync").code == 0
    assert set(synced.ids()) == {"NEW_s0_v", "NEW_s1_v", "NEW_s2_v"}


def test_a_renamed_job_and_a_renamed_source_keep_their_secrets(synced: Lab) -> None:
    ids = synced.ids()
    synced.config["sources"]["renamed"] = synced.config["sources"].pop("vault")
    job = synced.config["jobs"].pop("job") | {"source": "renamed"}
    synced.config["jobs"]["other"] = job
    assert synced.settle().code == 0
    assert synced.ids() == ids == synced.ledger()
    assert {row["job"] for row in synced.run("state", "list", "--json").json} == {"other"}


def test_a_broken_secret_rests_and_comes_back_with_a_new_version(synced: Lab, bao: Bao) -> None:
    bao.put("app/bad", v="")
    assert synced.run("sync").code == 1
    assert synced.statuses()["bad_v"] == "quarantined"
    assert synced.run("sync").code == 1
    bao.put("app/bad", v="mended")
    assert synced.run("sync").code == 0
    assert synced.site.values()["bad_v"] == "mended"


def test_an_app_instead_of_an_api_key(lab: Lab, bao: Bao) -> None:
    instance = "instance-1"
    app_id, secret = lab.wix.issue_app(instance)
    lab.secret_file("app-secret", secret)
    lab.config["targets"]["shop"]["auth"] = {
        "method": "app", "app_id": app_id, "instance_id": instance, "app_secret": {"file": str(lab.folder / "app-secret")},
    }  # fmt: skip
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**"})
    bao.put("app/a", v="1")
    lab.wix.fault("401", "POST")  # an expired token is renewed once
    assert lab.run("sync").code == 0
    assert lab.wix.site(instance).values() == {"a_v": "1"}
    lab.secret_file("app-secret", "wrong-generated")
    assert lab.run("sync").code == 5


@pytest.mark.long
def test_the_quota_is_kept_by_commands_and_restarts_together(lab: Lab, bao: Bao) -> None:
    lab.site.options.quota = 10
    lab.site.options.quota_window = timedelta(seconds=1)
    lab.config["targets"]["shop"]["rate_limit"] = "10/1s"
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/**"})
    for number in range(25):
        bao.put(f"app/s{number}", v="x")
    for _ in range(2):
        assert lab.spawn("sync").code == 0
    assert len(lab.ids()) == 25
    assert 429 not in {one.status for one in lab.wix.seen}
    assert lab.site.busiest <= 10


def test_nothing_of_a_bug_shows(synced: Lab, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from syncd.cli import status_entries as inspect

    def broken(*_: object) -> None:
        planted = "planted-in-a-local"
        raise ValueError(f"planted-in-a-message {planted}")

    monkeypatch.setattr(inspect, "_tally", broken)
    for options in ((), ("--debug",)):
        result = synced.run("status", options=options)
        assert result.code == 70 and "planted" not in result.out + result.err
        assert ("test_commands.py" in result.err) == bool(options)


def test_paths_of_the_test_are_not_in_the_tree() -> None:
    assert not list(Path().glob("*.db"))


def test_only_what_is_due_is_run(synced: Lab, bao: Bao) -> None:
    """What a CronJob calls: each job by its own schedule, in one process."""
    jobs = synced.config["jobs"]
    (name,) = jobs
    jobs[name]["schedule"] = {"every": "1h"}
    idle = synced.run("sync", "--due")
    assert (idle.code, idle.out) == (0, "") and "no job is due" in idle.err, "it ran a moment ago"
    with contextlib.closing(sqlite3.connect(synced.state)) as ledger, ledger:
        ledger.execute("UPDATE syncd_runs SET started_at = started_at - 7200000000")
    assert f"{name} -> shop" in synced.run("sync", "--due").out
    del jobs[name]["schedule"]
    assert "->" not in synced.run("sync", "--due").out, "a job without a schedule runs by name"
    jobs["new"] = {**jobs[name], "schedule": {"cron": "0 3 1 1 *"}}
    assert "new -> shop" in synced.run("sync", "--due").out, "it never ran"
    assert "->" not in synced.run("sync", "--due").out


@pytest.mark.parametrize(
    ("gap", "line", "last", "now", "due"),
    [
        (300, "", 0, 299, True),
        (300, "", 0, 269, False),
        (86400, "", 0, 86341, True),
        (86400, "", 0, 86300, False),
        (300, "", 1000, 0, True),
        (None, "*/10 * * * *", 30, 599, False),
        (None, "*/10 * * * *", 30, 600, True),
        (None, "*/10 * * * *", 600, 1199, False),
    ],
)
def test_due(gap: int | None, line: str, last: int, now: int, due: bool) -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    asked = (begun + timedelta(seconds=last), begun + timedelta(seconds=now))
    assert is_due(timedelta(seconds=gap) if gap else None, line, *asked) is due
