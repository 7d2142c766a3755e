"""One name of the truth table (`Row`), what a rule makes of it (`Verdict`), and both for a whole site. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncd.domain import (
    Action,
    Create,
    Delete,
    DesiredSecret,
    Finding,
    FindingKind,
    OpenProblem,
    Plan,
    ReadRequests,
    Reason,
    Record,
    RemoteSecret,
    Update,
)
from syncd.domain.job import Policies
from syncd.domain.recency import LONGEST_DELAY, happened_within, is_ahead
from syncd.reconcile.plan.inputs import UNLISTED_RETRY, Evidence, PlannerInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All that is known of one name on one site."""

    inputs: PlannerInput
    record: Record | None
    """The ledger's row."""
    listed: RemoteSecret | None
    """What the site lists under the record's id."""
    same_name: RemoteSecret | None = None
    """What the site lists under the wanted name, also in another case; for an unwanted record, under its own name."""
    holder: Record | None = None
    """The row that holds the id of `same_name`."""
    listing_is_plausible: bool = True

    @property
    def evidence(self) -> Evidence:
        """What the cycle found out beside the listings."""
        return self.inputs.evidence

    @property
    def policies(self) -> Policies:
        """What the job allows."""
        return self.inputs.policies

    @property
    def now(self) -> datetime:
        """The time that the whole plan is made for."""
        return self.inputs.now

    def is_frozen(self, frozen_until: datetime | None) -> bool:
        """Does this freeze still hold, by this machine's clock or by the site's? One of the two may be wrong."""
        return frozen_until is not None and frozen_until > min(self.inputs.now, self.inputs.site_now)

    def with_record(self, record: Record) -> Row:
        """Return this row with the record as it is to be stored."""
        return replace(self, record=record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is done about one name: something at the site, something to report, something to note in the ledger."""

    actions: tuple[Action, ...] = ()
    findings: tuple[Finding, ...] = ()
    record_update: Record | None = None
    """The record as the ledger shall have it, whatever becomes of the action."""
    read_value: str = ""
    """The name whose value has to be read at the source before the next plan; empty for none."""
    compare: str = ""
    """The name whose value has to be compared at the site before the next plan; empty for none."""

    def __add__(self, other: Verdict) -> Verdict:
        """Join two verdicts. Of two record updates, values to read or values to compare, the later one counts."""
        return Verdict(
            actions=self.actions + other.actions,
            findings=self.findings + other.findings,
            record_update=other.record_update or self.record_update,
            read_value=other.read_value or self.read_value,
            compare=other.compare or self.compare,
        )


NOTHING = Verdict()


def report(
    kind: FindingKind, about: DesiredSecret | Record, message: str = "", hint: str = "", exit_code: int = 0
) -> Verdict:
    """Return a verdict that only reports a finding."""
    finding = Finding(kind=kind, name=about.name, ref=about.ref, message=message, hint=hint, exit_code=exit_code)
    return Verdict(findings=(finding,))


def act(action: Action) -> Verdict:
    """Return a verdict that does something at the site."""
    return Verdict(actions=(action,))


def note(record: Record) -> Verdict:
    """A verdict that puts this record in the place of the ledger's row."""
    return Verdict(record_update=record)


def update(
    desired: DesiredSecret, record: Record, reason: Reason, *, rename: bool = False, restore: bool = False
) -> Verdict:
    """Return a verdict that writes `desired` over the secret of `record`; its value is read first if it is missing.

    `rename`: send the name, too. `restore`: the write undoes what somebody else did, and counts for the limit of a
    day; the reasons `DRIFT`, `RENAMED` and `DOUBTED` always do.
    """
    restore = restore or reason in {Reason.DRIFT, Reason.RENAMED, Reason.DOUBTED}
    verdict = act(Update(desired=desired, record=record, reason=reason, rename=rename, restore=restore))
    return replace(verdict, read_value=desired.name if desired.value is None else "")


def probe_by_id(record: Record) -> Verdict:
    """Return a verdict that looks for an unlisted record: it writes the record's own description to its id again.

    That changes nothing where our secret is still there. Only a 404 says that it is gone, and then its row goes (an
    adopted one stays, without its id).
    """
    same = DesiredSecret(
        name=record.name, ref=record.ref, version=record.version, description=record.description, job=record.job
    )
    return act(Update(desired=same, record=record, reason=Reason.SOUGHT, describe_only=True))


def owns(record: Record | None, desired: DesiredSecret) -> bool:
    """Does the row belong to the reference and the pin that are wanted? False where there is no row."""
    return record is not None and record.ref == desired.ref and record.pin == desired.pin


def tried_recently(record: Record, now: datetime) -> bool:
    """Was a record that the listing lacks written to within the hour?"""
    return happened_within(record.unlisted_tried_at, now, UNLISTED_RETRY)


def rests(problem: OpenProblem | None, version: str, rule: str, now: datetime) -> bool:
    """Was this version refused for good under this rule, and is it too early to try again?"""
    # A new version or a changed rule is another try: what was refused was something else.
    if problem is None or (problem.version, problem.rule) != (version, rule):
        return False
    return is_ahead(problem.retry_at, now, LONGEST_DELAY)


def rows_for(
    desired: Iterable[DesiredSecret], records: Iterable[Record], deleting: Container[str] = frozenset()
) -> dict[str, Record]:
    """The ledger's row for each wanted name: that of the name itself, or that of the same reference in another case.

    Names that differ only in case are one name at Wix: a row that its job would delete to make room also counts.
    `deleting`: the jobs that delete.
    """
    asked = list(desired)
    wanted = {desired.name for desired in asked}
    rows = {record.name: record for record in records}
    # A row whose own spelling is wanted is left to that name.
    spare: dict[str, list[Record]] = {}
    for name, row in rows.items():
        if name not in wanted:
            spare.setdefault(name.casefold(), []).append(row)

    def in_another_case(desired: DesiredSecret) -> Record | None:
        found = spare.get(desired.name.casefold(), [])
        own = next((row for row in found if owns(row, desired)), None)
        return own or next((row for row in found if row.job in deleting and not row.adopted), None)

    found = {desired.name: rows.get(desired.name) or in_another_case(desired) for desired in asked}
    return {name: record for name, record in found.items() if record is not None}


def listing_is_plausible(records: Sequence[Record], remote: Sequence[RemoteSecret]) -> bool:
    """Does the listing show at least half of the ids that the ledger holds there?"""
    ids = {secret.id for secret in remote}
    held = [record.remote_id for record in records if record.remote_id]
    return 2 * sum(1 for secret_id in held if secret_id not in ids) <= len(held)


@dataclass(slots=True)
class PlanBuilder:
    """Joins what is desired, recorded and listed by name, and folds the verdicts to a plan."""

    inputs: PlannerInput
    records: Mapping[str, Record] = field(init=False)
    """By desired name."""
    _by_id: Mapping[str, RemoteSecret] = field(init=False)
    _by_name: Mapping[str, RemoteSecret] = field(init=False)
    _by_folded_name: Mapping[str, RemoteSecret] = field(init=False)
    _holders: Mapping[str, Record] = field(init=False)
    _plausible: bool = field(init=False)

    def __post_init__(self) -> None:
        remote, records = self.inputs.remote, self.inputs.records
        self.records = rows_for(self.inputs.desired, records, self.inputs.evidence.deleting_jobs)
        self._by_id = {secret.id: secret for secret in remote}
        self._by_name = {secret.name: secret for secret in remote}
        self._by_folded_name = {secret.name.casefold(): secret for secret in remote}
        self._holders = {record.remote_id: record for record in records if record.remote_id}
        self._plausible = listing_is_plausible(records, remote)

    def row_of(self, desired: DesiredSecret) -> Row:
        """The row of a name that is wanted."""
        record = self.records.get(desired.name)
        same_name = self._by_name.get(desired.name) or self._by_folded_name.get(desired.name.casefold())
        return replace(
            self.row_of_record(record),
            same_name=same_name,
            holder=self._holders.get(same_name.id) if same_name else None,
        )

    def row_of_record(self, record: Record | None) -> Row:
        """Join a record with what the site lists under its id and under its name."""
        listed = self._by_id.get(record.remote_id) if record and record.remote_id else None
        same_name = self._by_name.get(record.name) if record else None
        return Row(
            inputs=self.inputs,
            record=record,
            listed=listed,
            same_name=same_name,
            listing_is_plausible=self._plausible,
        )

    def plan(self, verdicts: Iterator[Verdict]) -> Plan:
        """The verdicts as one plan: updates, then creations, then deletions."""
        actions: list[Action] = []
        findings: list[Finding] = []
        updates: dict[str, Record] = {}
        values, compares = set(), set()
        for verdict in verdicts:
            actions += verdict.actions
            findings += verdict.findings
            if verdict.record_update is not None:
                updates[verdict.record_update.name] = verdict.record_update
            values.add(verdict.read_value)
            compares.add(verdict.compare)
        order = {Update: 0, Create: 1, Delete: 2}
        # What failed in the cycle before comes last: it may not hold up the others for ever.
        tried = self.inputs.evidence.problems
        # Rotations first: somebody may wait for them; deletions last: what can still be noticed is noticed before.
        actions.sort(key=lambda action: (order[type(action)], action.name in tried, action.name))
        return Plan(
            actions=tuple(actions),
            findings=tuple(findings),
            record_updates=tuple(updates[name] for name in sorted(updates)),
            read_requests=ReadRequests(values=frozenset(values - {""}), compares=frozenset(compares - {""})),
        )
