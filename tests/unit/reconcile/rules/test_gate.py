"""What a job's windows keep back: everything, but an older version that gives a site back what it had."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.domain import Action, Create, Delete, DesiredSecret, Reason, Record, SecretRef, Update
from syncd.domain.windows import Window, Windows
from syncd.reconcile.rules.gate import objection_to

SUNDAY = datetime(2026, 11, 29, 12, tzinfo=UTC)
CLOSED = Windows(allow=(Window.parse("Mon-Fri 08:00-18:00"),))
REF = SecretRef(source="vault", path="kv/app/x", field="v")
OTHER = SecretRef(source="vault", path="kv/app/y", field="v")
VAULT_B = SecretRef(source="vault-b", path="kv/app/x", field="v")
RENAMED = SecretRef(source="renamed", path="kv/app/x", field="v")


def is_one(one: SecretRef, other: SecretRef) -> bool:
    """`renamed` leads to where `vault` led; `vault-b` has the same paths elsewhere."""
    first, second = ((ref.source.replace("renamed", "vault"), ref.path) for ref in (one, other))
    return first == second


def update(reason: Reason, record: dict[str, Any] = {}, **desired: Any) -> Update:  # noqa: B006
    held: dict[str, Any] = {"version": "kv2:3@x", "remote_id": "id"} | record
    wanted: dict[str, Any] = {"version": "kv2:1@x", "ref": REF, "rolled_back": True} | desired
    return Update(
        desired=DesiredSecret(name="X", description="", job="job", **wanted),
        record=Record(**({"site": "s", "name": "X", "target": "t", "job": "job", "ref": REF} | held)),
        reason=reason,
    )


@pytest.mark.parametrize(
    "action",
    [
        update(Reason.ROLLED_BACK),
        update(Reason.ROLLED_BACK, {"unverified": True}),
        update(Reason.UNVERIFIED, {"unverified": True}),
        update(Reason.ROLLED_BACK, {"version": "aws:new"}, version="aws:old"),
        update(Reason.ROLLED_BACK, ref=RENAMED),
        update(Reason.UNVERIFIED, {"unverified": True, "ref": RENAMED}),
    ],
)
def test_what_gives_back_the_older_version_goes_at_any_time(action: Action) -> None:
    assert objection_to(action, CLOSED, SUNDAY, is_one) == ""


@pytest.mark.parametrize(
    "action",
    [
        update(Reason.ROTATED, rolled_back=False),
        update(Reason.UNVERIFIED, {"unverified": True}, rolled_back=False),
        update(Reason.DRIFT, {"version": "kv2:1@x"}),
        update(Reason.ROLLED_BACK, {"version": "kv2:1@x"}, version="kv2:1@x~otherform"),
        update(Reason.MOVED, ref=OTHER),
        update(Reason.MOVED, ref=VAULT_B),
        update(Reason.ROLLED_BACK, ref=OTHER),
        update(Reason.ROLLED_BACK, {"ref": VAULT_B}, ref=RENAMED),
        update(Reason.ROLLED_BACK, ref=SecretRef(source="renamed", path="kv/app/x", field="w")),
        update(Reason.ROTATED, rolled_back=False, ref=RENAMED),
        update(Reason.ROLLED_BACK, {"version": "kv2:1@x"}, ref=RENAMED),
        update(Reason.UNVERIFIED, {"unverified": True}, ref=VAULT_B),
        update(Reason.UNVERIFIED, {"unverified": True}, pin="2"),
        update(Reason.UNVERIFIED, {"unverified": True, "version": ""}),
        update(Reason.ADOPT, {"unverified": True}),
        update(Reason.ADOPT_OTHER, {"unverified": True, "version": ""}),
        update(Reason.CASE),
        update(Reason.ROLLED_BACK, {"name": "x"}),
        update(Reason.RENAMED),
        update(Reason.VERIFY),
        Create(desired=update(Reason.ROLLED_BACK).desired),
        Delete(record=update(Reason.ROLLED_BACK).record, reason="gone"),
    ],
)
def test_everything_else_waits(action: Action) -> None:
    assert "outside the job's window (Mon-Fri" in objection_to(action, CLOSED, SUNDAY, is_one)
    assert objection_to(action, Windows(), SUNDAY, is_one) == ""
