"""Which secret a reference means: by the name of its source of today, by an ARN, in a mount that was moved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.domain import SecretRef
from syncd.reconcile.plan.same_secret import KnownSecrets
from tests.unit.reconcile.plan.test_handover import job, record

OWNER = "eu-west-1:123456789012"
ARN = f"arn:aws:secretsmanager:{OWNER}:secret:app/a-AbCdEf"
ABROAD = "arn:aws:secretsmanager:eu-west-1:210987654321:secret:app/a-AbCdEf"
MOUNTS = {
    "old": {"secret/": "uuid-1", "moved/": "uuid-2"},
    "new": {"secret/": "uuid-1", "was/": "uuid-2"},
    "other": {"secret/": "uuid-3"},
    "aws": {"account": OWNER},
    "aws2": {"account": OWNER},
}


def known(reads: str = "new") -> KnownSecrets:
    return KnownSecrets(job="one", jobs={"one": replace(job("one", "secret/*"), source=reads)}, mounts=MOUNTS)


def ref(source: str, path: str) -> SecretRef:
    return SecretRef(source=source, path=path, field="k")


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        (ref("old", "secret/a"), ref("new", "secret/a"), True),
        (ref("old", "moved/a"), ref("new", "was/a"), True),  # one mount by two names
        (ref("aws", "app/a"), ref("aws", ARN), True),
        (ref("aws", "app/a"), ref("aws2", ARN), True),
        (ref("old", "secret/a"), ref("other", "secret/a"), False),  # two Vaults with one path
        (ref("old", "secret/a"), ref("new", "was/a"), False),
        (ref("aws", "app/a"), ref("aws", ABROAD), False),
        (ref("aws", "app/a"), ref("aws", "app/b"), False),
        (ref("unknown", "secret/a"), ref("new", "secret/a"), True),  # never learnt: the path tells
        (ref("unknown", "secret/a"), ref("new", "secret/b"), False),
    ],
)
def test_what_is_one_secret(one: SecretRef, other: SecretRef, *, is_one: bool) -> None:
    assert known().is_of_one_secret(one, other) is is_one
    assert known().is_of_one_secret(other, one) is is_one


@pytest.mark.parametrize(
    ("had", "path", "reads", "seen"),
    [
        ("old", "secret/a", "new", "new"),  # the source got another name
        ("new", "secret/a", "old", "old"),  # the job was given another entry for the same place
        ("aws", "app/a", "aws2", "aws2"),
        ("unknown", "secret/a", "new", "new"),  # never learnt: it is no orphan for that
        ("new", "secret/a", "new", "new"),
        ("old", "secret/a", "other", "old"),  # another place: the rules select nothing of it
        ("other", "secret/a", "new", "other"),
    ],
)
def test_the_name_by_which_rules_see_a_row(had: str, path: str, reads: str, seen: str) -> None:
    row = record("a", ref(had, path))
    assert known(reads).as_selected(row) == replace(row, ref=replace(row.ref, source=seen))
