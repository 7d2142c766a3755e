"""Wix's official JavaScript client agrees with the emulated Wix."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from syncd.sandbox.wix_server import Wix, serving

CLIENT = Path("build/wix-client")
READY = CLIENT / ".ready"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on this machine")
@pytest.mark.skipif(not READY.exists(), reason="the official client is not installed; `make test` does that with npm")
def test_the_official_client_makes_its_five_calls() -> None:
    wix = Wix()
    key = wix.issue_key("site-1")
    script = CLIENT / "calls.mjs"
    shutil.copy("tests/e2e/wix-client/calls.mjs", script)
    with serving(wix) as url:
        origin = url.split("/_api")[0]
        environ = {**os.environ, "SYNCD_TEST_ORIGIN": origin, "SYNCD_TEST_SITE": "site-1", "SYNCD_TEST_KEY": key}
        done = subprocess.run(
            ["node", script.name], cwd=CLIENT, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["id"] == wix.site("site-1").created_ids[0]
    listed = told["listed"]["secrets"] if isinstance(told["listed"], dict) else told["listed"]
    assert [one["name"] for one in listed] == ["OFFICIAL_+=-@$"]
    assert (told["value"]["value"] if isinstance(told["value"], dict) else told["value"]) == "two"
    assert told["taken"] == "ALREADY_EXISTS"
    assert "fieldViolations" in told["bad"]
    after = told["after"].get("secrets", []) if isinstance(told["after"], dict) else told["after"]
    assert not after
    assert {one.split()[1].split("/api/")[0] for one in told["asked"]} == {
        "https://www.wixapis.com/_api/cloud-secrets-vault-server"
    }
    assert [one.status for one in wix.seen] == [200, 200, 200, 200, 409, 400, 200, 200]
