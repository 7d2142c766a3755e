"""Whom a rollback reaches: by the very secret, whoever reads it by whatever name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from syncd.domain import Glob, Record, Rule, SecretRef
from syncd.domain.job import Job, Limit, Limits, Policies
from syncd.reconcile.rollback_reach import reach_of

ACCOUNT = "eu-west-1:123456789012"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:p/a-AbCdEf"
MOUNTS = {
    "vault": {"kv/": "uuid"}, "second": {"team/kv/": "uuid"}, "elsewhere": {"kv/": "another"}, "new": {},
    "aws": {"account": ACCOUNT}, "aws2": {"account": ACCOUNT}, "gone": {"kv/": "uuid"}, "unseen": {},
}  # fmt: skip


def job(name: str, source: str, path: str, pin: str = "") -> Job:
    rule = Rule(index=0, source=source, path=Glob(path), field=None, name="{basename}", pin=pin)
    limits = Limits(max_deletes=Limit(number=1))
    return Job(name=name, source=source, targets=("t",), rules=(rule,), policies=Policies(job=name), limits=limits)


def row(name: str, source: str, path: str, **more: Any) -> Record:
    return Record(site="s", name=name, target="t", job="j", ref=SecretRef(source=source, path=path), **more)


def reached(asked: tuple[str, str], *jobs: Job, rows: tuple[Record, ...] = ()) -> tuple[set[str], dict[str, set[str]]]:
    store = SimpleNamespace(known_mounts=lambda source: MOUNTS[source])
    runtime: Any = SimpleNamespace(jobs={one.name: one for one in jobs}, store=store)
    found = reach_of(runtime, rows, [asked])
    return {one.name for one in found.rows}, {name: set(paths) for name, paths in found.read.items()}


@pytest.mark.parametrize(
    ("asked", "reader", "path"),
    [
        (("vault", "kv/a"), job("j", "vault", "kv/*"), "kv/a"),
        (("vault", "kv/a"), job("j", "vault", "kv/b"), ""),
        # through a second entry, which may mount it elsewhere; never through another Vault
        (("vault", "kv/a"), job("j", "second", "team/kv/*"), "team/kv/a"),
        (("vault", "kv/a"), job("j", "elsewhere", "kv/*"), ""),
        # an entry that no cycle has used may lead there
        (("vault", "kv/a"), job("j", "new", "kv/*"), "kv/a"),
        # a source that no job has any more: by its place, or where that was never learnt by its path
        (("gone", "kv/a"), job("j", "second", "team/kv/*"), "team/kv/a"),
        (("gone", "kv/a"), job("j", "elsewhere", "kv/*"), ""),
        (("gone", "kv/a"), job("j", "new", "kv/*"), "kv/a"),
        (("unseen", "kv/a"), job("j", "vault", "kv/*"), "kv/a"),
        # AWS: the name, the ARN, either through another entry
        (("aws", "p/a"), job("j", "aws2", "p/*"), "p/a"),
        (("aws", "p/a"), job("j", "aws2", ARN), ARN),
        (("aws", ARN), job("j", "aws", "p/*"), "p/a"),
        (("aws", ARN), job("j", "aws", ARN.replace("p/a", "p/b")), ""),
        # a rule's own pin is left alone
        (("vault", "kv/a"), job("j", "vault", "kv/*", pin="3"), ""),
    ],
)
def test_which_jobs(asked: tuple[str, str], reader: Job, path: str) -> None:
    both = (
        [reader] if reader.source == asked[0] or asked[0] in {"gone", "unseen"} else [reader, job("o", asked[0], "-")]
    )
    assert reached(asked, *both)[1] == ({"j": {path}} if path else {})


def test_which_rows() -> None:
    rows = (
        row("own", "vault", "kv/a"), row("entry", "second", "team/kv/a"), row("other", "vault", "kv/b"),
        row("there", "elsewhere", "kv/a"), row("pinned", "vault", "kv/a", pin="3"), row("before", "gone", "kv/a"),
    )  # fmt: skip
    assert reached(("vault", "kv/a"), job("j", "vault", "kv/*"), rows=rows)[0] == {"own", "entry", "before"}
