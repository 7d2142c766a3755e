"""What a rollback by command lets out of a closed window: other versions of the names that it is about, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.domain import Action, Create, Delete, DesiredSecret, FindingKind, Reason, Record, SecretRef, Update
from syncd.reconcile.run_job import is_of_a_rollback

REF = SecretRef(source="vault", path="kv/app/x", field="v")
RECORD = Record(site="s", name="X", target="t", job="job", ref=REF, version="kv2:3@x", remote_id="id")
WANTED = DesiredSecret(name="X", ref=REF, version="kv2:1@x", description="", job="job")


def update(record: Record = RECORD, wanted: DesiredSecret = WANTED, reason: Reason = Reason.ROLLED_BACK) -> Update:
    return Update(desired=wanted, record=record, reason=reason)


@pytest.mark.parametrize(
    ("action", "lets_out"),
    [
        (update(), True),
        (update(reason=Reason.ROTATED), True),  # its end
        (update(replace(RECORD, unverified=True, version="kv2:1@x")), True),
        (update(wanted=replace(WANTED, ref=replace(REF, field=None))), True),  # in another form
        (update(replace(RECORD, version="kv2:1@x")), False),  # a change by hand
        (update(replace(RECORD, pin="AWSPREVIOUS"), replace(WANTED, pin="AWSPREVIOUS")), False),
        (update(wanted=replace(WANTED, ref=replace(REF, field="w"))), False),
        (update(wanted=replace(WANTED, ref=replace(REF, path="kv/app/y"))), False),
        (update(wanted=replace(WANTED, ref=replace(REF, source="other"))), False),
        (update(wanted=replace(WANTED, name="x")), False),
        (update(reason=Reason.ADOPT), False),
        (Create(desired=WANTED), False),
        (Delete(record=RECORD, reason="gone", kind=FindingKind.MISSING), False),
    ],
)
def test_what_it_lets_out(action: Action, lets_out: bool) -> None:
    assert is_of_a_rollback(action) is lets_out
