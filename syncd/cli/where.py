"""`syncd where`: on which sites a source's secret is, in which version, since when: what a leak of it touches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.context import duration, show_json, show_table, warn
from syncd.cli.parameters import Json
from syncd.domain import Record, SecretRef, version_label
from syncd.domain.statuses import status_of_record
from syncd.errors import ConfigError

if TYPE_CHECKING:
    from syncd.bootstrap.app import App

LOOK = 1.0
"""Seconds from one look at the ledger to the next while it waits."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(where)


@dataclass(frozen=True, slots=True)
class Place:
    """One name on one site that comes from the path."""

    row: dict[str, Any]
    has_it: bool


def where(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH[#FIELD]", help="A path at a source, mount included.")],
    *,
    version: Annotated[
        str | None, typer.Option("--version", help="Is this version there, or (Vault) a later one?")
    ] = None,
    wait: Annotated[str, typer.Option("--wait", help="Look again until all sites have it, for so long.")] = "0s",
    as_json: Json = False,
) -> int:
    """Show on which sites a secret is. Exit code 0: on all that it is sent to; 1: not everywhere yet."""
    with context.obj.open(writable=False) as app:
        until = time.monotonic() + duration(wait, "--wait").total_seconds()
        while True:
            places = _places(app, path, version)
            arrived = all(place.has_it for place in places)
            if arrived or time.monotonic() >= until or app.stop.wait(LOOK):
                break
    if as_json:
        show_json([place.row for place in places])
    else:
        keys = ("status", "site", "target", "name", "version", "arrived_at", "request_id")
        rows = [["-" if place.row[key] is None else str(place.row[key])[:36] for key in keys] for place in places]
        show_table([key.upper().replace("_", " ") for key in keys], rows)
        if not arrived:
            missing = sum(not place.has_it for place in places)
            warn(f"syncd: {missing} of {len(places)} are not there yet{f' in version {version}' if version else ''}")
    return 0 if arrived else 1


def _places(app: App, path: str, version: str | None) -> list[Place]:
    """Every name that comes from the path. Raises `ConfigError` where nothing does."""
    now, served = app.runtime.clock(), app.served
    records = [record for record in app.ledger.records() if _is_meant(record.ref, path)]
    found = []
    for record in records:
        status = status_of_record(record, served, now)
        label = version_label(record.version)
        here = bool(record.remote_id) and (is_at_least(label, version) if version else status in {"synced", "frozen"})
        found.append(Place(_row(app, record, status, label), here))
    have = {(record.site, record.name) for record in records}
    for problem in app.ledger.all_problems():
        if problem.ref and _is_meant(problem.ref, path) and (problem.site, problem.subject) not in have:
            row = {
                "site": problem.site,
                "target": app.first_target_on(problem.site, problem.job),
                "name": problem.subject,
            }
            nothing = {"version": None, "arrived_at": None, "request_id": None}
            found.append(Place({**row, "status": problem.kind, **nothing}, has_it=False))
    if not found:
        raise ConfigError(
            f"no site has a secret from {path}, and none failed to get one",
            hint=f"give the path with its mount; what a rule makes of it: syncd explain {path.partition('#')[0]}",
        )
    return sorted(found, key=lambda place: (place.row["target"], place.row["name"]))


def _is_meant(ref: SecretRef, path: str) -> bool:
    """A path may hold a `#`: it is the one that is meant, or ends before a field."""
    return path in {ref.path, f"{ref.path}#{ref.field}"}


def is_at_least(label: str, version: str) -> bool:
    """Is it this version, or a later one? AWS's version ids have no order: only the same one is it."""
    if label.isdecimal() and version.isdecimal():
        return int(label) >= int(version)
    return label == version


def _row(app: App, record: Record, status: str, label: str) -> dict[str, Any]:
    from syncd.ledger.audit import Filter

    lines = app.ledger.audit.lines(Filter(site=record.site, name=record.name, event="secret.*"))
    done = [line for line in lines if line["outcome"] == "done" and line["remote_id"] == record.remote_id]
    last = done[-1] if done else None
    settled = record.last_synced_at.isoformat() if record.last_synced_at else None
    return {
        "site": record.site,
        "target": record.target,
        "name": record.name,
        "version": label or None,
        "status": status,
        "arrived_at": last["at"] if last else settled,
        "request_id": last["request_id"] if last else None,
    }
