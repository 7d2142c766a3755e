"""The plans of all jobs of one command, and what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from syncd.cli.context import chosen_jobs
from syncd.cli.plan_markdown import Part
from syncd.cli.plan_wishes import Wishes
from syncd.domain import FAILING_KINDS, Finding, verb_of
from syncd.errors import SyncdError

if TYPE_CHECKING:
    from syncd.bootstrap.app import App
    from syncd.reconcile.planned_pass import PlannedPass


@dataclass(slots=True)
class AllJobs:
    """The plans of all jobs on all of their sites, added up."""

    codes: set[int] = field(default_factory=set)
    plans: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    errors: list[tuple[str, str, SyncdError]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    total: Counter[str] = field(default_factory=Counter)
    waiting: set[tuple[str, str, str]] = field(default_factory=set)
    """What is held back, by site, job and name."""
    wishes: Wishes = field(default_factory=Wishes)

    def fail(self, job: str, target: str, error: SyncdError) -> None:
        """Note that one plan could not be made because a source or site refused. As in a cycle, the other plans go on.

        The exit code tells it.
        """
        self.codes.add(error.exit_code)
        self.failed.append({"job": job, "target": target, "error": error.message, "hint": error.hint})
        self.errors.append((job, target, error))
        self.parts.append(Part(job=job, target=target, rows=(), notes=(error.message,)))

    def take(self, job: str, target: str, site: str, planned: PlannedPass) -> tuple[Finding, ...]:
        """Add one plan, without the actions that an earlier job sends already. Returns: all findings to be shown."""
        from syncd.reconcile.saved_plan import actions_of

        # A plan shows both jobs the same site; in a sync the second one finds what the first has written.
        fresh, disputed = self.wishes.sorted_out(site, job, planned.plan.actions)
        planned.plan = replace(planned.plan, actions=fresh)
        told = (self.wishes.foretold(site, finding) for finding in planned.plan.findings)
        findings = (*told, *planned.desired.findings, *disputed, *planned.noticed)
        self.total.update(map(verb_of, planned.plan.actions))
        # Two targets of a job may be one site, where each waits once.
        self.waiting |= {(site, job, held.action.name) for held in planned.plan.held}
        self.codes |= {finding.exit_code or int(finding.kind in FAILING_KINDS) for finding in findings}
        # A source that was read in part only is 4, though all the rest was planned.
        self.codes |= {4} if planned.source.failures else set()
        # Without what has no version (KV v1): nothing but a fingerprint could tell later whether it has moved.
        kept = actions_of(planned)
        self.plans.append({"job": job, "target": target, "site": site, "actions": kept})
        return findings


def each_plan(app: App, jobs: list[str], all_jobs: AllJobs) -> Iterator[tuple[str, str, PlannedPass]]:
    """Yield the plan of each job on each of its targets; a plan that cannot be made goes to `all_jobs.fail`.

    `jobs`: their names; empty: all. Raises `ConfigError` for a job that is not there.
    """
    from syncd.reconcile.cycle import Cycle
    from syncd.reconcile.observe.observation_cache import ObservationCache
    from syncd.reconcile.planned_pass import Look

    # One for all jobs: each source and site is listed once for the whole plan, so its parts agree.
    cache = ObservationCache()
    for job in chosen_jobs(app, jobs):
        for target in job.targets:
            try:
                planned = Cycle(Look(runtime=app.runtime, job=job, target_name=target)).plan(cache)
            except SyncdError as error:
                all_jobs.fail(job.name, target, error)
                continue
            # What rests sends nothing, and takes no later job's room.
            if not app.runtime.paused(job.name, target):
                cache.foresee(app.site_of(target), planned.plan.actions)
            yield job.name, target, planned
