"""The table while it is filled in, and what its rows share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncd.domain import Action, DesiredSecret, Finding, FindingKind, OpenProblem, Reason, Record, RemoteSecret, Update
from syncd.domain.recency import happened_within, is_ahead
from syncd.reconcile.plan.inputs import LONGEST_DELAY, UNLISTED_RETRY, PlannerInput


@dataclass(slots=True)
class PlanBuilder:
    view: PlannerInput
    ids: Mapping[str, RemoteSecret]
    names: Mapping[str, RemoteSecret]
    folded: Mapping[str, RemoteSecret]
    records: Mapping[str, Record]
    holders: Mapping[str, Record]
    believed: bool
    actions: list[Action] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: dict[str, Record] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)
    compares: set[str] = field(default_factory=set)

    def found(
        self, kind: FindingKind, wanted: DesiredSecret | Record, message: str = "", hint: str = "", exit_code: int = 0
    ) -> None:
        self.findings.append(
            Finding(kind=kind, name=wanted.name, ref=wanted.ref, message=message, hint=hint, exit_code=exit_code)
        )

    def at(self, name: str) -> RemoteSecret | None:
        """The site's secret of this name, or of one that differs in case alone."""
        return self.names.get(name) or self.folded.get(name.casefold())

    def note(self, record: Record) -> None:
        self.notes[record.name] = record


def rows_for(desired: Iterable[DesiredSecret], records: Iterable[Record]) -> dict[str, Record]:
    """The row of each wanted name: its own, or its reference's under a name that differs in case alone."""
    asked = list(desired)
    wanted = {desired.name for desired in asked}
    rows = {record.name: record for record in records}
    spare = {(name.casefold(), row.ref, row.pin): row for name, row in rows.items() if name not in wanted}
    found = {
        desired.name: rows.get(desired.name) or spare.get((desired.name.casefold(), desired.ref, desired.pin))
        for desired in asked
    }
    return {name: record for name, record in found.items() if record is not None}


def owns(record: Record | None, wanted: DesiredSecret) -> bool:
    return record is not None and record.ref == wanted.ref and record.pin == wanted.pin


def lately(tried: datetime | None, now: datetime) -> bool:
    return happened_within(tried, now, UNLISTED_RETRY)


def rests(trouble: OpenProblem | None, version: str, rule: str, now: datetime) -> bool:
    """Was this refused for good, and not long enough ago to be tried again?"""
    if trouble is None or (trouble.version, trouble.rule) != (version, rule):
        return False
    return is_ahead(trouble.retry_at, now, LONGEST_DELAY)


def update(
    table: PlanBuilder,
    wanted: DesiredSecret,
    record: Record,
    reason: Reason,
    *,
    rename: bool = False,
    restore: bool = False,
) -> None:
    """Write over it. `restore`: what somebody else did is undone, which counts for the limit of a day."""
    if wanted.value is None:
        table.values.add(wanted.name)
    restore = restore or reason in {Reason.DRIFT, Reason.RENAMED, Reason.DOUBTED}
    table.actions.append(Update(desired=wanted, record=record, reason=reason, rename=rename, restore=restore))


def seek(table: PlanBuilder, record: Record) -> None:
    """The site does not list it: only a 404 to its id says that it is gone, and then its row goes.

    Its own description is written again, which changes nothing where it is still there.
    """
    same = DesiredSecret(
        name=record.name, ref=record.ref, version=record.version, description=record.description, job=record.job
    )
    table.actions.append(Update(desired=same, record=record, reason=Reason.SOUGHT, describe_only=True))
