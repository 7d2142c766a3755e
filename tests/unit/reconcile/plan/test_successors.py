"""What follows a secret that is to leave its name, and when that is at Wix."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import Finding, FindingKind, Pending, Record, RemoteSecret, SecretRef
from syncd.domain.value_templates import form_of
from syncd.reconcile.plan.name_claims import NameClaims
from syncd.reconcile.plan.successors import Successors, Wish

A = SecretRef(source="vault", path="secret/a", field="k")
B = SecretRef(source="vault", path="secret/b", field="k")
ELSEWHERE = SecretRef(source="second", path="team/a", field="k")
"""The same secret as A, through another entry."""
HERE, THERE = ("uuid", "a"), ("other", "a")
MOUNTS = {"vault": {"secret/": "uuid"}, "second": {"team/": "uuid"}, "new": {}}
T = datetime(2026, 6, 1, tzinfo=UTC)
FORM = form_of("user:{k}")


def record(name: str, ref: SecretRef = A, **more: Any) -> Record:
    given = {"remote_id": f"id-{name}", "version": "1", "last_synced_at": T, "pinned_at": T} | more
    return Record(site="s", name=name, target="shop", job="one", ref=ref, **given)


def wish(name: str, ref: SecretRef = A, pin: str = "", form: str = "", secret: Any = HERE) -> Wish:
    return Wish(name, ref, pin, form, secret)


def listed(row: Record, **more: Any) -> RemoteSecret:
    return replace(RemoteSecret(id=str(row.remote_id), name=row.name, updated_at=row.pinned_at), **more)


def why(old: Record, wishes: list[Wish], *rows: Record, remote: Any = None, **more: Any) -> str:
    claims = NameClaims(
        job="one", jobs={}, mounts=MOUNTS, profile="api", records={row.name: row for row in (old, *rows)}
    )
    shown = [listed(row) for row in rows] if remote is None else remote
    return Successors(claims, shown, wishes).why_it_stays(old, **more)


def part(field: str | None) -> SecretRef:
    return replace(A, field=field)


@pytest.mark.parametrize(
    ("old", "wishes", "settled", "waits_for"),
    [
        # another form follows where none gets the same: a field, all fields, the whole, a template
        (part(None), [wish("Y", part("p"))], (), "Y"),
        (part(None), [wish("Y", part("p"))], ("Y",), ""),
        (part(None), [wish("U", part("u")), wish("P", part("p"))], ("U",), "P"),
        (A, [wish("Y", part(None))], (), "Y"),
        (part(None), [wish("T", part(None), form=FORM)], (), "T"),
        # where any job gets the same, that follows, and nothing else
        (A, [wish("Y"), wish("P", part("p"))], ("Y",), ""),
        (A, [wish("Y"), wish("P", part("p"))], ("P",), "Y"),
        (A, [wish("NEW"), wish("INV", part(None))], ("NEW",), ""),
        (part(None), [wish("J", part(None)), wish("T", part(None), form=FORM)], ("J",), ""),
        (part(None), [wish("Y", part("p")), wish("T", part(None), form=FORM)], ("T",), "Y"),
        # all that get the same
        (A, [wish("Y"), wish("Z")], ("Y",), "Z"),
        # another pinned version is something else
        (A, [wish("Y", pin="3")], (), "Y"),
        # by another spelling, or through another entry
        (A, [wish("Y", ELSEWHERE)], (), "Y"),
        (A, [wish("Y", ELSEWHERE)], ("Y",), ""),
        (A, [wish("Y", replace(A, source="new"), secret=None)], (), "Y"),
        # of another place, or another path, it is another secret
        (A, [wish("Y", replace(A, source="new"), secret=THERE)], (), ""),
        (A, [wish("Y", B, secret=("uuid", "b"))], (), ""),
        # its own name is asked elsewhere
        (A, [wish("X"), wish("x")], (), ""),
        (A, [], (), ""),
    ],
)
def test_what_follows(old: SecretRef, wishes: list[Wish], settled: tuple[str, ...], waits_for: str) -> None:
    rows = [
        record(one.name, one.ref, pin=one.pin, version=f"1~{one.form}" if one.form else "1")
        for one in wishes
        if one.name in settled
    ]
    said = why(record("X", old), wishes, *rows)
    assert said == (f"its path's name {waits_for} is not settled yet" if waits_for else "")


@pytest.mark.parametrize(
    "change",
    [
        {"remote_id": None}, {"pending": Pending.UPDATE}, {"unverified": True}, {"theirs": True}, {"ref": B},
        {"ref": part("z")}, {"pin": "3"}, {"version": f"1~{FORM}"},
        # at another version that it did not get after the one that is to go
        {"version": "0", "last_synced_at": T - timedelta(days=1)}, {"version": "0", "last_synced_at": None},
    ],
)  # fmt: skip
def test_a_row_that_does_not_hold_it_is_waited_for(change: dict[str, Any]) -> None:
    row = replace(record("Y"), **change)
    assert "Y" in why(record("X"), [wish("Y")], row, remote=[listed(record("Y"))])


@pytest.mark.parametrize(
    "remote",
    [
        [], [listed(record("Y"), id="another")], [listed(record("Y"), name="renamed")],
        [listed(record("Y"), updated_at=T + timedelta(hours=1))], [listed(record("Y"), updated_at=T - timedelta(hours=1))],
    ],
)  # fmt: skip
def test_what_the_listing_does_not_show_as_we_left_it_is_waited_for(remote: list[RemoteSecret]) -> None:
    assert "Y" in why(record("X"), [wish("Y")], record("Y"), remote=remote)


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_version_that_came_later_is_as_new(version: str) -> None:
    row = record("Y", version=version, last_synced_at=T + timedelta(minutes=1))
    assert why(record("X"), [wish("Y")], row) == ""


def test_a_name_that_stays_with_its_secret_waits_for_the_same_content_alone() -> None:
    assert why(record("X"), [wish("P", part("p"))], same_content=True) == ""
    assert "Y" in why(record("X"), [wish("P", part("p")), wish("Y")], same_content=True)


@pytest.mark.parametrize(
    ("failed", "wishes", "is_missing"),
    [
        (A, [], True), (part(None), [], True), (part(None), [wish("NEW")], False), (A, [wish("NEW")], True),
        (B, [], False), (ELSEWHERE, [], True), (replace(A, source="new", path="x"), [], False),
    ],
)  # fmt: skip
def test_what_failed_may_be_the_new_name(failed: SecretRef, wishes: list[Wish], is_missing: bool) -> None:
    old = record("OLD")
    claims = NameClaims(job="one", jobs={}, mounts=MOUNTS, profile="api", records={"OLD": old})
    finding = Finding(kind=FindingKind.FAILED, name="x", ref=failed)
    assert bool(Successors(claims, (), wishes).why_it_cannot_be_made(old, [finding])) is is_missing
