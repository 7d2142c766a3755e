"""What somebody else changed at Wix and `drift_policy: report` leaves is left, whatever happens around it."""

from __future__ import annotations

import pytest

from tests.lab import Bao, Lab
from tests.support.wix_people import changed_by_hand


@pytest.fixture(params=[True, False], ids=["readable", "unreadable"])
def reported(request: pytest.FixtureRequest, lab: Lab, bao: Bao) -> Lab:
    """One of four was changed by hand, and reported."""
    lab.vault(bao)
    for name in "abcd":
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{basename}_{field}"}, drift_policy="report")
    assert lab.run("sync").code == 0
    lab.site.options.may_read = request.param
    changed_by_hand(lab, "a_v")
    assert lab.run("sync").code == 0
    return lab


def is_left(lab: Lab, name: str = "a_v") -> None:
    for _ in range(2):
        lab.run("sync")
        assert lab.site.values()[name] == "HAND-MADE" and lab.statuses()[name] == "behind"


def test_a_listing_that_lacks_it(reported: Lab) -> None:
    reported.site.options.hide = lambda secret: secret.name == "a_v"
    is_left(reported)
    reported.site.options.hide = lambda _secret: False
    is_left(reported)
    ended = [line for line in reported.run("audit", "show", "--json").json if line["event"] == "finding.ended"]
    assert not ended, "it has not ended, whether it is listed or not"


def test_a_name_that_changes_its_case(reported: Lab) -> None:
    reported.config["jobs"]["job"]["secrets"][0]["name"] = "{basename}_V"
    reported.config["jobs"]["job"]["secrets"][0]["field"] = "v"
    is_left(reported)
    assert {"b_V", "c_V", "d_V"} <= set(reported.site.values()), "the others have their new names"


def test_a_new_version_goes_out(reported: Lab, bao: Bao) -> None:
    bao.put("app/a", v="2")
    assert reported.run("sync").code == 0 and reported.site.values()["a_v"] == "2"
    assert reported.statuses()["a_v"] == "synced"


@pytest.mark.parametrize("policy", ["report", "restore"])
def test_a_value_that_no_lost_write_carried_is_somebody_elses(lab: Lab, bao: Bao, policy: str) -> None:
    """Within the hour in which a write of ours may still come: what is read tells whose it is."""
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, drift_policy=policy)
    assert lab.run("sync").code == 0
    bao.put("app/a", v="2")
    lab.wix.fault("reset_after", "PATCH", times=10)
    lab.run("sync")
    lab.wix.faults.clear()
    assert lab.settle().code == 0 and lab.site.values()["a_v"] == "2"
    changed_by_hand(lab, "a_v")
    lab.run("sync")
    lab.run("sync")
    events = [line["event"] for line in lab.run("audit", "show", "--json").json if line["name"] == "a_v"]
    assert "drift.found" in events
    assert lab.site.values()["a_v"] == ("HAND-MADE" if policy == "report" else "2")
