"""Every secret on every site: where it comes from, whose it is, how old, what breaks a rule, what nobody manages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncd.bootstrap.app import App
from syncd.domain import Record, version_label
from syncd.domain.statuses import status_of_record
from syncd.report.parts import Chosen, drift_rows, exception_rows, hit_row, marked_rows, unmanaged_rows
from syncd.report.rule_hits import hits_now, told_to

COLUMNS = (
    "name", "target", "site", "job", "source", "path", "field", "owner", "version", "source_changed_at",
    "age_days", "status", "arrived_at", "as_of", "last_change_by", "last_change_reason", "released_by", "rules",
)  # fmt: skip
"""What the inventory says of a secret; `age_days` is the age of its version at the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The state of all secrets at one moment."""

    as_of: datetime
    secrets: list[dict[str, Any]]
    hits: list[dict[str, Any]]
    """Hits that no exception covers, also those not judged yet; duplicates and unmanaged secrets stand apart."""
    duplicates: list[dict[str, Any]]
    drift: list[dict[str, Any]]
    unmanaged: list[dict[str, Any]]
    marked: list[dict[str, Any]]
    """Secrets at Wix with an owner's mark that no row of the ledger holds."""
    exceptions: list[dict[str, Any]]
    held: list[dict[str, Any]] = field(default_factory=list)
    released: list[dict[str, Any]] = field(default_factory=list)
    never_arrived: list[dict[str, Any]] = field(default_factory=list)
    """What is wanted on a site and never came there."""

    def sections(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Each part with its title."""
        yield "Secrets", self.secrets
        yield "Wanted, and never there", self.never_arrived
        yield "What rules hit: broken, or held by them", self.hits
        yield "One value in two places (values under 8 characters are not compared)", self.duplicates
        yield "Changed at Wix by others", self.drift
        yield "Managed by nobody", self.unmanaged
        yield "With an owner's mark, and not in the ledger", self.marked
        yield "Exceptions", self.exceptions
        yield "Waiting for a release", self.held
        yield "Released and on its way", self.released


def report_now(app: App, chosen: Chosen) -> Report:
    """The report, from the ledger alone. Raises `LedgerError`."""
    now = app.runtime.clock()
    hits = [
        hit
        for hit in told_to(hits_now(app), chosen.sees)
        if chosen.takes(app, hit.subject.target, hit.subject.site, hit.subject.job)
    ]
    broken: dict[tuple[str, str], list[str]] = {}
    for hit in hits:
        # An exception or a value that was not read is no breach.
        if hit.counts:
            broken.setdefault((hit.subject.site, hit.subject.name), []).append(hit.rule.id)
    rows = [hit_row(hit) for hit in hits if hit.exemption is None]
    # Both kinds have a part of their own; here they would be told a second time.
    twice = {rule.id for rule in app.runtime.rules if rule.duplicate}
    nobodys = {rule.id for rule in app.runtime.rules if rule.unmanaged}
    served = app.served
    held = [
        item
        # What a job that is gone was waiting for can be neither sent nor released.
        for item in app.held()
        if chosen.takes(app, item.target, item.site, item.job) and not served.is_left_over(item)
    ]
    return Report(
        as_of=now,
        secrets=list(_secrets(app, chosen, broken)),
        never_arrived=list(_never_arrived(app, chosen)),
        hits=[row for row in rows if row["rule"] not in twice | nobodys],
        duplicates=[row for row in rows if row["rule"] in twice],
        drift=list(drift_rows(app, chosen)),
        unmanaged=[row for site in app.served.jobs for row in unmanaged_rows(app, chosen, site)],
        marked=[row for site in app.served.jobs for row in marked_rows(app, chosen, site)],
        exceptions=list(exception_rows(app, None if chosen.targets is None else {id(hit.exemption) for hit in hits})),
        held=[
            {"batch": item.batch, "action": item.action, "name": item.name, "target": item.target, "cause": item.cause,
             "since": item.since}
            for item in held
            if not item.is_released(now)
        ],
        released=[
            {"batch": item.batch, "action": item.action, "name": item.name, "target": item.target, "cause": item.cause,
             "released_at": item.released_at, "by": item.released_by}
            for item in held
            if item.is_released(now)
        ],
    )  # fmt: skip


def _secrets(app: App, chosen: Chosen, broken: Mapping[tuple[str, str], list[str]]) -> Iterator[dict[str, Any]]:
    now, served = app.runtime.clock(), app.served
    looked = app.ledger.looks()
    owners = {
        (source, path): state.owner
        for source in app.settings.sources
        for (path, _), state in app.ledger.known_paths(source).items()
    }
    changes = last_changes(app)
    for record in app.ledger.records():
        # By the site, not by the name in the record: rights and labels go by what its target is called today.
        target = app.first_target_on(record.site, record.job)
        if not chosen.takes(app, target, record.site, record.job):
            continue
        change = changes.get((record.site, record.name), {})
        yield {
            "name": record.name,
            "target": target,
            "site": record.site,
            "job": record.job,
            "source": record.ref.source,
            "path": record.ref.path,
            "field": record.ref.field,
            "owner": owners.get((record.ref.source, record.ref.path)) or None,
            "version": version_label(record.version) or None,
            "source_changed_at": record.source_updated_at,
            # The clock of a source may be ahead of this one.
            "age_days": max(0, (now - record.source_updated_at).days) if record.source_updated_at else None,
            "status": status_of_record(record, served, now),
            "arrived_at": record.last_synced_at,
            "as_of": looked.get((record.site, record.job)),
            "last_change_by": change.get("by"),
            "last_change_reason": change.get("reason"),
            "released_by": change.get("released_by"),
            "rules": ", ".join(broken.get((record.site, record.name), ())) or None,
        }


def _never_arrived(app: App, chosen: Chosen) -> Iterator[dict[str, Any]]:
    """What a rule keeps back, or what fails, before it ever came to its site."""
    for problem in app.ledger.problems_of_no_row():
        target = app.first_target_on(problem.site, problem.job)
        if problem.ref is not None and chosen.takes(app, target, problem.site, problem.job):
            yield {
                "name": problem.subject, "target": target, "job": problem.job, "ref": str(problem.ref),
                "version": version_label(problem.version) or None, "status": problem.kind, "since": problem.first_at,
                "why": problem.message,
            }  # fmt: skip


def last_changes(app: App) -> dict[tuple[str, str], dict[str, Any]]:
    """Who changed each secret of the ledger last, by site and name, as far as the trail goes back."""
    held = {(record.site, record.name) for record in app.ledger.records()}
    return {
        (line["stream"], str(line["name"])): {
            "by": line["actor"]["id"],
            # A schedule that sends a rollback has no reason of its own; the person's is in the detail.
            "reason": line["reason"] or line["detail"].get("because"),
            "released_by": line["detail"].get("released_by"),
            "at": line["at"],
        }
        for line in app.ledger.audit.last_done()
        if (line["stream"], line["name"]) in held
    }


def record_owner(app: App, record: Record) -> str:
    """Whom the source names as the owner of a secret."""
    state = app.ledger.known_path(record.ref.source, record.ref.path, record.pin)
    return state.owner if state else ""
