"""What was answered is kept, whatever ends a round of requests."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.domain import DesiredSecret, Reason, Record, SecretRef, SecretValue, Update, WriteResult, WriteWindow
from syncd.errors import LedgerError
from syncd.reconcile.apply.applier import START, Applier
from syncd.reconcile.apply.terms import Terms

NOW = datetime(2026, 11, 29, tzinfo=UTC)
NAMES = [f"N{number}" for number in range(START)]


class Target:
    """Answers all but the last of the first requests, which ends in something that is no answer."""

    site, name, profile = "s", "t", "api"

    def __init__(self, error: BaseException) -> None:
        self.error, self.answered = error, threading.Barrier(len(NAMES), timeout=10)

    def site_time(self) -> datetime:
        return NOW

    def update(self, remote_id: str, **_: Any) -> WriteResult:
        self.answered.wait()  # all land together
        if remote_id == NAMES[-1]:
            raise self.error
        return WriteResult(id=remote_id, window=WriteWindow(start=NOW, end=NOW + timedelta(seconds=1)))


class Journal:
    def __init__(self) -> None:
        self.rows: dict[str, Record] = {}
        self.ends: list[tuple[str, str]] = []

    def write(self, *, put: Any = (), audit: Any = None, **_: Any) -> None:
        self.rows |= {row.name: row for row in put}
        self.ends += [(end.name, end.outcome) for end in audit.ends] if audit else []


def update(name: str) -> Update:
    ref = SecretRef(source="vault", path="kv/app", field=name)
    record = Record(site="s", name=name, target="t", job="j", ref=ref, version="kv2:1@x", remote_id=name)
    desired = DesiredSecret(
        name=name, ref=ref, version="kv2:2@x", description="", job="j", value=SecretValue("v"), fingerprint="f"
    )
    return Update(desired=desired, record=record, reason=Reason.ROTATED)


@pytest.mark.parametrize("error", [LedgerError("gone"), RuntimeError("a bug"), KeyboardInterrupt()])
def test_what_was_answered_is_kept(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.reconcile.apply.applier.GATHER", 0.2)
    journal: Any = Journal()
    target: Any = Target(error)
    actions = [update(name) for name in (*NAMES, "NEXT")]
    with pytest.raises(type(error)):
        Applier(target, journal, lambda: NOW, Terms()).run(actions, stop=lambda: False)
    assert {name for name, outcome in journal.ends if outcome == "done"} == set(NAMES[:-1])
    assert {name for name, row in journal.rows.items() if row.pending is None} == set(NAMES[:-1])
    assert "NEXT" not in journal.rows, "nothing more is sent"


class Behind(Journal):
    """Takes the first intents and no more, as while a required sink is behind."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = threading.Event()

    def write(self, *, put: Any = (), audit: Any = None, **more: Any) -> None:
        if audit and audit.intents and self.rows:
            self.refused.set()
            raise LedgerError("audit.required: the sink is behind")
        super().write(put=put, audit=audit, **more)


class Slow(Target):
    """Answers some at once, and the others only after the journal has refused to begin more."""

    def __init__(self, journal: Behind, at_once: int) -> None:
        self.journal, self.at_once = journal, NAMES[:at_once]

    def update(self, remote_id: str, **_: Any) -> WriteResult:
        if remote_id not in self.at_once:
            assert self.journal.refused.wait(10)
        return WriteResult(id=remote_id, window=WriteWindow(start=NOW, end=NOW + timedelta(seconds=1)))


@pytest.mark.parametrize("at_once", [1, START // 2, START])
@pytest.mark.parametrize("more", [1, START])
def test_what_was_begun_is_settled_where_no_more_may_start(at_once: int, more: int) -> None:
    journal: Any = Behind()
    target: Any = Slow(journal, at_once)
    actions = [update(name) for name in (*NAMES, *(f"M{number}" for number in range(more)))]
    with pytest.raises(LedgerError, match="the sink is behind"):
        Applier(target, journal, lambda: NOW, Terms()).run(actions, stop=lambda: False)
    assert sorted(journal.ends) == sorted((name, "done") for name in NAMES)
    assert sorted(journal.rows) == NAMES and all(row.pending is None for row in journal.rows.values())
