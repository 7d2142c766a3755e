"""A rollback holds one secret, whatever its source is called by now and however a rule spells its path."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.policies import closed

pytestmark = pytest.mark.kind
Rename = Callable[[], None]
WAYS = (
    "its source is renamed",
    "there is a second entry for its account",
    "its rule names the ARN",
    "its Vault is renamed",
)


@pytest.fixture(params=WAYS)
def rename(request: pytest.FixtureRequest, lab: Lab, bao: Bao, aws: Any, aws_url: str) -> Rename:
    """Two versions of one secret at the site; what is returned changes the configuration's words for it."""
    job = {"name": "A"}
    if "Vault" in request.param:
        lab.vault(bao)
        for version in ("one", "two"):
            bao.put("p/a", v=version)
            lab.job("job", "vault", {"path": f"{bao.mount}/p/*", "field": "v", **job})
            assert lab.run("sync").code == 0
    else:
        lab.aws(aws_url)
        arn = aws.create_secret(Name="p/a", SecretString="one")["ARN"]
        lab.job("job", "aws", {"path": "p/a", **job})
        assert lab.run("sync").code == 0
        aws.put_secret_value(SecretId="p/a", SecretString="two")
        assert lab.run("sync").code == 0
    sources, settings = lab.config["sources"], lab.config["jobs"]["job"]

    def change() -> None:
        if "ARN" in request.param:
            settings["secrets"][0]["path"] = arn
            return
        old = settings["source"]
        settings["source"], sources["renamed"] = "renamed", sources[old]
        if "renamed" in request.param:
            del sources[old]

    return change


def roll(lab: Lab, *words: str) -> Any:
    return lab.run("rollback", *words, "--reason", "two leaked")


@pytest.mark.parametrize("seen", [False, True], ids=["at once", "after cycles"])
def test_a_closed_window_lets_an_older_version_out_under_any_name(lab: Lab, rename: Rename, seen: bool) -> None:
    lab.config["jobs"]["job"]["windows"] = {"allow": closed()}
    rename()
    for _ in range(2 if seen else 0):
        assert lab.run("sync").code == 0
    done = roll(lab, "A")
    assert (done.code, lab.site.values()) == (0, {"A": "one"}), done.out + done.err
    assert lab.statuses() == {"A": "rolled_back"}
    writes = lab.writes()
    assert lab.run("sync").code == 0 and lab.writes() == writes
    ended = lab.run("rollback", "A", "--end", "--reason", "two is good")
    assert (ended.code, lab.site.values()) == (0, {"A": "two"}), ended.out + ended.err
    assert lab.statuses() == {"A": "synced"}


def test_what_could_not_go_at_once_goes_in_the_next_cycle(lab: Lab, rename: Rename) -> None:
    """The command says that the next cycle sends it, and so it does, though the window is shut."""
    assert lab.run("pause", "job", "--reason", "x").code == 0
    assert roll(lab, "A").code == 6
    assert lab.run("resume", "job").code == 0
    lab.config["jobs"]["job"]["windows"] = {"allow": closed()}
    rename()
    lab.let_pass(timedelta(minutes=10))
    lab.run("sync")
    assert lab.site.values() == {"A": "one"} and lab.statuses() == {"A": "rolled_back"}


def test_a_rule_that_holds_knows_what_the_site_had_under_its_former_name(lab: Lab, rename: Rename) -> None:
    lab.config["rules"] = [{"id": "two-people", "job": "job", "then": "hold"}]
    rename()
    done = roll(lab, "A")
    assert (done.code, lab.site.values()) == (0, {"A": "one"}), done.out + done.err
