"""What `syncd explain` tells of one name, path or id: the rules, the ledger, and what the next cycle would do."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from syncd.domain import Action, Delete, Finding, HistoryEntry, OpenProblem, ReadFailure, Record, SecretRef
from syncd.domain.untrusted import mapping
from syncd.errors import SyncdError

if TYPE_CHECKING:
    from syncd.bootstrap.app import App
    from syncd.domain.job import Job
    from syncd.reconcile.planned_pass import PlannedPass

HISTORY = 20
"""Actions on a name on a site that `explain --json` tells; the text shows the last five."""


@dataclass(slots=True, kw_only=True)
class NextCycle:
    """What the next cycle of one job on one target would do about the name, path or id in question, as seen now."""

    job: str
    target: str
    wanted: tuple[str, ...] = ()
    """The names that the job gives the secret on this target."""
    listed: bool = False
    """Does the source list the path of the secret?"""
    unread: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    """The version that the source has now, by the name on this target."""
    actions: tuple[Action, ...] = ()
    findings: tuple[Finding, ...] = ()
    failures: tuple[ReadFailure, ...] = ()
    """Places of the job that could not be read."""
    error: SyncdError | None = None
    """Why this cycle could not be planned; None if it could."""

    @property
    def says_nothing(self) -> bool:
        """Does this job have nothing to do with the name, path or id in question?"""
        return not (self.wanted or self.listed or self.unread or self.actions or self.findings)


@dataclass(slots=True, kw_only=True)
class Explanation:
    """Everything about one name, path or id."""

    subject: str
    records: list[Record]
    problems: list[OpenProblem]
    mappings: list[dict[str, Any]]
    """Which rules take the path, and the names that they give it."""
    excluded: list[dict[str, str]]
    """Which rules would take the path, but for an `exclude`."""
    cycles: list[NextCycle] = field(default_factory=list)
    similar: list[str] = field(default_factory=list)
    """Known names and source paths that are close to the one in question; only where nothing is known of that one."""
    history: list[HistoryEntry] = field(default_factory=list)
    """The last actions on a name of which the ledger has no record any more."""

    @property
    def is_empty(self) -> bool:
        """Is nothing known of the name, path or id in question?"""
        known = (self.records, self.problems, self.mappings, self.excluded, self.history)
        return not any(known) and all(cycle.says_nothing for cycle in self.cycles)


def explanation_of(app: App, what: str, target: str | None = None) -> Explanation:
    """Look a name, path or id up in the ledger and the rules, and see what the next cycle would do about it.

    `target`: look on this target only. Raises `LedgerError`.
    """
    explanation = _explained(app, what, target)
    # A name that a rule gives outright is known from the file, though its path or field is not there.
    if explanation.is_empty and (path := _named_outright(app, what, target)):
        explanation = _explained(app, path, target)
    if explanation.is_empty:
        explanation.similar = _similar(app, explanation.subject)
    return explanation


def _explained(app: App, what: str, target: str | None) -> Explanation:
    subject = _path_of(app, what)
    site = app.site_of(target) if target else None
    records = [
        record for record in app.ledger.records(site) if subject in {record.name, record.ref.path, record.remote_id}
    ]
    problems = [
        problem
        for problem in app.ledger.all_problems()
        if (problem.subject in {what, subject} or (problem.ref is not None and problem.ref.path == subject))
        and site in {None, problem.site}
    ]
    explanation = Explanation(
        subject=subject,
        records=records,
        problems=problems,
        mappings=[row for row in _mappings(app, subject) if target in {None, row["target"]}],
        excluded=list(_exclusions(app, subject)),
    )
    if not records:
        # Where records are left, each shows the lines of its own site.
        explanation.history = list(app.ledger.history(subject, site, most=HISTORY))
    explanation.cycles = list(_next_cycles(app, explanation, target))
    return explanation


def _named_outright(app: App, name: str, target: str | None) -> str:
    """Return the exact path of a rule whose `name` is this very name; empty if there is none.

    `target`: only rules of jobs that send to this target; None: of all jobs.
    """
    jobs = (job for job in app.runtime.jobs.values() if target is None or target in job.targets)
    rules = (rule for job in jobs for rule in job.rules)
    return next((rule.path.text for rule in rules if rule.name == name and not rule.path.has_wildcard), "")


def _path_of(app: App, what: str) -> str:
    """Return the path in a reference (`source:path#field` or `path#field`), else the text as it is.

    References are taken as our own lists write them.
    """
    source, colon, rest = what.partition(":")
    # A colon alone says nothing: an ARN is full of them.
    if colon and source in app.settings.sources:
        return rest.partition("#")[0]
    path = what.partition("#")[0]
    # Wix takes a `#` in names; a slash is only in paths.
    return path if "/" in path else what


def _mappings(app: App, path: str) -> Iterator[dict[str, Any]]:
    """Yield each rule that takes a path, with the name that it gives on each target, or why it gives none."""
    from syncd.domain.naming import selects_path, wix_name

    listed_by = listing_methods(app)
    for job in app.runtime.jobs.values():
        states = app.ledger.known_paths(job.source)
        mounts = app.ledger.known_mounts(job.source)
        first = path.split("/", maxsplit=1)[0]
        mount = max((known for known in mounts if path.startswith(known)), key=len, default=first).strip("/")
        for rule in job.rules:
            if not selects_path(rule, path):
                continue
            state = states.get((path, rule.pin))
            fields = (state.fields if state else None) or ()
            shown: tuple[str | None, ...] = fields if rule.field == "*" else (rule.field,)
            for name in shown or ("(each field, once it is read)",):
                ref = SecretRef(source=job.source, path=path, field=name)
                for target in job.targets:
                    row = {"job": job.name, "rule": rule.path.text, "target": target, "ref": str(ref)}
                    row["listed_by"] = listed_by.get((job.name, rule.path.text), "")
                    if rule.tags:
                        row["tags"] = ", ".join(f"{key}={value}" for key, value in rule.tags)
                    try:
                        given = wix_name(rule, ref, mount, app.settings.targets[target].name_profile)
                        yield {**row, "name": given if fields or rule.field != "*" else None}
                    except SyncdError as error:
                        # That no name can be made of it is the answer to the question, and ends nothing.
                        yield {**row, "name": None, "why_not": f"{error.message}; fix: {error.hint}"}


def _exclusions(app: App, path: str) -> Iterator[dict[str, str]]:
    """Which rules would take a path, but for one of their exclusions."""
    for job in app.runtime.jobs.values():
        for rule in job.rules:
            glob = next((glob for glob in rule.exclude if glob.matches(path)), None)
            if glob is not None and rule.path.matches(path):
                yield {"job": job.name, "rule": rule.path.text, "exclude": glob.text}


def listing_methods(app: App) -> dict[tuple[str, str], str]:
    """How each job's last cycle listed each rule's path."""
    by_job = {run.job: mapping(json.loads(run.counts or "{}").get("means")) for run in app.ledger.runs()}
    return {(job, path): how for job, methods in by_job.items() for path, how in methods.items()}


def _next_cycles(app: App, explanation: Explanation, only: str | None) -> Iterator[NextCycle]:
    """Plan the next cycle of each job that may have to do with what is asked for.

    Where no rule, record or problem names a job, all jobs are planned. Of these, a cycle is yielded if it has to do
    with the question, or if something could not be read. A job that cannot be planned is yielded with its error.
    """
    from syncd.reconcile.cycle import Cycle
    from syncd.reconcile.observe.observation_cache import ObservationCache
    from syncd.reconcile.planned_pass import Look

    concerned = {row["job"] for row in (*explanation.mappings, *explanation.excluded)} | {
        record.job for record in explanation.records
    }
    concerned |= {problem.job for problem in explanation.problems}
    cache = ObservationCache()
    for job in app.runtime.jobs.values():
        if concerned and job.name not in concerned:
            continue
        for target in (name for name in job.targets if only in {None, name}):
            try:
                planned = Cycle(Look(runtime=app.runtime, job=job, target_name=target)).plan(cache)
            except SyncdError as error:
                yield NextCycle(job=job.name, target=target, error=error)
            else:
                seen = _seen(job, target, planned, explanation)
                # A job that could not read all that it selects may have to do with it, for all that anybody knows.
                if concerned or seen.failures or not seen.says_nothing:
                    yield seen


def _seen(job: Job, target: str, planned: PlannedPass, explanation: Explanation) -> NextCycle:
    # A changed rule gives a record another name: by its id at Wix an action on it is known all the same.
    subject, ids = explanation.subject, {record.remote_id for record in explanation.records}
    paths = (
        {subject}
        | {record.ref.path for record in explanation.records}
        | {problem.ref.path for problem in explanation.problems if problem.ref}
    )
    names = (
        {subject}
        | {record.name for record in explanation.records}
        | {problem.subject for problem in explanation.problems}
    )

    def is_meant(name: str, ref: SecretRef | None, remote_id: str | None = None) -> bool:
        by_path = ref is not None and subject == ref.path
        return name in names or by_path or (remote_id is not None and remote_id in ids)

    actions = []
    for action in planned.plan.actions:
        ref = action.record.ref if isinstance(action, Delete) else action.desired.ref
        if is_meant(action.name, ref, action.record.remote_id if action.record else None):
            actions.append(action)
    found = (*planned.plan.findings, *planned.desired.findings)
    evidence = planned.source.evidence
    wanted = [desired for desired in planned.desired.all if is_meant(desired.name, desired.ref)]
    here = paths | {desired.ref.path for desired in wanted}
    return NextCycle(
        job=job.name,
        target=target,
        wanted=tuple(sorted({desired.name for desired in wanted})),
        versions={desired.name: planned.source.newest.get(desired.ref.path, desired.version) for desired in wanted},
        listed=any(path in here for path, _ in evidence.listed),
        unread=any(path in here for path, _ in evidence.unread),
        actions=tuple(actions),
        findings=tuple(finding for finding in found if finding.name and is_meant(finding.name, finding.ref)),
        failures=tuple(planned.source.failures),
    )


def _similar(app: App, subject: str) -> list[str]:
    known = {record.name for record in app.ledger.records()} | {record.ref.path for record in app.ledger.records()}
    return difflib.get_close_matches(subject, sorted(known), n=3, cutoff=0.6)
