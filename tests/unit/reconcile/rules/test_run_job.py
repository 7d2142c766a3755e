"""What a rollback by command lets out of a closed window: other versions of the names that it is about, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.domain import Action, Create, Delete, DesiredSecret, FindingKind, Reason, Record, SecretRef, Update
from syncd.reconcile.rules.gate import is_of_a_rollback
from syncd.reconcile.run_job import is_from

REF = SecretRef(source="vault", path="kv/app/x", field="v")
RECORD = Record(site="s", name="X", target="t", job="job", ref=REF, version="kv2:3@x", remote_id="id")
WANTED = DesiredSecret(name="X", ref=REF, version="kv2:1@x", description="", job="job")

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kv/app/x-AbCdEf"


def is_one(one: SecretRef, other: SecretRef) -> bool:
    """`renamed` and `vault` lead to one place, and its secrets may be called by an ARN there."""
    places = {"vault": "a", "renamed": "a"}
    first, second = ((places.get(ref.source, ref.source), ref.path.replace(ARN, "kv/app/x")) for ref in (one, other))
    return first == second


def update(record: Record = RECORD, wanted: DesiredSecret = WANTED, reason: Reason = Reason.ROLLED_BACK) -> Update:
    return Update(desired=wanted, record=record, reason=reason)


@pytest.mark.parametrize(
    ("action", "lets_out"),
    [
        (update(), True),
        (update(reason=Reason.ROTATED), True),  # its end
        (update(replace(RECORD, unverified=True, version="kv2:1@x")), True),
        (update(wanted=replace(WANTED, ref=replace(REF, field=None))), True),  # in another form
        (update(wanted=replace(WANTED, ref=replace(REF, source="renamed"))), True),
        (update(wanted=replace(WANTED, ref=replace(REF, path=ARN))), True),
        (update(replace(RECORD, ref=replace(REF, source="renamed", path=ARN)), reason=Reason.ROTATED), True),
        (update(wanted=replace(WANTED, ref=replace(REF, source="renamed", field="w"))), False),
        (update(replace(RECORD, version="kv2:1@x", ref=replace(REF, path=ARN))), False),
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
    assert is_of_a_rollback(action, is_one) is lets_out


@pytest.mark.parametrize(
    ("action", "may_go", "is_part"),
    [
        (update(), True, True),
        (Create(desired=WANTED), True, True),
        (update(), False, False),  # nobody decided on it, and the job's window is closed
        (Create(desired=WANTED), False, False),
        (update(wanted=replace(WANTED, ref=replace(REF, path="kv/app/y"))), True, False),
        (Delete(record=RECORD, reason="gone", kind=FindingKind.MISSING), True, False),
    ],
)
def test_what_is_part_of_a_run_for_some_paths(action: Action, *, may_go: bool, is_part: bool) -> None:
    assert is_from({"kv/app/x"}, lambda _: may_go, action) is is_part
