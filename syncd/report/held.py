"""What waits for a release, batch by batch, as scripts and pages show it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from syncd.domain import version_label
from syncd.domain.decisions import HeldAction
from syncd.domain.statuses import Served


def batch_rows(actions: Iterable[HeldAction], now: datetime, served: Served) -> list[dict[str, Any]]:
    """Return what waits for a release, by batch; actions that are released and on their way are left out."""
    # Nobody sends any more what a job that is gone was waiting for, so there is nothing to release.
    waiting = (item for item in actions if not item.is_released(now) and not served.is_left_over(item))
    # What is in a batch began to wait at one moment, so this order also keeps a batch together for groupby.
    members = sorted(waiting, key=lambda item: (item.since, item.batch))
    return [_batch_row(batch, list(of_batch)) for batch, of_batch in groupby(members, key=lambda item: item.batch)]


def _batch_row(batch: str, members: Sequence[HeldAction]) -> dict[str, Any]:
    first = members[0]
    return {
        "batch": batch,
        "job": first.job,
        "target": first.target,
        "site": first.site,
        "cause": first.cause,
        "since": first.since.isoformat() if first.since else None,
        "actions": [
            {
                "action": item.action,
                "name": item.name,
                "ref": item.ref,
                "from": version_label(item.from_version) or None,
                "to": version_label(item.to_version) or None,
                "remote_id": item.remote_id or None,
            }
            for item in members
        ],
    }
