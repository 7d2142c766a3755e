"""What a job that cannot be listed completely may make of a secret."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncd.domain import Glob, Rule
from syncd.reconcile.plan.site_claims import BlindJob, SiteClaims

ACCOUNT = "eu-west-1:123456789012"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:p/a-AbCdEf"
ELSEWHERE = ARN.replace("eu-west-1", "us-east-1")
SECRET = (ACCOUNT, "p/a")


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
    assert "job j may give it another name" in said.objection_to_going(path, SECRET, None)


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
