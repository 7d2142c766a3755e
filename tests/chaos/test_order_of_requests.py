"""Sentences of the design that no other case holds: each fails when its sentence is broken (see mutants.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.domain import ReadFailure
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger
from syncd.sources.vault import VaultSource
from tests.chaos.arena import Arena
from tests.chaos.peers import Answer, peer
from tests.lab import Lab


def writes_to(lab: Lab, method: str, status: int | None = None) -> int:
    return sum(one.method == method and status in {None, one.status} for one in lab.wix.seen)


def restores(lab: Lab) -> int:
    ledger = Ledger(sqlite_engine(lab.state), "lab", lab.state)
    told = sum(len(record.restores) for record in ledger.records())
    ledger.close()
    return told


def test_a_creation_whose_answer_was_lost_is_not_sent_again_in_its_cycle(arena: Arena) -> None:
    """The site does not list it yet, and sending it again would give 409 and an id that nobody knows."""
    arena.reset()
    assert arena.lab.settle().code == 0
    arena._put("u00")
    arena.creations += 1
    arena.lab.site.options.hide = lambda one: one.name == "u00"
    arena.lab.wix.seen.clear()
    arena.lab.wix.fault("reset_after", "POST", times=1)
    done = arena.lab.run("sync")
    assert done.code == 5 and writes_to(arena.lab, "POST") == 1
    assert "the site does not list the secret yet" in done.out
    arena.lab.site.options.hide = lambda _one: False
    assert arena.judge(done).clean


def test_a_taken_name_that_the_listing_does_not_show_ends_that_secrets_cycle(arena: Arena) -> None:
    arena.reset()
    taken = arena.lab.site.create({"name": "t00", "value": "theirs"})
    arena.lab.site.options.hide = lambda one: one.id == taken["id"]
    assert arena.lab.run("sync").code == 1
    assert writes_to(arena.lab, "POST", 409) == 1
    assert arena.lab.site.secrets[str(taken["id"])].value == "theirs"


def test_what_the_listing_goes_on_lacking_is_written_to_once_an_hour(arena: Arena) -> None:
    arena.reset()
    assert arena.lab.settle().code == 0
    arena.lab.site.options.hide = lambda one: one.name == "s13"
    counts = []
    for _ in range(3):
        arena.lab.wix.seen.clear()
        arena.lab.run("sync")
        counts.append(writes_to(arena.lab, "PATCH"))
    assert counts == [1, 0, 0] and writes_to(arena.lab, "POST") == 0
    arena.lab.rewrite(
        lambda record: replace(
            record, unlisted_tried_at=record.unlisted_tried_at and record.unlisted_tried_at - timedelta(hours=2)
        )
    )
    arena.lab.wix.seen.clear()
    arena.lab.run("sync")
    assert writes_to(arena.lab, "PATCH") == 1


def test_a_late_write_of_our_own_is_no_drift(arena: Arena) -> None:
    """Writing an unverified secret again, or one that a lost write may have changed late, is no restore."""
    arena.reset()
    arena.lab.wix.fault("late", "PATCH", times=7 * 4)
    arena.lab.run("sync")
    arena.lab.wix.faults.clear()
    arena._put("s00")
    assert arena.lab.settle().code == 0
    arena.lab.rewrite(
        lambda record: replace(record, window=None, pinned_at=record.last_synced_at) if record.name == "s00" else record
    )
    arena.lab.wix.commit_late()
    assert arena.lab.settle().code == 0
    assert arena.lab.site.values() == arena.wanted and restores(arena.lab) == 0


def test_a_listing_that_lacks_a_path_is_asked_about_it_before_the_deletion(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that it is complete, and it is wrong."""
    arena.reset()
    honest = VaultSource.snapshot

    def lacking(self: VaultSource, rule):  # type: ignore[no-untyped-def]
        told = honest(self, rule)
        return replace(told, entries=tuple(one for one in told.entries if not one.ref.path.endswith("/s12")))

    monkeypatch.setattr(VaultSource, "snapshot", lacking)
    for _ in range(3):
        said = arena.lab.run("sync")
        assert "s12" in arena.lab.ids()
    assert "a direct look still finds it" in said.out
    assert "s08" not in arena.lab.ids(), "what is really gone went"
    monkeypatch.undo()
    assert arena.judge().clean


@pytest.mark.parametrize("change", [{"description": "by hand"}, {"name": "BY_HAND"}])
def test_what_was_changed_at_wix_is_not_deleted(arena: Arena, change: dict[str, object]) -> None:
    arena.reset()
    arena.lab.site.options.dates = False  # the date does not tell
    arena.lab.rewrite(lambda record: replace(record, window=None, pinned_at=None))
    one = arena.lab.site.by_name("s08")
    assert one
    arena.lab.site.update(one.id, change)
    for _ in range(3):
        said = arena.lab.run("sync")
    assert one.id in arena.lab.site.secrets and "not deleted" in said.out
    assert arena.lab.site.by_name("s09") is None


@pytest.mark.parametrize("change", ["rotated", "removed"])
def test_a_proxys_404_is_not_wixs(arena: Arena, change: str) -> None:
    """Only Wix says that a secret is gone: else it would be created anew, or forgotten while it is there."""
    arena.reset()
    assert arena.lab.settle().code == 0
    if change == "rotated":
        arena._put("s13")
    else:
        arena.bao.remove("app/s13")
    ids, listing = arena.lab.ids(), arena.lab.site.listing()
    url = arena.lab.config["targets"]["shop"]["base_url"]
    with peer(lambda method, *_: Answer(listing) if method == "GET" else Answer({"message": "no route"}, 404)) as proxy:
        arena.lab.config["targets"]["shop"]["base_url"] = proxy.url
        done = arena.lab.run("sync")
    assert done.code == 5 and "no secrets vault at this address" in done.out + done.err
    assert sum(method in {"PATCH", "DELETE", "POST"} for method, *_ in proxy.asked) == 1
    assert arena.lab.ledger() == ids
    arena.lab.config["targets"]["shop"]["base_url"] = url
    if change == "removed":
        del arena.wanted["s13"]
    assert arena.judge(done).clean


def test_rotations_are_planned_first_then_creations_then_deletions(arena: Arena) -> None:
    arena.reset()
    (plan,) = arena.lab.run("plan", "--json").json["plans"]
    kinds = [one["action"] for one in plan["actions"]]
    assert kinds == ["update"] * 7 + ["create"] * 8 + ["delete"] * 5


def test_a_deletion_has_a_listing_made_for_it(arena: Arena) -> None:
    arena.reset()
    assert arena.lab.settle().code == 0
    arena.bao.remove("app/s13")
    del arena.wanted["s13"]
    arena.lab.wix.seen.clear()
    assert arena.lab.run("sync").code == 0
    assert [one.method for one in arena.lab.wix.seen][:3] == ["GET", "GET", "DELETE"]


def test_a_restore_whose_answer_was_lost_is_written_again_and_counts_once(arena: Arena) -> None:
    """An edit by hand after our date was pinned is drift; our lost answer to it is not another."""
    arena.reset()
    assert arena.lab.settle().code == 0 and arena.lab.run("sync").code == 0
    one = arena.lab.site.by_name("s13")
    assert one
    arena.lab.site.update(one.id, {"value": "by hand"})
    arena.lab.wix.fault("reset_before", "PATCH", times=4)
    arena.lab.site.options.may_read = False
    assert arena.lab.run("sync").code == 5
    hours = timedelta(hours=2)
    arena.lab.rewrite(
        lambda record: replace(
            record, lost_writes=tuple(lost._replace(at=lost.at - hours) for lost in record.lost_writes)
        )
    )
    assert arena.lab.run("sync").code == 0
    assert arena.lab.site.values() == arena.wanted and restores(arena.lab) == 0
    assert arena.lab.run("sync").code == 0
    arena.lab.site.update(one.id, {"value": "by hand again"})
    assert arena.lab.run("sync").code == 0
    assert arena.lab.site.values() == arena.wanted and restores(arena.lab) == 1


def test_a_partial_listing_starts_no_tombstone(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    arena.reset()
    assert arena.lab.settle().code == 0
    arena.lab.config["jobs"]["job"]["deletion_grace"] = "1h"
    honest = VaultSource.snapshot

    def partial(self: VaultSource, rule):  # type: ignore[no-untyped-def]
        told = honest(self, rule)
        failure = ReadFailure(location="folder/", message="denied")
        return replace(told, entries=told.entries[:3], failures=(failure,), complete=False)

    monkeypatch.setattr(VaultSource, "snapshot", partial)
    assert arena.lab.run("sync").code == 4
    assert not [row for row in arena.lab.run("state", "export").json["records"] if row["absent_at"]]


def test_a_name_that_another_jobs_rule_gives_is_not_deleted(arena: Arena) -> None:
    """The path left its job's rule and is gone as well; the job whose rule takes it may not know yet."""
    arena.reset()
    assert arena.lab.settle().code == 0
    jobs, mount = arena.lab.config["jobs"], arena.bao.mount
    jobs["other"] = {**jobs["job"], "secrets": [{"path": f"{mount}/app/s13", "field": "v", "name": "s13"}]}
    jobs["job"]["secrets"][0]["exclude"] = [f"{mount}/app/s13"]
    arena.bao.remove("app/s13")
    for _ in range(3):
        said = arena.lab.run("sync", "job")
    assert "s13" in arena.lab.ids() and "another job's rule gives it this name" in said.out


def test_nothing_is_deleted_while_another_job_cannot_tell_what_it_wants(arena: Arena) -> None:
    """Its source is down, and one of its secrets may have the name."""
    arena.reset()
    assert arena.lab.settle().code == 0
    lab, mount = arena.lab, arena.bao.mount
    lab.vault(arena.bao, "other")
    address = lab.config["sources"]["other"]["address"]
    lab.config["sources"]["other"]["address"] = "http://127.0.0.1:1"
    lab.job("other", "other", {"path": f"{mount}/elsewhere/*", "name": "{path}", "field": "v"})
    lab.config["jobs"]["job"]["secrets"][0]["exclude"] = [f"{mount}/app/s13"]
    for _ in range(3):
        said = lab.run("sync", "job")
    assert "s13" in lab.ids() and "may want the name" in said.out
    lab.config["sources"]["other"]["address"] = address
    assert lab.run("sync", "job").code == 0
    assert "s13" not in lab.ids()


def test_a_taken_back_secret_is_written_again(arena: Arena) -> None:
    """What it holds is not known: somebody may have changed it while there was no ledger."""
    arena.reset()
    assert arena.lab.settle().code == 0
    one = arena.lab.site.by_name("s13")
    assert one
    for path in arena.lab.state.parent.glob("state.db*"):
        path.unlink()
    arena.lab.site.update(one.id, {"value": "by hand"})
    assert arena.lab.settle().code == 0
    assert arena.lab.site.values() == arena.wanted and arena.lab.ids()["s13"] == one.id


def test_the_rest_is_left_when_a_site_does_not_answer(arena: Arena) -> None:
    """Three failures in a row that are the site's: nothing more is sent in this cycle."""
    arena.reset()
    arena.lab.wix.fault("403", "PATCH", times=100)
    arena.lab.wix.fault("403", "POST", times=100)
    done = arena.lab.run("sync")
    assert done.code == 5 and writes_to(arena.lab, "POST") <= 4, "but for what was on its way"
    arena.lab.wix.faults.clear()
    assert arena.judge(done).clean
