"""What `/status` tells: jobs, their last and next run, and counts; names only to whoever knows the token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from syncd.models import Run
from syncd.state.ledger import Ledger


def status_of(ledger: Ledger, following: Mapping[str, datetime | None], *, names: bool) -> dict[str, Any]:
    """`following`: when each job runs next. Without `names`, jobs and targets are numbered. Raises `LedgerError`."""
    runs = ledger.runs()
    return {
        "jobs": [
            {
                "job": name if names else f"job {number}",
                "next_run_at": at.isoformat() if at else None,
                "targets": [
                    _target(run, run.target if names else f"target {index}", names=names)
                    for index, run in enumerate((run for run in runs if run.job == name), 1)
                ],
            }
            for number, (name, at) in enumerate(sorted(following.items()), 1)
        ],
        "secrets": Counter(record.status or "synced" for record in ledger.records()),
    }


def _target(run: Run, name: str, *, names: bool) -> dict[str, Any]:
    return {
        "target": name,
        "last_run_at": run.finished_at.isoformat(),
        "last_success_at": run.succeeded_at.isoformat() if run.succeeded_at else None,
        "exit_code": run.exit_code,
        **({"message": run.message} if names else {}),
    }
