"""What waits for a release, batch by batch, as scripts and pages show it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from syncd.domain import version_label
from syncd.domain.decisions import HeldAction


def batch_rows(actions: Iterable[HeldAction]) -> list[dict[str, Any]]:
    """What waits, by batch; what was released and is on its way is no part of it."""
    waiting = sorted((one for one in actions if one.released_at is None), key=lambda one: (one.since, one.batch))
    return [_batch_row(batch, list(members)) for batch, members in groupby(waiting, key=lambda one: one.batch)]


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
                "action": one.action,
                "name": one.name,
                "ref": one.ref,
                "from": version_label(one.from_version) or None,
                "to": version_label(one.to_version) or None,
                "remote_id": one.remote_id or None,
            }
            for one in members
        ],
    }
