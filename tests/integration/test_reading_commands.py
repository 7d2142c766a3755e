"""Commands that only look: beside a writer, in JSON, and where nobody listens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Bao, Lab


def vault_job(lab: Lab, bao: Bao, *rules: dict[str, Any], name: str = "job", **more: Any) -> None:
    if "vault" not in lab.config["sources"]:
        lab.vault(bao)
    lab.job(name, "vault", *({**rule, "path": f"{bao.mount}/{rule['path']}"} for rule in rules), **more)


def rules(lab: Lab, job: str = "job") -> list[dict[str, Any]]:
    return lab.config["jobs"][job]["secrets"]


@pytest.mark.long
def test_reading_commands_beside_a_writer_leave_its_journal_alone(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    for number in range(40):
        bao.put(f"app/s{number}", v="x")
    lab.site.options.latency = 0.05
    writer = lab.popen("sync")
    for words in (["status"], ["state", "list"], ["plan"]):
        assert lab.spawn(*words).code in {0, 1}
    open_files = [str(path.readlink()) for path in Path(f"/proc/{writer.pid}/fd").iterdir()]
    assert not [name for name in open_files if "state.db" in name and "deleted" in name]
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    lab.site.options.latency = 0
    assert lab.settle().code == 0
    assert lab.ledger() == lab.ids() and len(lab.site.created_ids) == 40


def test_json_of_every_listing_parses(lab: Lab, bao: Bao) -> None:
    vault_job(lab, bao, {"path": "app/*"})
    bao.put("app/a", v="1")
    kept = lab.folder / "plan.json"
    lab.run("sync")
    lab.run("plan", "--out", str(kept))
    for words in (
        ["plan"],
        ["apply", str(kept)],
        ["status"],
        ["check"],
        ["state", "list"],
        ["explain", "a_v"],
        ["sync"],
    ):
        assert json.loads(lab.run(*words, "--json").out) is not None


def test_an_unwritable_stderr_stops_no_cycle(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    for number in range(20):
        bao.put(f"app/s{number}", v="x")
    argv = [sys.executable, "-m", "syncd", "--config", str(lab.config_file), "sync"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=full, check=False, text=True)
    assert done.returncode == 0 and "20 created" in done.stdout
    assert len(lab.ledger()) == 20 == len(lab.site.created_ids)


def test_a_line_break_in_a_name_fakes_no_line(lab: Lab, bao: Bao) -> None:
    bao.put_all("app/odd", {"a\npayments -> shop: ok\x1b[31m": "1", "b": ""})
    lab.vault(bao)
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    shown = [
        lab.run(*words).out for words in (["sync"], ["plan"], ["explain", f"{bao.mount}/app/odd"], ["state", "list"])
    ]
    bao.put("app/odd", b="2")
    shown += [lab.run(*words).out for words in (["sync"], ["status"], ["plan"])]
    for text in shown:
        assert not any(line.startswith("payments") for line in text.splitlines()) and "\x1b" not in text
