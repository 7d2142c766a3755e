"""What a cycle found and did, as one report. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncd.domain import (
    FAILING_KINDS,
    Action,
    Delete,
    Finding,
    FindingKind,
    Outcome,
    Plan,
    ReadFailure,
    Record,
    Rule,
    SyncReport,
    verb_of,
)
from syncd.domain.naming import selects_path
from syncd.domain.places import lies_in
from syncd.domain.plan import NOT_SETTLED
from syncd.errors import SourceError, SyncdError, TargetError, worst
from syncd.reconcile.apply.result import ApplyResult


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Actions of a plan that were not carried out, and why, by name."""

    actions: Mapping[str, tuple[Action, str]] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A finding for each of them: without one, the name would pass for `synced`."""
        return tuple(
            Finding(kind=action.kind, name=action.name, ref=action.record.ref, message=f"{action.reason}; {why}")
            if isinstance(action, Delete)
            else Finding(kind=FindingKind.BEHIND, name=action.name, ref=action.desired.ref, message=why)
            for action, why in self.actions.values()
        )

    @property
    def told_under(self) -> frozenset[str]:
        """The names under which findings about these actions are kept; a whole class of actions has its verb."""
        return frozenset(self.actions) | {verb_of(action) for action, _ in self.actions.values()}

    def rows_behind(self, rows: Mapping[str, Record | None]) -> Iterator[Record]:
        """Yield the rows that read `synced` though their action was not sent, with the status that is true of them."""
        for action, _ in self.actions.values():
            row = rows.get(action.record.name) if action.record else None
            # Any other status says already that something is not as it should be.
            if row is not None and row.status == "synced":
                yield replace(row, status=action.kind.value if isinstance(action, Delete) else "behind")


def not_carried_out(plan: Plan, todo: Plan, applied: ApplyResult, interruption: str) -> LeftOut:
    """Return the actions of a plan that nothing was sent for, and why. `todo`: the part that was to be carried out.

    `interruption`: what ended the cycle before its time; empty for nothing.
    """
    chosen, ended = {action.name for action in todo.actions}, {outcome.action.name for outcome in applied.outcomes}
    if applied.broken is not None:
        why = "not sent: the site refused the ones before it"
    elif applied.slow_down is not None:
        why = "not sent: the site asks to slow down"
    elif interruption:
        why = f"not sent: {interruption}"
    else:
        why = "not sent yet; the next cycle sends it"
    return LeftOut(
        {
            action.name: (
                action,
                why
                if action.name in chosen
                else "not part of what this command sends; it goes with the next run that may send it",
            )
            for action in plan.actions
            if action.name not in ended
        }
    )


def findings_of(
    planned: Sequence[Finding], noticed: Sequence[Finding], outcomes: Sequence[Outcome], left_out: LeftOut
) -> tuple[Finding, ...]:
    """Return the findings of a cycle for its report.

    `planned`: those of its last plan; what its actions made untrue is left out. `noticed`: those that its passes noted
    about rows while they looked. Lost answers and what was left out are added.
    """
    last = {outcome.action.name: outcome for outcome in outcomes}
    unsettled = {name for name, outcome in last.items() if outcome.error is not None} | set(left_out.actions)
    kept = [
        finding
        for finding in planned
        if not (finding.kind is FindingKind.UNCHANGED and finding.name in last)
        and not (finding.kind is FindingKind.ROLLED_BACK and finding.name in unsettled)
    ]
    settled = {NOT_SETTLED.format(name): name for name, outcome in last.items() if outcome.error is None}
    current = (_after_the_cycle(finding, settled.get(finding.message, "")) for finding in kept)
    return (*current, *noticed, *_lost_answers(kept, last), *left_out.findings)


def _after_the_cycle(finding: Finding, settled_name: str) -> Finding:
    """Return the finding with other words if it waited for a name that this very cycle has settled."""
    message = f"its new name {settled_name} is settled now; the next cycle sees to this one"
    return replace(finding, message=message) if settled_name else finding


def _lost_answers(findings: Sequence[Finding], last: Mapping[str, Outcome]) -> Iterator[Finding]:
    """Names with a last write that lost its answer: the site's value is not known."""
    known = {finding.name for finding in findings}
    for name, outcome in last.items():
        error, action = outcome.error, outcome.action
        if isinstance(error, TargetError) and error.maybe_done and name not in known:
            yield Finding(
                kind=FindingKind.UNVERIFIED,
                name=name,
                ref=action.record.ref if isinstance(action, Delete) else action.desired.ref,
                message=f"the answer to its write was lost: {error.message}",
                hint="the next cycle looks, and writes it again",
            )


def _code_of(finding: Finding) -> int:
    return finding.exit_code or int(finding.kind in FAILING_KINDS)


def exit_code_of(
    findings: Sequence[Finding],
    outcomes: Sequence[Outcome],
    failures: Sequence[ReadFailure],
    error: SyncdError | None,
) -> int:
    """The exit code of a cycle."""
    codes = {_code_of(finding) for finding in findings}
    last = {outcome.action.name: outcome for outcome in outcomes}.values()
    # A name that the site took at the second try has not failed.
    codes |= {outcome.error.exit_code for outcome in last if isinstance(outcome.error, SyncdError)}
    # A source that was read only in part is 4, though the rest was done.
    codes |= {SourceError.exit_code} if failures else set()
    codes |= {error.exit_code} if error else set()
    return worst(codes)


def narrowed(report: SyncReport, paths: Collection[str], rules: Iterable[Rule]) -> SyncReport:
    """Return a report with only what concerns these source paths, and with the exit code of that.

    The rest was no part of the run. `rules`: the job's. A rule that could not be listed as a whole concerns each path
    that it takes.
    """
    findings = tuple(item for item in report.findings if item.ref is not None and item.ref.path in paths)
    globs = {rule.path.text for rule in rules if any(selects_path(rule, path) for path in paths)}
    failures = tuple(
        item
        for item in report.failures
        if item.location in globs or any(lies_in(path, item.location) for path in paths)
    )
    error = report.error if isinstance(report.error, SyncdError) else None
    code = exit_code_of(findings, report.outcomes, failures, error)
    return replace(report, findings=findings, failures=failures, exit_code=code)


def counts(report: SyncReport) -> dict[str, int]:
    """Return the numbers of what was done and found, by word, for example `created` or `drift`."""
    numbers = {f"{verb}d": report.count(verb) for verb in ("create", "update", "delete")}
    numbers["sought"] = report.count("seek")
    # What was answered with an error in the end; a name that was tried twice counts once.
    last = {outcome.action.name: outcome for outcome in report.outcomes}.values()
    numbers["failed"] = sum(1 for outcome in last if outcome.error is not None)
    for kind in FindingKind:
        numbers[kind.value] = numbers.get(kind.value, 0) + len(report.found(kind))
    return {word: number for word, number in numbers.items() if number or word in {"created", "updated", "deleted"}}


def reason_of(report: SyncReport) -> str:
    """Why a cycle did not end with 0, in one line; empty if it did."""
    if report.exit_code == 0:
        return ""
    if report.error is not None:
        return str(report.error)
    for failure in report.failures:
        return f"{failure.location}: {failure.message}"
    notable = [
        (_code_of(finding), f"{finding.name}: {finding.message}".removeprefix(": "))
        for finding in report.findings
        if _code_of(finding) or finding.kind is FindingKind.WITHHELD
    ]
    failed = [
        (getattr(outcome.error, "exit_code", 0), f"{outcome.action.name}: {outcome.error}")
        for outcome in report.outcomes
        if outcome.error is not None
    ]
    # First what the exit code is of: a denied secret does not explain a 6.
    lines = [line for _, line in sorted([*notable, *failed], key=lambda item: item[0] != report.exit_code)]
    return (lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")) if lines else ""
