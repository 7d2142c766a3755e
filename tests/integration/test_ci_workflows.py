"""The workflows of deploy/ci: their own `run:` steps, taken from the files and executed against real servers."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.postgres import emptied

CI = Path(__file__).parents[2] / "deploy" / "ci"
PASSED = ("install", "comment")
"""Steps that need the world: a package index, GitHub."""


def steps(kind: str, job: str) -> list[str]:
    if kind == "github":
        content = yaml.safe_load((CI / "github-actions.yaml").read_text())
        return [one["run"] for one in content["jobs"][job]["steps"] if "run" in one and one["name"] not in PASSED]
    return list(yaml.safe_load((CI / "gitlab-ci.yaml").read_text())[job]["script"])


@pytest.fixture
def shop(lab: Lab, bao: Bao, postgres: str) -> Lab:
    emptied(postgres)
    lab.vault(bao)
    bao.put("app/a", v="canary-value-in-no-comment")
    lab.config["state"] = {
        "url": {"file": str(lab.secret_file("url", postgres))},
        "fingerprint_key": {"file": str(lab.secret_file("key", secrets.token_hex(32)))},
    }
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.config_file
    return lab


def execute(lab: Lab, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {**os.environ, **AWS_ENVIRON, "PATH": path, "SYNCD_CONFIG": "syncd.yaml", **environ}
    return subprocess.run(
        ["bash", "-e", "-c", script], cwd=lab.folder, env=given, capture_output=True, text=True, timeout=60, check=False
    )


IDENTITY: dict[str, dict[str, Any]] = {
    "github": {"COMMIT": "abc123", "ACTOR": "ann"},
    "gitlab": {"CI_COMMIT_SHA": "abc123", "GITLAB_USER_LOGIN": "ann"},
}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_change_is_planned_reviewed_and_applied(shop: Lab, bao: Bao, kind: str) -> None:
    for script in steps(kind, "plan"):
        done = execute(shop, script)
        assert done.returncode == 0, done.stderr
    comment = (shop.folder / "plan.md").read_text()
    assert "1 to create" in comment and "`a_v`" in comment and "canary" not in comment and not shop.site.values()
    *_, plan, apply = steps(kind, "apply")
    assert execute(shop, plan).returncode == 0
    bao.put("app/a", v="moved-since")
    moved = execute(shop, apply, **IDENTITY[kind])
    assert moved.returncode == 6 and not shop.site.values(), moved.stderr
    assert execute(shop, plan).returncode == 0
    done = execute(shop, apply, **IDENTITY[kind])
    assert done.returncode == 0 and list(shop.site.values()) == ["a_v"], done.stderr
    (line,) = [one for one in shop.run("audit", "show", "--json").json if one["outcome"] == "done"]
    assert line["commit"] == "abc123" and "ann (claimed by" in line["actor"]["id"] and line["plan"]


@pytest.mark.sweep
@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_configuration_that_cannot_be_used_stops_it(shop: Lab, kind: str) -> None:
    (shop.folder / "syncd.yaml").write_text("owner: x\n")
    assert execute(shop, steps(kind, "plan")[0]).returncode == 3


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_what_is_installed_is_named_with_its_digest_and_no_index_chooses_it(kind: str) -> None:
    """Whoever has a bare name at an index would get the credentials of the step."""
    text = (CI / ("github-actions.yaml" if kind == "github" else "gitlab-ci.yaml")).read_text()
    installs = [line for line in text.splitlines() if " install " in line]
    assert installs and all("@ $SYNCD_WHEEL" in line for line in installs) and "#sha256=" in text


def test_every_job_of_github_is_given_what_the_first_configuration_asks_for() -> None:
    from syncd.cli import first_configuration

    asked = set(re.findall(r"env: ([A-Z_]+)\}", Path(first_configuration.__file__).read_text()))
    for job in yaml.safe_load((CI / "github-actions.yaml").read_text())["jobs"].values():
        assert {"VAULT_TOKEN", "WIX_API_KEY"} <= asked & job["env"].keys()
        assert all(value == f"${{{{ secrets.{name} }}}}" for name, value in job["env"].items())
