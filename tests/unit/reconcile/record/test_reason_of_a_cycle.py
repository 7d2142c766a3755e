"""Why a cycle did not end with 0: the cause of its exit code stands first."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from syncd.domain import Finding, FindingKind, SecretRef, SyncReport
from syncd.reconcile.record.report import reason_of

REF = SecretRef(source="vault", path="kv/a")
DENIED = Finding(kind=FindingKind.DENIED, name="a", ref=REF, message="rule weak: short", exit_code=1)
HELD = Finding(kind=FindingKind.HELD, name="b", ref=REF, message="waits", exit_code=6)
CONFLICT = Finding(kind=FindingKind.CONFLICT, name="c", ref=REF, message="is somebody else's")
LIMIT = Finding(kind=FindingKind.WITHHELD, name="", message="3 updates withheld", exit_code=6)
SAME = Finding(kind=FindingKind.UNCHANGED, name="d", ref=REF, message="")


@pytest.mark.parametrize(
    ("findings", "code", "said"),
    [
        ([DENIED, HELD], 6, "b: waits (and 1 more)"),
        ([DENIED, CONFLICT, SAME, LIMIT], 6, "3 updates withheld (and 2 more)"),
        ([SAME, CONFLICT, DENIED], 1, "c: is somebody else's (and 1 more)"),
        ([DENIED], 1, "a: rule weak: short"),
        ([SAME], 0, ""),
    ],
)
def test_the_cause_of_the_exit_code_stands_first(findings: list[Finding], code: int, said: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    report = SyncReport(
        job="job", target="shop", started_at=now, finished_at=now, exit_code=code, findings=tuple(findings)
    )
    assert reason_of(report) == said
