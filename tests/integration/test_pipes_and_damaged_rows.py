"""What was known and left open: pipes that close, damaged rows, folders that may only be read."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import AWS_ENVIRON, Bao, Lab


@pytest.fixture
def job(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    for number in range(40):
        bao.put(f"app/s{number}", v="1")
    bao.put("app/empty", v="")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 1
    return lab


@pytest.mark.sweep
@pytest.mark.parametrize(
    "words",
    [
        "state list",
        "state list --json",
        "state export",
        "plan --json",
        "status",
        "schema",
        "explain s1_v",
        "report",
        "report --format csv",
        "report --evidence 24h..0h",
        "audit export",
        "audit show --json",
    ],
)
def test_a_pipe_that_closes_early_is_no_failure(job: Lab, words: str) -> None:
    command = f"{sys.executable} -m syncd --config {job.config_file} {words}"
    script = f"set -o pipefail; {command} | head -c 1 >/dev/null"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, **AWS_ENVIRON}, capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 1 if words.startswith("plan") else 0}, done
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr and "bug" not in done.stderr


@pytest.mark.sweep
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "2>/dev/full", ">/dev/full"])
def test_streams_that_are_closed_or_full_cost_no_work(job: Lab, bao: Bao, closed: str) -> None:
    """A closed one would leave its number to the ledger's file, and the next message would be written into that."""
    bao.put("app/s1", v=closed)
    command = f"{sys.executable} -m syncd --config {job.config_file}"
    environ = {**os.environ, **AWS_ENVIRON}
    script = f"{command} sync {closed}"
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert job.site.values()["s1_v"] == closed
    assert done.returncode == (3 if closed == ">/dev/full" else 1), done
    assert ">/dev/full" != closed or "stdout takes no more" in done.stderr
    for words in ("status", "check", "state list --json", "--version", "plan"):
        script = f"{command} {words} {closed}"
        done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode in ({3} if closed == ">/dev/full" else {0, 1}), (words, done)
        assert "bug" not in done.stderr and "Traceback" not in done.stderr
    assert job.run("audit", "verify").code == 0


@pytest.mark.sweep
@pytest.mark.parametrize(
    "environ", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "latin-1"}]
)
@pytest.mark.parametrize("words", ["plan --json", "state list --json", "state export", "status --json", "audit export"])
def test_what_a_program_reads_is_utf_8(job: Lab, bao: Bao, environ: dict[str, str], words: str) -> None:
    bao.put("app/schlüssel-🔑-ключ", v="1")
    if words != "plan --json":
        job.run("sync")
    command = [sys.executable, "-m", "syncd", "--config", str(job.config_file), *words.split()]
    done = subprocess.run(command, env={**os.environ, **AWS_ENVIRON, **environ}, capture_output=True, check=False)
    text = done.stdout.decode("utf-8")
    assert "schlüssel-🔑-ключ" in text or words in {"status --json", "audit export"}
    [json.loads(line) for line in text.splitlines()] if words == "audit export" else json.loads(text)


@pytest.mark.sweep
@pytest.mark.parametrize("column", ["message", "hint", "subject", "ref", "first_at", "retry_at", "attempts"])
@pytest.mark.parametrize("value", ["X'00ff'", "'odd'", "1e300"])
def test_a_damaged_row_of_an_open_problem_is_no_bug(job: Lab, column: str, value: str) -> None:
    connection = sqlite3.connect(job.state)
    connection.execute(f"UPDATE syncd_troubles SET {column} = {value}")
    connection.commit()
    connection.close()
    for words in (("status",), ("state", "list"), ("explain", "empty_v"), ("sync",)):
        done = job.run(*words)
        assert done.code in {0, 1, 3, 7} and "bug" not in done.err, (words, done.err)
        assert done.code != 7 or "damaged" in done.err


@pytest.mark.sweep
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
@pytest.mark.parametrize(
    "words", [("status",), ("plan",), ("explain", "s1_v"), ("state", "list"), ("state", "export"), ("forecast",)]
)
@pytest.mark.parametrize("log", [True, False])
def test_a_folder_that_may_only_be_read(job: Lab, words: tuple[str, ...], log: bool) -> None:
    expected = job.run(*words)
    keep = sqlite3.connect(job.state) if log else None  # a daemon has the ledger open
    if keep:
        keep.execute("SELECT * FROM syncd_meta").fetchall()
    for place in (job.folder, *job.folder.parents, *job.folder.rglob("*")):
        if place != Path("/"):
            place.chmod(place.stat().st_mode & ~0o022 | (0o055 if place.is_dir() else 0o044))
    job.config_file.chmod(0o666)
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:  # what is needed of Python is imported by now
        os.setgid(65534)
        os.setuid(65534)
        done = job.run(*words)
        os.write(writes, f"{done.code} {done.err[:2000]}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        code, _, err = pipe.read().partition(" ")
    if keep:
        keep.close()
    assert int(code) == expected.code, err
