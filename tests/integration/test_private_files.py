"""Files of ours: a process may be killed anywhere, also in a container, and something else may stand in their place."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.reconcile.run_job import Run, sync_job
from tests.lab import Bao, Lab

ROOT = os.geteuid() == 0

pytestmark = pytest.mark.kind


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/**"})
    return lab


KILLED = """
import os, signal, sys
number = int(sys.argv.pop(1))
os.getpid = lambda: 1  # as in a container
calls = 0
def counted(honest):
    def call(*args, **options):
        global calls
        done = honest(*args, **options)
        calls += 1
        if calls == number:
            os.kill(int(os.environ["SELF"]), signal.SIGKILL)
        return done
    return call
os.environ["SELF"] = os.readlink("/proc/self")
for name in ("open", "link", "fsync", "rename", "replace", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
from syncd.cli import main
main()
"""


def killed_at(job: Lab, number: int, words: tuple[str, ...]) -> bool:
    """Kill it at its n-th call to do with files, as process 1; then it has to start again. Was there such a call?"""
    script = job.folder / "killed.py"
    script.write_text(KILLED)
    shutil.rmtree(job.folder / "state", ignore_errors=True)
    argv = [sys.executable, str(script), str(number), "--config", str(job.config_file), *words]
    killed = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    again = subprocess.run([*argv[:2], "0", *argv[3:]], capture_output=True, check=False, timeout=60)
    assert again.returncode in {0, 1}, (number, again.stderr)
    return killed.returncode == -signal.SIGKILL


@pytest.mark.sweep
@pytest.mark.parametrize("number", [2, 3, 5])
def test_killed_while_it_makes_its_key_it_starts_again_under_the_same_process_id(job: Lab, number: int) -> None:
    assert killed_at(job, number, ("sync",))


@pytest.mark.chaos
@pytest.mark.parametrize("words", [("sync",), ("plan", "--out", "PLAN")], ids=lambda words: words[0])
def test_killed_at_each_file_call_it_starts_again_under_the_same_process_id(job: Lab, words: tuple[str, ...]) -> None:
    words = tuple(str(job.folder / "plan.json") if word == "PLAN" else word for word in words)
    number = 1
    while killed_at(job, number, words):
        number += 1
    assert number > 4, "some were killed"


def special(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            os.chdir(path.parent)  # the address of a socket is short
            one.bind(path.name)
    elif kind == "device":
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device"])
@pytest.mark.parametrize("name", ["state.db", "state.db.key", "plan.json"])
def test_something_else_in_a_files_place_is_told_and_left(
    job: Lab, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "device" and not ROOT:
        pytest.skip("only root makes devices")
    monkeypatch.chdir(job.folder)
    path = job.folder / "state" / name
    special(path, kind)
    before = path.lstat().st_mode
    result = job.run(*(("plan", "--out", str(path)) if name == "plan.json" else ("sync",)))
    assert result.code == (3 if name == "plan.json" else 7), result.err
    assert str(path) in result.err and "fix: " in result.err
    assert path.lstat().st_mode == before and job.writes() == 0


def test_a_lock_file_that_is_a_link_leads_nowhere(job: Lab) -> None:
    assert job.run("sync").code == 0
    (lock,) = job.state.parent.glob("*.lock")
    victim = job.folder / "victim"
    victim.write_text("theirs")
    lock.unlink()
    lock.symlink_to(victim)
    assert job.run("sync").code == 7 and victim.read_text() == "theirs"


@pytest.mark.sweep
@pytest.mark.parametrize("rights", [0o666, 0o644, 0o660, 0o604, 0o777])
@pytest.mark.parametrize("name", ["state.db", "state.db.key", "state.db-wal"])
def test_rights_that_are_too_wide_are_narrowed_and_said(job: Lab, name: str, rights: int) -> None:
    assert job.run("sync").code == 0
    path = job.state.with_name(name)
    path.touch()
    path.chmod(rights)
    result = job.run("sync")
    assert result.code == 0 and not stat.S_IMODE(path.stat().st_mode) & 0o077 if path.exists() else True
    (told,) = [one for one in result.events if one["event"] == "state.narrowed"]
    assert told["file"] == str(path) and told["had"] == f"{rights:04o}"
    assert not [one for one in job.run("sync").events if one["event"] == "state.narrowed"]


def test_a_file_of_somebody_else_is_refused_untouched(job: Lab) -> None:
    foreign = job.folder / "foreign"
    for content in (b"notes", b"SQLite format 3\0" + b"x" * 200, "a database"):
        foreign.unlink(missing_ok=True)
        if isinstance(content, bytes):
            foreign.write_bytes(content)
        else:
            with sqlite3.connect(foreign) as theirs:
                theirs.execute("CREATE TABLE mine (a)")
            theirs.close()
        foreign.chmod(0o644)
        before = foreign.read_bytes()
        job.config["state"] = {"path": str(foreign)}
        for words in (("status",), ("check",), ("sync",)):
            assert job.run(*words).code == 7
        assert foreign.read_bytes() == before and stat.S_IMODE(foreign.stat().st_mode) == 0o644


def elsewhere(job: Lab, way: str) -> Path:
    """Another path to the same ledger."""
    if way == "link to the file":
        path = job.folder / "other" / "link.db"
        path.parent.mkdir()
        path.symlink_to(job.state)
    elif way == "link to the folder":
        (job.folder / "other").symlink_to(job.state.parent)
        path = job.folder / "other" / "state.db"
    elif way == "dots":
        path = job.state.parent / ".." / "state" / "." / "state.db"
    else:
        path = Path("state/state.db")
    return path


@pytest.mark.sweep
@pytest.mark.parametrize("way", ["link to the file", "link to the folder", "dots", "relative"])
def test_one_ledger_has_one_lock_whatever_path_leads_to_it(job: Lab, way: str) -> None:
    assert job.run("sync").code == 0
    with App(load(job.config_file)) as app, app.ledger.lock(job.site_id, holder="the test", wait=timedelta(0)):
        job.config["state"]["path"] = str(elsewhere(job, way))
        result = job.spawn("sync", "--wait", "0s")
        assert result.code == 7 and "the test" in result.err, result.err
    assert job.spawn("sync").code == 0
    assert len(list(job.folder.rglob("*.lock"))) == 1 and len(list(job.folder.rglob("*.key"))) == 1


def test_a_second_name_of_the_file_is_refused(job: Lab) -> None:
    assert job.run("sync").code == 0
    os.link(job.state, job.folder / "second.db")
    result = job.run("sync")
    assert result.code == 7 and "hard link" in result.err


@pytest.mark.parametrize("folder", ["elsewhere", "a b/ü"])
def test_a_relative_path_is_relative_to_the_configuration(
    job: Lab, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.config["state"]["path"] = "ledger/s.db"
    (job.folder / folder).mkdir(parents=True)
    for place in (job.folder, job.folder / folder):
        monkeypatch.chdir(place)
        assert job.run("sync").code == 0
    assert (job.folder / "ledger" / "s.db").is_file() and not list((job.folder / folder).iterdir())
    assert len(job.site.created_ids) == 1


def removed(path: Path) -> None:
    for one in path.parent.iterdir():
        one.unlink()


def moved_away(path: Path) -> None:
    path.rename(path.with_name("gone.db"))


def replaced(path: Path) -> None:
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.rename(path)


def folder_removed(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.sweep
@pytest.mark.parametrize("change", [removed, moved_away, replaced, folder_removed], ids=lambda one: one.__name__)
@pytest.mark.parametrize("moment", ["between", "within"])
def test_a_ledger_that_went_under_a_process_is_noticed_before_the_next_write(
    job: Lab, bao: Bao, change: Callable[[Path], None], moment: str
) -> None:
    for number in range(60):
        bao.put(f"app/n{number:02}", v="1")
    with App(load(job.config_file)) as app:
        if moment == "between":
            sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="test", wait=timedelta(0)))
            bao.put("app/x", v="2")
            change(job.state)
        else:
            job.wix.fault("slow", "POST", times=1, seconds=0.05).on = lambda: change(job.state)
        before = job.writes()
        (report,) = sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="test", wait=timedelta(0)))
        assert report.exit_code == 7, report
        # A folder goes file by file: its lock may be missed before the ledger is.
        said = str(report.error)
        assert any(words in said for words in ("removed or replaced", "cannot be used", "was lost")), said
        if moment == "between":
            assert job.writes() == before
        else:
            assert len(job.site.created_ids) < 60
    assert job.settle().code == 0
    assert job.ledger() == job.ids() and len(job.site.created_ids) == 61


def test_an_old_backup_is_whole_or_not_there(job: Lab) -> None:
    job.run("sync")
    assert not list(job.state.parent.glob(".syncd-*"))
    (job.state.parent / ".syncd-0123456789abcdef.new").write_text("left by a kill, just now")
    old = job.state.parent / ".syncd-fedcba9876543210.new"
    old.write_text("left by a kill, long ago")
    os.utime(old, (0, 0))
    (job.folder / "plans").mkdir()
    assert job.run("plan", "--out", str(job.state.parent / "plan.json")).code == 0
    assert not old.exists() and len(list(job.state.parent.glob(".syncd-*"))) == 1
    assert json.loads((job.state.parent / "plan.json").read_text())["format"]


@pytest.mark.parametrize("what", ["state.db", "state.db.key", "syncd.yaml", "wix-key", "notes.txt", "other.json"])
@pytest.mark.parametrize("way", ["itself", "a link"])
def test_a_plan_takes_the_place_of_a_plan_alone(job: Lab, what: str, way: str) -> None:
    """What stands there may be a ledger, a key or a credential, which nobody could bring back."""
    assert job.run("sync").code == 0
    place = {"state.db": job.state, "state.db.key": Path(f"{job.state}.key")}.get(what, job.folder / what)
    if not place.exists():
        place.write_text('{"format": 1}' if what == "other.json" else "my notes")
    before, named = place.read_bytes(), place
    if way == "a link":
        named = job.folder / "link"
        named.symlink_to(place)
    refused = job.run("plan", "--out", str(named))
    assert refused.code == 3 and "it is not replaced" in refused.err and "fix: " in refused.err
    assert place.read_bytes() == before
    assert job.run("sync").code == 0 and job.run("audit", "verify").code == 0


def test_a_plan_takes_the_place_of_an_older_or_empty_one(job: Lab) -> None:
    kept = job.folder / "plan.json"
    kept.touch()
    assert job.run("plan", "--out", str(kept)).code == 0
    kept.write_text(kept.read_text().replace("syncd-plan/2", "syncd-plan/1"))
    assert job.run("plan", "--out", str(kept)).code == 0
    assert job.run("apply", str(kept)).code == 0


@pytest.mark.parametrize("end", [".lock", "-wal", "-shm", "-journal"])
def test_a_plan_takes_the_place_of_no_file_in_use_though_it_is_empty(job: Lab, end: str) -> None:
    place = job.state.with_name(f"{job.state.name}{end}")
    place.parent.mkdir(exist_ok=True)
    place.touch()
    assert job.run("plan", "--out", str(place)).code == 3 and not place.stat().st_size


@pytest.mark.skipif(ROOT, reason="root may read everything")
def test_a_plan_takes_the_place_of_no_file_that_may_not_be_read(job: Lab) -> None:
    place = job.folder / "theirs.json"
    place.write_text("{}")
    place.chmod(0o200)
    assert job.run("plan", "--out", str(place)).code == 3
    place.chmod(0o600)
    assert place.read_text() == "{}"
