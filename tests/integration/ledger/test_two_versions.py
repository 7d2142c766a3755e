"""Two processes open one ledger at once, of one version or of two: nothing is taken back that the other one did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.domain.audit import Entry
from syncd.errors import LedgerError
from syncd.ledger import migrations
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.store import Ledger

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("before", [0, 1, migrations.CURRENT - 1])
@pytest.mark.parametrize("quicker", [0, 1])
def test_whoever_was_quicker_counts(tmp_path: Path, before: int, quicker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version is read once more under the lock, and judged by what it is then."""
    engine = sqlite_engine(tmp_path / "state.db", durable=False)
    Ledger(engine, "here", None).close()
    seen: Iterator[int] = iter([before, migrations.CURRENT + quicker])
    done: list[str] = []
    monkeypatch.setattr(migrations, "schema_version", lambda _connection: next(seen))
    for step in ("seal", "_note_version"):
        monkeypatch.setattr(migrations, step, lambda *_args, step=step, **_more: done.append(step))
    engine = sqlite_engine(tmp_path / "state.db", durable=False)
    if quicker:
        with pytest.raises(LedgerError, match="this syncd knows"):
            migrations.migrate(engine, "here", None)
    else:
        migrations.migrate(engine, "here", None)
    assert done == []
    engine.dispose()


@pytest.mark.parametrize(("ahead", "pruned"), [(timedelta(days=4000), True), (timedelta(hours=3), False)])
def test_a_clock_that_was_ahead_once_ends_no_pruning(state: Path, ahead: timedelta, pruned: bool) -> None:
    clock = [NOW - timedelta(days=100)]
    ledger = Ledger(sqlite_engine(state, durable=False), "here", None, clock=lambda: clock[0])
    for day in range(60):
        clock[0] = NOW - timedelta(days=100 - day)
        ledger.audit.note(Entry(event="job.paused"))
    clock[0] = NOW + ahead
    ledger.audit.prune(timedelta(days=30), None)
    before = _count(ledger)
    clock[0] = NOW + (timedelta(0) if pruned else ahead + timedelta(hours=1))
    ledger.audit.prune(timedelta(days=30), None)
    assert (_count(ledger) < before) is pruned
    ledger.close()


def _count(ledger: Ledger) -> int:
    return sum(1 for _ in ledger.audit.lines(_all(), most=1000))


def _all() -> Any:
    from syncd.ledger.audit_reading import Filter

    return Filter()
