"""Which rule may call a secret otherwise by now, by what jobs showed and by what a direct look tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from syncd.domain import Existence, Glob, PathCheck, Record, Rule, SecretRef
from syncd.domain.job import Job, Limit, Limits, Policies
from syncd.reconcile.plan.name_claims import Listed, NameClaims
from syncd.reconcile.plan.unlisted_rules import Known, why_unlisted

OURS, THEIRS = "aws 111 eu", "aws 222 eu"
HELD = Record(site="s", name="x", target="shop", job="gone", ref=SecretRef(source="aws", path="p/x"), remote_id="id")


@dataclass
class Looks:
    """Direct looks: by source and pin, what it answers; None: it cannot tell."""

    answers: dict[tuple[str, str], PathCheck | None]
    rolled_back: bool = False
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def check(self, record: Record) -> tuple[PathCheck | None, str]:
        self.asked.append((record.ref.source, record.ref.path, record.pin))
        return self.answers.get((record.ref.source, record.pin)), "it does not answer"

    def is_rolled_back(self, record: Record) -> bool:
        return self.rolled_back and not record.pin


def found(mount_id: str = OURS, *tags: tuple[str, str]) -> PathCheck:
    return PathCheck(existence=Existence.THERE, mount="", mount_id=mount_id, tags=frozenset(tags))


GONE = PathCheck(existence=Existence.GONE)
NOTHING = Listed()


def why(looks: Looks, seen: Listed = NOTHING, source: str = "aws", **more: Any) -> str:
    """Of one job with one glob, which showed `seen`."""
    kept = {key: more.pop(key) for key in ("of_other_pins",) if key in more}
    rule = Rule(index=0, source=source, path=Glob("p/*"), field="k", name="N_{basename}", **more)
    job = Job(
        name="job", source=source, targets=("shop",), rules=(rule,), policies=Policies(job="job"),
        limits=Limits(max_deletes=Limit(number=1)),
    )  # fmt: skip
    claims = NameClaims(
        job="job", jobs={"job": job}, mounts={"aws": {"account": OURS}}, sources=frozenset({"aws", "stage"}),
        profile="api", records={"x": HELD},
    )  # fmt: skip
    return why_unlisted(HELD, Known(claims, {"job": seen}, looks), **kept)  # type: ignore[arg-type]


def test_what_is_there_or_cannot_be_told_keeps_its_name() -> None:
    assert "which is there" in why(Looks({("aws", ""): found()}))
    assert "does not answer" in why(Looks({}))
    assert why(Looks({("aws", ""): GONE})) == ""


def test_what_the_rule_showed_is_not_looked_at() -> None:
    looks = Looks({})
    assert why(looks, Listed(known_by_rule={0: frozenset({"p/x"})})) == "" and not looks.asked


def test_a_rule_looks_at_the_version_that_it_pins() -> None:
    """That the newest version is deleted says nothing of another one."""
    looks = Looks({("aws", ""): GONE, ("aws", "1"): found()})
    assert "which is there" in why(looks, pin="1")
    assert "which is there" in why(looks, pin="1", of_other_pins=True)
    assert why(Looks({("aws", ""): found()}), of_other_pins=True) == "", "its own version is gone, as is known"


@pytest.mark.parametrize("rolled_back", [False, True])
def test_what_has_none_of_the_rules_tags_is_none_of_the_rules(rolled_back: bool) -> None:
    tags = {"tags": (("team", "x"),)}
    assert why(Looks({("aws", ""): found()}, rolled_back), **tags) == "", "another job's rule makes nothing of it"
    assert why(Looks({("aws", ""): found(OURS, ("team", "x"))}, rolled_back), **tags) != ""


def test_what_is_rolled_back_keeps_its_name_though_its_newest_version_is_gone() -> None:
    assert "rolled back" in why(Looks({("aws", ""): GONE}, rolled_back=True))


@pytest.mark.parametrize(
    ("there", "keeps"),
    [(GONE, False), (found(THEIRS), False), (found(OURS), True), (found(""), True), (None, True)],
    ids=["nothing", "another account", "the same account", "nobody knows which", "no answer"],
)
def test_a_source_of_which_nobody_knows_where_it_leads_is_asked_itself(there: PathCheck | None, keeps: bool) -> None:
    """Its account may be another one, which is empty or has the same path: that one is no reason to wait for ever."""
    looks = Looks({("aws", ""): found(), ("stage", ""): there})
    assert bool(why(looks, source="stage")) is keeps
    assert looks.asked == [("stage", "p/x", "")]


def test_what_its_listing_tells_of_a_new_place_is_believed() -> None:
    looks = Looks({})
    assert why(looks, Listed(mounts={"account": THEIRS}), source="stage") == "" and not looks.asked


def test_a_place_that_the_ledger_knew_otherwise_is_not() -> None:
    """A mount or an account that was replaced: the last copy stays."""
    assert why(Looks({}), Listed(mounts={"account": THEIRS})) != ""
