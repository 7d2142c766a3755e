"""A version that cannot be read yet, while something else is true of its name as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from tests.chaos.peers import Answer
from tests.lab import Bao, Lab
from tests.support.fronts import job_behind
from tests.support.lagging import Reads
from tests.support.wix_people import changed_by_hand

DENIED = Answer({"errors": ["1 error occurred:\n\t* permission denied\n\n"]}, 403)


@pytest.fixture
def reads(lab: Lab, bao: Bao) -> Iterator[Reads]:
    made = Reads(bao)
    with job_behind(lab, bao, made):
        bao.put("app/x", v="one")
        assert lab.run("sync").code == 0
        yield made


def makes(lab: Lab, bao: Bao, state: str) -> str:
    """The name gets into this state by its second version. Returns: what the cycle says in short."""
    if state in {"held", "denied"}:
        lab.config["rules"] = [
            {"id": "r", "name": "x", "then": state.replace("denied", "deny").replace("held", "hold")}
        ]
    if state == "frozen":
        assert lab.run("state", "freeze", "x", "--until", "9h", "--reason", "r").code == 0
    bao.put("app/x", v="z" * 4000 if state == "quarantined" else "two")
    lab.run("sync")
    told = lab.run("sync")
    # What a rule keeps from a site that has an older version is behind there.
    assert lab.statuses()["x"] == {"denied": "behind"}.get(state, state), told.out
    return told.out.splitlines()[0]


def problems(lab: Lab) -> dict[str, tuple[str, str, str]]:
    with App(load(lab.config_file)) as app:
        return {item.subject: (item.kind, item.message, item.hint) for item in app.ledger.all_problems()}


@pytest.mark.sweep
@pytest.mark.parametrize("state", ["held", "denied", "frozen", "quarantined"])
def test_what_has_an_earlier_status_keeps_it(lab: Lab, bao: Bao, reads: Reads, state: str) -> None:
    said, statuses = makes(lab, bao, state), lab.statuses()
    before = problems(lab)
    reads.remember("app/x")
    bao.put("app/x", v="three")
    reads.lags = True
    for _ in range(2):
        told = lab.run("sync")
        assert lab.statuses() == statuses and told.out.splitlines()[0] == said, told.out
    assert problems(lab) == before, "each with its own way out"


@pytest.mark.sweep
@pytest.mark.parametrize("why", ["lags", "denied", "not there"])
@pytest.mark.parametrize("is_newer", [False, True])
def test_a_change_by_hand_that_cannot_be_put_back_is_told(
    lab: Lab, bao: Bao, reads: Reads, why: str, *, is_newer: bool
) -> None:
    """The value that would be put back cannot be read: nobody takes what stands there for the secret."""
    path = f"{bao.mount}/app/x"
    bao.put("app/x", v="two")
    assert lab.run("sync").code == 0
    if why != "not there":
        reads.remember("app/x")
    if why == "denied":
        reads.then = dict.fromkeys(reads.then, DENIED)
    if is_newer:
        bao.put("app/x", v="three")
    changed_by_hand(lab, "x")
    reads.lags = True
    for _ in range(2):
        told = lab.run("sync")
        is_lag = why == "lags" and not is_newer
        assert lab.site.values() == ({"x": "two"} if is_lag else {"x": "HAND-MADE"}), told.out
    if is_lag:
        return  # the value that is listed can be read, and is put back
    assert lab.statuses() == {"x": "behind"} and "changed at Wix by somebody else" in told.out, told.out
    assert "the site holds the one before" not in told.out
    assert lab.run("where", path, "--version", "2").code == 1
    found = [line["event"] for line in lab.run("audit", "show", "--json").json if line["event"] == "drift.found"]
    assert len(found) == 1, "once"
    reads.lags = False
    assert lab.run("sync").code == 0 and lab.site.values() == {"x": "three" if is_newer else "two"}
    assert lab.run("where", path).code == 0


def test_a_second_claim_to_a_name_makes_nothing_untrue_of_the_first(lab: Lab, bao: Bao, reads: Reads) -> None:
    lab.config["jobs"]["job"]["secrets"].append({"path": f"{bao.mount}/app/y", "field": "v", "name": "x"})
    bao.put("app/y", v="y")
    bao.put("app/x", v="two")
    for _ in range(2):
        told = lab.run("sync")
        assert told.code == 1 and "fall on one name" in told.out
        assert lab.site.values()["x"] == "two" and lab.statuses()["x"] == "synced"
        assert lab.run("where", f"{bao.mount}/app/x").code == 0 and lab.run("where", f"{bao.mount}/app/y").code == 1
    reads.remember("app/x")
    reads.remember("app/y")
    bao.put("app/x", v="three")
    reads.lags = True
    lab.run("sync")
    assert lab.statuses()["x"] == "behind" and lab.run("where", f"{bao.mount}/app/x").code == 1
