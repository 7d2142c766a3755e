"""Whose a date at Wix is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from syncd.domain import Record, SecretRef, WriteWindow
from syncd.domain.write_window import Change, judge

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


REF = SecretRef(source="v", path="kv/app/x", field="f")


def record(**more: object) -> Record:
    return Record(**{"site": "s", "name": "N", "target": "t", "job": "j", "ref": REF, **more})  # type: ignore[arg-type]


def test_whose_date_it_is() -> None:
    second = timedelta(seconds=1)
    written = record(window=WriteWindow(start=AT, end=AT + second))
    assert judge(written, AT - 2 * second) is Change.OURS
    assert judge(written, AT + 3 * second) is Change.OURS
    assert judge(written, AT + 3.1 * second) is Change.THEIRS
    assert judge(written, AT - 2.1 * second) is Change.EARLIER
    assert judge(written, None) is Change.UNTOLD
    pinned = record(pinned_at=AT)
    assert judge(pinned, AT) is Change.OURS
    assert judge(pinned, AT + timedelta(milliseconds=1)) is Change.THEIRS
    assert judge(pinned, AT - timedelta(days=7)) is Change.EARLIER
    assert judge(record(), AT) is Change.UNTOLD
