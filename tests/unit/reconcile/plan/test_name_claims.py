"""Under which name a source is asked about a record: its own, its job's, or what the place is called now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.domain import Record, SecretRef
from syncd.reconcile.plan.name_claims import NameClaims
from tests.unit.reconcile.plan.test_handover import job, record

PLACE, OTHER = {"secret/": "uuid-1"}, {"secret/": "uuid-2"}
REF = SecretRef(source="old", path="secret/a", field="k")


def claims(mounts: dict[str, dict[str, str]], *sources: str, reads: str = "new") -> NameClaims:
    one = replace(job("one", "secret/*"), source=reads)
    return NameClaims(
        job="one", jobs={"one": one}, mounts=mounts, profile="api", records={}, sources=frozenset(sources)
    )


def asked(of: NameClaims, kept: Record) -> str:
    return of.where_it_is(kept).source


@pytest.mark.parametrize(
    ("mounts", "sources", "source"),
    [
        ({"old": PLACE, "new": PLACE}, ("new",), "new"),  # renamed, and its job reads the new name
        ({"old": PLACE, "new": PLACE}, ("old", "new"), "new"),  # two entries for one place
        ({"old": OTHER, "new": PLACE}, ("old", "new"), "old"),  # another place, which is there still
        ({"old": OTHER, "new": PLACE}, ("new",), "old"),  # another place, and nobody has it: nothing is told by the new
        ({"new": PLACE}, ("new",), "new"),  # never learnt, and its name is gone: its job tells
        ({"new": PLACE}, ("old", "new"), "old"),  # never learnt, and its name is there
        ({}, (), "old"),
    ],
)
def test_where_a_record_is_asked_about(
    mounts: dict[str, dict[str, str]], sources: tuple[str, ...], source: str
) -> None:
    assert asked(claims(mounts, *sources), record("a", REF)) == source


def test_a_record_of_a_job_that_is_gone_is_asked_about_by_the_one_that_looks() -> None:
    assert asked(claims({"new": PLACE}, "new"), record("a", REF, job="gone")) == "new"


@pytest.mark.parametrize(
    ("asked_for", "has", "claimed"),
    [
        ((), None, True),
        ((("sync", "wix"),), None, True),  # nobody knows: the pattern is enough
        ((("sync", "wix"),), frozenset({("sync", "wix")}), True),
        ((("sync", "wix"),), frozenset({("sync", "wix"), ("team", "a")}), True),
        ((("sync", "wix"),), frozenset(), False),
        ((("sync", "wix"),), frozenset({("sync", "no")}), False),
        ((), frozenset({("team", "a")}), True),
    ],
)
def test_what_a_secrets_tags_select_is_claimed(
    asked_for: tuple[tuple[str, str], ...], has: frozenset[tuple[str, str]] | None, claimed: bool
) -> None:
    one = job("one", "secret/*", tags=asked_for)
    of = NameClaims(
        job="two", jobs={"one": one}, mounts={"vault": PLACE}, profile="api", records={}, sources=frozenset({"vault"})
    )
    kept = record("a", SecretRef(source="vault", path="secret/a", field="k"))
    assert bool(of.names_given(one, kept, has)) is claimed
