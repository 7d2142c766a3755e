"""What a job that cannot be listed completely may make of a secret."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncd.domain import Glob, Record, Rule, SecretRef
from syncd.domain.job import Job, Limit, Limits, Policies
from syncd.domain.value_templates import form_of
from syncd.reconcile.plan.blind_jobs import BlindJob
from syncd.reconcile.plan.name_claims import NameClaims
from syncd.reconcile.plan.site_claims import SiteClaims

ACCOUNT = "eu-west-1:123456789012"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:p/a-AbCdEf"
ELSEWHERE = ARN.replace("eu-west-1", "us-east-1")
SECRET = (ACCOUNT, "p/a")
ME = Job(
    name="me", source="aws", targets=("t",), rules=(), policies=Policies(job="me"),
    limits=Limits(max_deletes=Limit(number=1)),
)  # fmt: skip


def rule(path: str, **more: Any) -> Rule:
    return Rule(index=0, source="aws", path=Glob(path), field=None, name="{basename}", **more)


def blind(*rules: Rule, **more: Any) -> BlindJob:
    given = {"names": frozenset(), "unknown_rules": (), "open_rules": rules} | more
    return BlindJob(job="j", cause="AWS does not answer", rules=rules, **given)


@pytest.mark.parametrize("path", ["p/a", ARN])
@pytest.mark.parametrize("rules", [(rule("p/*"),), (rule(ARN),), (rule("q/*"), rule("p/a"))])
@pytest.mark.parametrize("mounts", [{}, {"account": ACCOUNT}])
def test_a_rule_that_may_take_it_by_whatever_spelling(
    path: str, rules: tuple[Rule, ...], mounts: dict[str, str]
) -> None:
    assert blind(*rules, mounts=mounts).may_rename(path, SECRET, None)
    said = SiteClaims(names=frozenset(), blind_jobs=(blind(*rules, mounts=mounts),))
    row = Record(site="s", name="X", target="t", job="me", ref=SecretRef(source="aws", path=path))
    claims = NameClaims(
        job="me", jobs={"me": ME}, mounts={"aws": {"account": ACCOUNT}}, profile="api", records={"X": row}
    )
    assert "job j may give it another name" in said.why_it_may_follow(row, claims, None)
    assert said.why_it_may_follow(row, claims, None, ("p", "", "")) == "", "they make the whole of it"


@pytest.mark.parametrize(
    "job",
    [
        blind(rule("q/*")),
        blind(rule("p/*", exclude=(Glob("p/a"),))),
        # its source is another account, or the ARN is of another region
        blind(rule("p/*"), mounts={"account": "eu-west-1:000000000000"}),
        blind(rule(ELSEWHERE)),
        # listed, read and named: what it makes of it is known
        blind(rule("p/*"), told=frozenset({"p/a"})),
        # the rule itself was listed completely, and did not show it
        blind(rule("p/*"), rule("q/*"), open_rules=(rule("q/*"),)),
    ],
)
def test_what_it_takes_not(job: BlindJob) -> None:
    assert not job.may_rename("p/a", SECRET, None)


def test_a_path_that_could_not_be_read_is_doubtful_though_it_is_listed() -> None:
    job = blind(rule("p/*"), open_rules=(), doubtful=frozenset({"p/a"}))
    assert job.may_rename("p/a", SECRET, None) and not job.may_rename("p/b", (ACCOUNT, "p/b"), None)


@pytest.mark.parametrize(
    ("tags", "takes"), [(None, True), ({("team", "y")}, True), ({("team", "x")}, False), (set(), False)]
)
def test_its_tags_count_where_they_are_known(tags: Any, takes: bool) -> None:
    job = blind(rule("p/*", tags=(("team", "y"),)))
    assert job.may_rename("p/a", SECRET, tags) is takes
    assert replace(job, rules=(rule("p/*"),), open_rules=(rule("p/*"),)).may_rename("p/a", SECRET, tags)


@pytest.mark.parametrize(
    ("made", "content", "may"),
    [
        ({"field": None}, (None, "", ""), True), ({"field": "*"}, ("p", "", ""), True), ({"field": "p"}, ("p", "", ""), True),
        ({"field": "u"}, ("p", "", ""), False), ({"field": "*"}, (None, "", ""), False), ({"field": None}, ("p", "", ""), False),
        ({"field": "p", "pin": "3"}, ("p", "", ""), False), ({"field": "p", "pin": "3"}, ("p", "3", ""), True),
        ({"field": None, "value": "{u}"}, (None, "", ""), False), ({"field": None, "value": "{u}"}, (None, "", form_of("{u}")), True),
    ],
)  # fmt: skip
def test_only_what_could_make_the_very_content_counts(made: dict[str, Any], content: Any, may: bool) -> None:
    assert blind(replace(rule("p/*"), **made)).may_rename("p/a", SECRET, None, content) is may
    assert blind(replace(rule("p/*"), **made)).may_rename("p/a", SECRET, None)
