"""What somebody else changed at Wix and `drift_policy: report` leaves is left, whatever happens around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain.write_window import LISTING_LAG
from tests.lab import Bao, Lab
from tests.support.logins import by_app
from tests.support.waiting import until
from tests.support.wix_people import changed_by_hand

pytestmark = pytest.mark.kind


@pytest.fixture(params=[True, False], ids=["readable", "unreadable"])
def reported(request: pytest.FixtureRequest, lab: Lab, bao: Bao) -> Lab:
    """One of four was changed by hand, and reported."""
    four(lab, bao, drift_policy="report")
    assert lab.run("sync").code == 0
    lab.site.options.may_read = request.param
    changed_by_hand(lab, "a_v")
    assert lab.run("sync").code == 0
    return lab


def four(lab: Lab, bao: Bao, **policies: str) -> None:
    """A job with four secrets, a_v to d_v."""
    lab.vault(bao)
    for name in "abcd":
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{basename}_{field}"}, **policies)


def is_left(lab: Lab, name: str = "a_v") -> None:
    for _ in range(2):
        lab.run("sync")
        assert lab.site.values()[name] == "HAND-MADE" and lab.statuses()[name] == "behind"


@pytest.mark.sweep
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


@pytest.mark.sweep
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


def another_job(lab: Lab, bao: Bao) -> None:
    lab.config["jobs"]["second"] = lab.config["jobs"].pop("job")


def two_jobs(lab: Lab, bao: Bao) -> None:
    rules = lab.config["jobs"]["job"]["secrets"]
    rules[0] = {**rules[0], "exclude": [f"{bao.mount}/app/a"]}
    lab.job("second", "vault", {"path": f"{bao.mount}/app/a"}, drift_policy=lab.config["jobs"]["job"]["drift_policy"])


def another_login(lab: Lab, bao: Bao) -> None:
    lab.config["targets"]["shop"] = by_app(lab)


def another_ledger(lab: Lab, bao: Bao) -> None:
    file = lab.folder / "export.json"
    file.write_text(lab.run("state", "export", "--full").out)
    lab.config["state"] = {
        "path": str(lab.folder / "moved" / "state.db"),
        "fingerprint_key": {"file": str(lab.folder / "state" / "state.db.key")},
    }
    assert lab.run("state", "import", str(file)).code == 0


def another_ledger_and_source(lab: Lab, bao: Bao) -> None:
    another_ledger(lab, bao)
    lab.config["sources"]["renamed"] = lab.config["sources"].pop("vault")
    lab.config["jobs"]["job"]["source"] = "renamed"


def frozen_for_a_while(lab: Lab, bao: Bao) -> None:
    assert lab.run("state", "freeze", "a_v", "--until", "1d", "--reason", "being looked at").code == 0
    lab.run("sync")
    assert lab.run("state", "thaw", "a_v").code == 0


def another_description(lab: Lab, bao: Bao) -> None:
    lab.config["jobs"]["job"]["secrets"][0]["description"] = "another"


def another_owner(lab: Lab, bao: Bao) -> None:
    before, lab.config["owner"] = lab.config["owner"], "another"
    assert lab.run("state", "rename-owner", before, "another").code == 0


def another_case(lab: Lab, bao: Bao) -> None:
    lab.config["jobs"]["job"]["secrets"][0] |= {"name": "{basename}_V", "field": "v"}


DOORS = (
    another_job,
    two_jobs,
    another_login,
    another_ledger,
    another_ledger_and_source,
    frozen_for_a_while,
    another_description,
    another_owner,
    another_case,
)


@pytest.mark.sweep
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@pytest.mark.parametrize("policy", ["report", "restore"])
def test_it_is_known_whatever_changes_around_it(
    lab: Lab, bao: Bao, policy: str, door: Callable[[Lab, Bao], None]
) -> None:
    """Reported once, or fought over for the fourth time in a day: nothing but a new version passes the policy."""
    four(lab, bao, drift_policy=policy)
    assert lab.run("sync").code == 0
    lab.site.options.may_read = False
    for _ in range(1 if policy == "report" else 4):
        changed_by_hand(lab, "a_v")
        lab.run("sync")
    assert lab.site.values()["a_v"] == "HAND-MADE"
    door(lab, bao)
    lab.site.options.hide = lambda secret: secret.name == "a_v"
    lab.run("sync")
    lab.site.options.hide = lambda _secret: False
    lab.run("sync")
    assert lab.site.values()["a_v"] == "HAND-MADE" and lab.statuses()["a_v"] in {"behind", "contested"}
    bao.put("app/a", v="2")
    lab.run("sync")
    assert "2" in lab.site.values().values() and "HAND-MADE" not in lab.site.values().values()


@pytest.mark.sweep
@pytest.mark.parametrize("older", [timedelta(0), timedelta(days=2)], ids=["no later date", "an older date"])
@pytest.mark.parametrize("door", [another_case, another_job, another_login], ids=lambda door: door.__name__)
def test_what_a_comparison_found_is_known_like_what_a_date_tells(
    lab: Lab, bao: Bao, older: timedelta, door: Callable[[Lab, Bao], None]
) -> None:
    options = {"drift_policy": "report", "verify_every": "1s"}
    four(lab, bao, **options)
    lab.settle()
    # Until then an older date is that of a listing that lags.
    lab.rewrite(lambda row: replace(row, last_synced_at=datetime.now(UTC) - LISTING_LAG - timedelta(minutes=1)))
    stored = lab.site.secrets[lab.ids()["a_v"]]
    lab.site.secrets[stored.id] = replace(stored, value="HAND-MADE", updated=stored.updated - older)
    until(lambda: lab.run("sync") and lab.statuses()["a_v"] == "behind")
    door(lab, bao)
    for is_hidden in (True, False):
        lab.site.options.hide = lambda secret, hides=is_hidden: hides and secret.name == "a_v"
        lab.run("sync")
    assert lab.site.values()["a_v"] == "HAND-MADE" and lab.statuses()["a_v"] == "behind"


def test_what_is_known_to_be_theirs_is_not_deleted(lab: Lab, bao: Bao) -> None:
    """Its look-up by id gives it a date of ours."""
    policies = {"deletion_policy": "delete", "deletion_grace": "0s", "drift_policy": "report"}
    four(lab, bao, **policies)
    assert lab.run("sync").code == 0
    lab.site.options.may_read = False
    changed_by_hand(lab, "a_v")
    lab.run("sync")
    bao.remove("app/a")
    for is_hidden in (True, False, False):
        lab.site.options.hide = lambda secret, hides=is_hidden: hides and secret.name == "a_v"
        lab.run("sync")
    assert lab.site.values()["a_v"] == "HAND-MADE"


def test_a_moved_ledger_and_another_name_of_the_source_send_nothing(
    lab: Lab, bao: Bao, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without fingerprints the version tells that it is the same value."""
    lab.vault(bao)
    for name in "abcd":
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    another_ledger_and_source(lab, bao)
    honest, sent = lab.site.update, list[set[str]]()

    def noted(secret_id: str, changes: dict[str, object]) -> dict[str, object]:
        sent.append(set(changes))
        return honest(secret_id, changes)

    monkeypatch.setattr(lab.site, "update", noted)
    assert lab.run("sync").code == 0
    assert len(sent) == 4 and not any("value" in keys for keys in sent), "the marks alone"


@pytest.mark.sweep
@pytest.mark.parametrize("policy", ["report", "restore"])
@pytest.mark.parametrize("door", ["hidden", "another case", "renamed by hand"])
def test_another_field_of_its_path_is_no_new_value(lab: Lab, bao: Bao, door: str, policy: str) -> None:
    """A version is of a whole path: what tells a new value is the value."""
    lab.vault(bao)
    bao.put("app/p", x="1", y="1")
    for name in "bcd":
        bao.put(f"app/{name}", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{basename}_{field}"}, drift_policy=policy)
    assert lab.run("sync").code == 0
    for _ in range(1 if policy == "report" else 4):
        changed_by_hand(lab, "p_x")
        lab.run("sync")
    assert lab.site.values()["p_x"] == "HAND-MADE"
    held = lab.ids()["p_x"]
    bao.put("app/p", x="1", y="2")
    if door == "hidden":
        lab.site.options.hide = lambda secret: secret.name == "p_x"
    elif door == "another case":
        lab.config["jobs"]["job"]["secrets"] = [
            {"path": f"{bao.mount}/app/p", "field": "x", "name": "P_X"},
            {"path": f"{bao.mount}/app/p", "field": "y", "name": "p_y"},
        ]
    else:
        lab.site.update(held, {"name": "theirs"})
    for _ in range(2):
        lab.run("sync")
        lab.site.options.hide = lambda _secret: False
        assert lab.site.secrets[held].value == "HAND-MADE" and lab.site.values()["p_y"] == "2"


@pytest.mark.sweep
@pytest.mark.parametrize(("found", "may_read"), [("in a moved ledger", True), ("by an older date", False)])
@pytest.mark.parametrize("door", ["hidden", "another case", "gone", "another source"])
def test_whatever_is_told_is_known(lab: Lab, bao: Bao, door: str, found: str, may_read: bool) -> None:
    """Also what may only be somebody else's, because it cannot be read."""
    policies = {"drift_policy": "report", "deletion_policy": "delete", "deletion_grace": "0s", "verify_every": "1s"}
    four(lab, bao, **policies)
    lab.settle()
    stored = lab.site.secrets[lab.ids()["a_v"]]
    older = timedelta(days=2) if found == "by an older date" else timedelta(0)
    lab.site.secrets[stored.id] = replace(stored, value="HAND-MADE", updated=stored.updated - older)
    if found == "in a moved ledger":
        another_ledger(lab, bao)
    # Beyond the minutes in which a listing may lag behind our own write.
    lab.rewrite(lambda row: replace(row, last_synced_at=datetime.now(UTC) - timedelta(hours=1)))
    lab.site.options.may_read = may_read
    until(lambda: "drift" in lab.run("sync").out and lab.statuses()["a_v"] == "behind")
    if door == "hidden":
        lab.site.options.hide = lambda secret: secret.name == "a_v"
    elif door == "another case":
        another_case(lab, bao)
    elif door == "gone":
        bao.remove("app/a")
    else:
        lab.config["sources"]["renamed"] = lab.config["sources"].pop("vault")
        lab.config["jobs"]["job"]["source"] = "renamed"
    for _ in range(3):
        lab.run("sync")
        assert lab.site.secrets[stored.id].value == "HAND-MADE"


def test_a_fourth_change_that_comes_with_another_case_is_contested(lab: Lab, bao: Bao) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*", "name": "{basename}_{field}"})
    assert lab.run("sync").code == 0
    for _ in range(3):
        changed_by_hand(lab, "a_v")
        assert lab.run("sync").code == 0
    changed_by_hand(lab, "a_v")
    another_case(lab, bao)
    assert lab.run("sync").code == 1 and lab.site.values() == {"a_v": "HAND-MADE"}


@pytest.mark.sweep
@pytest.mark.parametrize("policy", ["report", "restore"])
def test_what_somebody_puts_right_by_hand_is_synced_again(lab: Lab, bao: Bao, policy: str) -> None:
    lab.vault(bao)
    bao.put("app/a", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, drift_policy=policy)
    assert lab.run("sync").code == 0
    for _ in range(1 if policy == "report" else 4):
        changed_by_hand(lab, "a_v")
        lab.run("sync")
    assert lab.statuses()["a_v"] in {"behind", "contested"}
    stored = lab.site.secrets[lab.ids()["a_v"]]
    lab.site.secrets[stored.id] = replace(stored, value="1", updated=stored.updated + timedelta(seconds=30))
    writes = lab.writes()
    for _ in range(2):
        assert lab.run("sync").code == 0 and lab.statuses()["a_v"] == "synced" and lab.writes() == writes
    changed_by_hand(lab, "a_v")
    lab.run("sync")
    assert lab.site.values()["a_v"] == "HAND-MADE", "and another change is another one"


@pytest.mark.sweep
@pytest.mark.parametrize("seen", ["wanted no more", "failed", "conflict"])
def test_what_a_listing_showed_is_known_though_nothing_was_judged(lab: Lab, bao: Bao, seen: str) -> None:
    lab.vault(bao)
    for name in "abcd":
        bao.put(f"app/{name}", v="1")
    rule = {"path": f"{bao.mount}/app/*", "name": "{basename}_{field}"}
    lab.job("job", "vault", rule, drift_policy="report")
    assert lab.run("sync").code == 0
    before = [dict(rule)]
    if seen == "wanted no more":
        lab.config["jobs"]["job"]["secrets"] = [{**rule, "exclude": [f"{bao.mount}/app/a"]}]
    elif seen == "failed":
        lab.config["jobs"]["job"]["secrets"] = [
            {**rule, "exclude": [f"{bao.mount}/app/a"]},
            {"path": f"{bao.mount}/app/a", "name": "a_v", "value": "{none}"},
        ]
    else:
        lab.job("second", "vault", {"path": f"{bao.mount}/app/b", "field": "v", "name": "a_v"})
    changed_by_hand(lab, "a_v")
    lab.run("sync")
    lab.config["jobs"]["job"]["secrets"] = before
    lab.config["jobs"].pop("second", None)
    lab.site.options.hide = lambda secret: secret.name == "a_v"
    lab.run("sync")
    assert lab.site.values()["a_v"] == "HAND-MADE"


@pytest.mark.sweep
@pytest.mark.parametrize(("door", "may_read"), [(another_case, True), (another_ledger_and_source, False)])
def test_a_site_put_back_is_judged_before_anything_else(
    lab: Lab, bao: Bao, door: Callable[[Lab, Bao], None], may_read: bool
) -> None:
    """Its dates tell nothing: the policy is asked before a name or a reference changes."""
    four(lab, bao, drift_policy="report")
    lab.settle()
    lab.site.options.may_read = may_read
    stored = lab.site.secrets[lab.ids()["a_v"]]
    lab.site.secrets[stored.id] = replace(stored, value="BEFORE", updated=stored.updated - timedelta(days=9))
    lab.rewrite(lambda row: replace(row, last_synced_at=datetime.now(UTC) - timedelta(hours=1)))
    door(lab, bao)
    for _ in range(2):
        lab.run("sync")
        assert lab.site.secrets[stored.id].value == "BEFORE"
