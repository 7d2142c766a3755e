"""Which jobs an event wakes, and by which paths they look."""

from __future__ import annotations

import pytest

from syncd.daemon.wakeups import named_for
from syncd.domain import Glob, Rule
from syncd.domain.job import Job, Limit, Limits, Policies

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:p/a-AbCdEf"
OTHER = ARN.replace("AbCdEf", "GhIjKl")


def job(*paths: str, exclude: tuple[str, ...] = ()) -> Job:
    rules = tuple(
        Rule(index=at, source="aws", path=Glob(path), field=None, name="{basename}", exclude=tuple(map(Glob, exclude)))
        for at, path in enumerate(paths)
    )
    return Job(
        name="j",
        source="aws",
        targets=("t",),
        rules=rules,
        policies=Policies(job="j"),
        limits=Limits(max_deletes=Limit(number=1)),
    )


@pytest.mark.parametrize(
    ("rules", "told", "looked_at"),
    [
        (("p/*",), {"p/a"}, {"p/a"}),
        (("p/*",), {ARN}, {"p/a"}),
        ((ARN,), {"p/a"}, {ARN}),
        ((ARN,), {ARN}, {ARN}),
        ((ARN, "p/a"), {"p/a"}, {ARN, "p/a"}),
        ((OTHER,), {ARN, "p/a"}, {OTHER}),
        (("q/*",), {"p/a", ARN}, set()),
        (("p/*",), {"p/*"}, {"p/*"}),
        ((ARN,), {"p/b"}, set()),
    ],
)
def test_a_rule_may_have_the_name_or_the_arn(rules: tuple[str, ...], told: set[str], looked_at: set[str]) -> None:
    assert named_for(job(*rules), told) == looked_at


def test_what_is_excluded_wakes_nobody() -> None:
    assert named_for(job("p/*", exclude=("p/a",)), {"p/a", ARN}) == set()
