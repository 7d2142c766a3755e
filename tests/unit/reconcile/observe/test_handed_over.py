"""Whose a secret is that a row holds, by the mark that the listing shows. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.domain import Pending, Record, RemoteSecret, SecretRef
from syncd.domain.ownership import mark_of, marked
from syncd.reconcile.observe.recovery import Site, recover

NOW = datetime(2026, 5, 1, tzinfo=UTC)
REF = SecretRef(source="vault", path="kv/a", field="v")
BEFORE = SecretRef(source="former", path="kv/a", field="v")
OURS, FORMER, ANOTHER = "new", "old", "shop"


def text(owner: str, ref: SecretRef = REF, words: str = "of us", name: str = "KEY") -> str:
    return marked(words, mark_of(owner, name, ref))


def is_handed_over(left: str, shown: str, **more: object) -> bool:
    record = Record(site="s", name="KEY", target="t", job="job", ref=REF, remote_id="id", description=left, **more)  # type: ignore[arg-type]
    listed = RemoteSecret(id="id", name="KEY", description=shown, updated_at=NOW)
    site = Site(owner=OURS, former=frozenset({FORMER}), key="s", target="t", now=NOW)
    return bool(recover(site, (), [record], [listed], {}).handed_over)


@pytest.mark.parametrize(
    ("left", "shown", "is_another_s"),
    [
        (text(OURS), text(OURS), False),
        (text(OURS), text(ANOTHER), True),
        (text(OURS), "no mark at all", False),
        (text(OURS), text(FORMER), True),  # ours was written over it: somebody else is called so now
        (text(FORMER, BEFORE), text(FORMER), False),  # of this row's reference: our own mark of before
        (text(FORMER), text(FORMER, words="somebody wrote"), False),
        # As this installation left it, though no row has its reference any more.
        (text(FORMER, BEFORE), text(FORMER, BEFORE, words="somebody wrote"), False),
        (text(FORMER, BEFORE), text(FORMER, BEFORE, name="OTHER"), True),
        (text(FORMER, BEFORE), text(ANOTHER, BEFORE), True),
    ],
)
def test_whose_it_is(left: str, shown: str, *, is_another_s: bool) -> None:
    assert is_handed_over(left, shown) is is_another_s


def test_what_is_not_taken_over_yet_has_the_other_s_mark_still() -> None:
    assert not is_handed_over("", text(ANOTHER), pending=Pending.ADOPT, pending_at=NOW - timedelta(minutes=1))
