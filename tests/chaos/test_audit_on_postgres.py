"""Three processes on one PostgreSQL, killed at random: no request at Wix without its intent, each intent with one end."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.postgres import emptied

ROUNDS = int(os.environ.get("SYNCD_POSTGRES_ROUNDS", "40"))
CLOCKS = timedelta(milliseconds=50)
"""The emulated Wix and syncd read one machine's clock at two moments."""


@pytest.mark.timeout(1200)
def test_three_processes_that_are_killed_leave_a_whole_trail(lab: Lab, bao: Bao, postgres: str) -> None:
    emptied(postgres)
    lab.config["state"] = {
        "url": {"file": str(lab.secret_file("url", postgres))},
        "fingerprint_key": {"file": str(lab.secret_file("key", secrets.token_hex(32)))},
    }
    lab.vault(bao)
    policies = {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 100_000}}
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{path}"}, **policies)
    wanted: dict[str, str] = {}
    dice, killed = random.Random(7), 0
    for number in range(12):
        put(bao, wanted, f"s{number:02}")
    assert lab.run("sync").code == 0
    lab.site.options.latency = 0.02
    for _ in range(ROUNDS):
        for _ in range(4):
            put(bao, wanted, f"s{dice.randrange(16):02}")
        if len(wanted) > 8:
            gone = dice.choice(sorted(wanted))
            bao.remove(f"app/{gone}")
            del wanted[gone]
        running = [lab.popen("sync", "--wait", "2s") for _ in range(3)]
        for process in running:
            time.sleep(dice.uniform(0, 0.6))
            if process.poll() is None and dice.random() < 0.85:
                process.send_signal(signal.SIGKILL)
                killed += 1
        for process in running:
            process.communicate(timeout=60)
    lab.site.options.latency = 0
    assert lab.settle(6).code == 0
    assert dict(lab.site.values().items()) == wanted and killed > ROUNDS
    lines = [line for line in map(loads, lab.run("audit", "export").out.splitlines()) if line["stream"] != "control"]
    assert lab.run("audit", "verify").code == 0
    intents = sorted(line["seq"] for line in lines if line["outcome"] == "intent")
    assert sorted(line["intent"] for line in lines if line["outcome"] in {"done", "failed", "unknown"}) == intents
    assert requests_without_an_intent(lab, lines) == []
    print(f"{killed} processes killed, {len(intents)} intents, {lab.writes()} writes at Wix, {len(lines)} lines")


def put(bao: Bao, wanted: dict[str, str], name: str) -> None:
    wanted[name] = secrets.token_hex(8)
    bao.put(f"app/{name}", v=wanted[name])


def loads(text: str) -> Any:
    import json

    return json.loads(text)


def requests_without_an_intent(lab: Lab, lines: list[dict[str, Any]]) -> list[str]:
    """What the emulated Wix saw and no line before it speaks of."""
    began: dict[str, list[datetime]] = {}
    for line in lines:
        if line["outcome"] == "intent":
            began.setdefault(line["remote_id"] or "create", []).append(datetime.fromisoformat(line["at"]))
    missing, creates = [], sorted(began.get("create", []))
    for one in sorted(lab.wix.seen, key=lambda one: one.at):
        at = datetime.fromtimestamp(one.at, UTC) + CLOCKS
        if one.method in {"PATCH", "DELETE"}:
            secret_id = one.path.rpartition("/")[2].partition("?")[0]
            if not any(moment <= at for moment in began.get(secret_id, ())):
                missing.append(f"{one.method} {one.path}")
        elif one.method == "POST" and "secrets" in one.path:
            if not creates or creates.pop(0) > at:
                missing.append(f"POST {one.path}")
    return missing
