"""On which sites a source's secret is, in which version, since when: what a leak of it touches."""

from __future__ import annotations

from typing import Any

from syncd.bootstrap.app import App
from syncd.domain import Record, SecretRef, version_label
from syncd.domain.statuses import status_of_record
from syncd.errors import ConfigError
from syncd.ledger.audit import Filter


def whereabouts(app: App, path: str) -> list[dict[str, Any]]:
    """A row for every name that comes from the path. Raises `ConfigError` where nothing does."""
    now, served = app.runtime.clock(), app.served
    records = [record for record in app.ledger.records() if _is_meant(record.ref, path)]
    found = [_row(app, record, status_of_record(record, served, now)) for record in records]
    have = {(record.site, record.name) for record in records}
    for problem in app.ledger.all_problems():
        if problem.ref and _is_meant(problem.ref, path) and (problem.site, problem.subject) not in have:
            target = app.first_target_on(problem.site, problem.job)
            nothing = {"version": None, "arrived_at": None, "request_id": None}
            row = {"site": problem.site, "target": target, "name": problem.subject, "status": problem.kind}
            found.append({**row, **nothing})
    if not found:
        raise ConfigError(
            f"no site has a secret from {path}, and none failed to get one",
            hint=f"give the path with its mount; what a rule makes of it: syncd explain {path.partition('#')[0]}",
        )
    return sorted(found, key=lambda row: (row["target"], row["name"]))


def has_it(row: dict[str, Any], version: str | None) -> bool:
    """Does the site hold this version, or a later one? None: the one that the source has."""
    if version is None:
        return row["status"] in {"synced", "frozen"}
    return row["version"] is not None and is_at_least(row["version"], version)


def _is_meant(ref: SecretRef, path: str) -> bool:
    """A path may hold a `#`: it is the one that is meant, or ends before a field."""
    return path in {ref.path, f"{ref.path}#{ref.field}"}


def is_at_least(label: str, version: str) -> bool:
    """Is it this version, or a later one? AWS's version ids have no order: only the same one is it."""
    if label.isdecimal() and version.isdecimal():
        return int(label) >= int(version)
    return label == version


def _row(app: App, record: Record, status: str) -> dict[str, Any]:
    lines = app.ledger.audit.lines(Filter(site=record.site, name=record.name, event="secret.*"))
    done = [line for line in lines if line["outcome"] == "done" and line["remote_id"] == record.remote_id]
    last = done[-1] if done else None
    settled = record.last_synced_at.isoformat() if record.last_synced_at else None
    return {
        "site": record.site,
        "target": record.target,
        "name": record.name,
        "version": (version_label(record.version) or None) if record.remote_id else None,
        "status": status,
        "arrived_at": last["at"] if last else settled,
        "request_id": last["request_id"] if last else None,
    }
