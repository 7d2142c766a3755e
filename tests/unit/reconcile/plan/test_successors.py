"""What follows a secret that is to leave its name, and when that is at Wix."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import Pending, Record, RemoteSecret, SecretRef
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
V1, V2, V3 = (f"kv2:{number}@2026-06-0{number}T00:00:00Z" for number in (1, 2, 3))


def record(name: str, ref: SecretRef = A, **more: Any) -> Record:
    given = {"remote_id": f"id-{name}", "version": V1, "pinned_at": T} | more
    return Record(site="s", name=name, target="shop", job="one", ref=ref, **given)


def wish(name: str, ref: SecretRef = A, pin: str = "", form: str = "", secret: Any = HERE, version: str = V1) -> Wish:
    return Wish("one", name, ref, pin, f"{version}~{form}" if form else version, secret)


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
    rows = [record(one.name, one.ref, pin=one.pin, version=one.version) for one in wishes if one.name in settled]
    said = why(record("X", old), wishes, *rows)
    assert said == (f"its path's name {waits_for} is not settled yet" if waits_for else "")


@pytest.mark.parametrize(
    "change",
    [
        {"remote_id": None}, {"pending": Pending.UPDATE}, {"unverified": True}, {"theirs": True}, {"ref": B},
        {"ref": part("z")}, {"pin": "3"}, {"version": f"{V1}~{FORM}"},
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


AWS, LATER = "aws:11111111", "aws:22222222"


@pytest.mark.parametrize(
    ("goes", "holds", "wanted", "is_as_new"),
    [
        # the same version as what goes, in whatever form, or what is wanted now
        (V1, V1, V2, True), (f"{V1}~{FORM}", V1, V2, True), (V2, V3, V3, True), (AWS, LATER, LATER, True), (AWS, AWS, LATER, True),
        # Vault counts: a later one; an older one is not, whenever it was written
        (V1, V2, V3, True), (V2, V1, V3, False), (V2, V1, V2, False), (V2, V2.replace("kv2:2", "kv2:1"), V3, False),
        # AWS's ids have no order, and numbers of a secret that was made anew tell nothing
        (AWS, LATER, "aws:33333333", False), (V1.replace("06", "07"), V2, V3, False), ("kv1:abc", "kv1:def", "kv1:def", True),
        ("kv1:abc", "kv1:def", "kv1:ghi", False), ("", V1, V2, False),
    ],
)  # fmt: skip
def test_what_follows_holds_no_older_version(goes: str, holds: str, wanted: str, is_as_new: bool) -> None:
    old = record("X", version=goes)
    said = why(old, [wish("Y", version=wanted)], record("Y", version=holds))
    assert (said == "") is is_as_new


EARLIER = T - timedelta(hours=1)


@pytest.mark.parametrize(
    ("kind", "goes", "holds", "is_as_new"),
    [
        # AWS: by the dates of the versions; one that was taken back has none
        ("aws", {"source_updated_at": EARLIER}, {"source_updated_at": T}, True),
        ("aws", {"source_updated_at": T}, {"source_updated_at": EARLIER}, False),
        ("aws", {"source_updated_at": T}, {"source_updated_at": T}, False),
        ("aws", {"source_updated_at": EARLIER}, {"source_updated_at": None, "last_synced_at": T}, False),
        ("aws", {"source_updated_at": None}, {"source_updated_at": T}, False),
        # KV v1: by when a value was sent, and not by when anything was written
        ("kv1", {"last_synced_at": EARLIER}, {"verified_at": T}, True),
        ("kv1", {"last_synced_at": T}, {"verified_at": EARLIER}, False),
        ("kv1", {"last_synced_at": EARLIER}, {"verified_at": None, "last_synced_at": T}, False),
    ],
)
def test_a_version_without_a_number(kind: str, goes: dict[str, Any], holds: dict[str, Any], is_as_new: bool) -> None:
    """Its job runs more rarely than the secret rotates: it has neither what goes nor what is wanted this minute."""
    old = record("X", version=f"{kind}:one", **goes)
    said = why(old, [wish("Y", version=f"{kind}:three")], record("Y", version=f"{kind}:two", **holds))
    assert (said == "") is is_as_new


def test_what_a_person_took_back_is_that_very_version() -> None:
    """A later one that the site holds still is what was taken back."""
    back = replace(wish("Y", version=V1), rolled_back=True)
    assert "Y" in why(record("X", version=V1), [back], record("Y", version=V2))
    assert why(record("X", version=V1), [back], record("Y", version=V1)) == ""


def test_a_name_that_stays_with_its_secret_waits_for_the_same_content_alone() -> None:
    assert why(record("X"), [wish("P", part("p"))], same_content=True) == ""
    assert "Y" in why(record("X"), [wish("P", part("p")), wish("Y")], same_content=True)


def test_what_had_the_same_all_along_takes_nothing_over() -> None:
    """Whatever became of it since: somebody changed it, it is behind, it waits."""
    row = record("Y", theirs=True, version=V2)
    assert why(record("X"), [wish("Y")], row, same_content=True) == ""
    assert "Y" in why(record("X"), [wish("Y")], row)


@pytest.mark.parametrize(
    ("failed", "wishes", "is_missing"),
    [
        (A, [], True), (part(None), [], True), (part(None), [wish("NEW")], False), (A, [wish("NEW")], False),
        (part(None), [wish("NEW", pin="3")], True), (part(None), [wish("OLD")], True),
        (B, [], False), (ELSEWHERE, [], True), (replace(A, source="new", path="x"), [], False), (replace(A, source="new"), [], True),
    ],
)  # fmt: skip
def test_what_failed_may_be_the_new_name(failed: SecretRef, wishes: list[Wish], is_missing: bool) -> None:
    old = record("OLD")
    claims = NameClaims(job="one", jobs={}, mounts=MOUNTS, profile="api", records={"OLD": old})
    # What failed beside it, of a place that is known, tells nothing of it.
    unmade = [(claims.secret_of(ref), ref.path) for ref in (failed, B)]
    assert bool(Successors(claims, (), wishes, unmade).why_it_cannot_be_made(old)) is is_missing
