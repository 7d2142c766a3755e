"""A job on all its sites."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from syncd.domain import Action, Delete, Plan, SyncReport
from syncd.domain.allowance import DeletionAllowance
from syncd.domain.job import Job
from syncd.errors import LedgerBusy, LedgerError
from syncd.reconcile.cycle import Cycle
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.planned_pass import Look, PlannedPass
from syncd.reconcile.rules.gate import is_of_a_rollback, objection_to
from syncd.reconcile.runtime import Runtime

MOST_SITES = 64
"""Sites that one job works on at the same time; a site that waits counts, and holds up no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a job is run this time."""

    holder: str
    """The name of this process, as it is shown to others that wait for its lock."""
    wait: timedelta
    """How long to wait for another process that works on a site."""
    allowance: DeletionAllowance = field(default_factory=DeletionAllowance)
    cache: ObservationCache = field(default_factory=ObservationCache)
    hinted_paths: frozenset[str] = frozenset()
    """Source paths that an event named."""
    outside_window: bool = False
    """Does a person allow sending outside the jobs' windows?"""
    only_paths: frozenset[str] | None = None
    """Send only the versions that rollbacks of these source paths give, and delete nothing; None: everything."""
    ends_rollbacks: bool = False
    """Did those rollbacks end? Then the newest versions go, else the older ones."""
    on_turn: Callable[[str], None] | None = None
    """Called with each site once it is this run's turn there: what people decide later is for the next run."""
    on_report: Callable[[SyncReport], None] | None = None
    """Called with each report as soon as there is one; the reports that are returned are brief then.

    So two hundred sites take no more memory than eight.
    """


def sync_job(runtime: Runtime, job: Job, run: Run) -> list[SyncReport]:
    """Run one cycle of a job on each of its targets. Returns: one report each, in their order.

    Sites are worked on in parallel and share one look at the source. The targets of one site run one after the other,
    and so do all targets where deletions are allowed by number; a ledger that fails, or a stop, ends such a series,
    and the rest of it has no report.
    """
    telling = threading.Lock()

    def is_decided(action: Action) -> bool:
        # One that ran out while this command waited for its turn gives nobody the version that it kept back.
        is_older = not isinstance(action, Delete) and action.desired.rolled_back
        return is_of_a_rollback(action, runtime.is_one_secret) and is_older is not run.ends_rollbacks

    def may_go(action: Action) -> bool:
        return is_decided(action) or not objection_to(action, job.windows, runtime.clock(), runtime.is_one_secret)

    is_part = run.only_paths is not None
    chosen = partial(is_from, run.only_paths or frozenset(), may_go)
    choose = partial(only, chosen) if is_part else None
    in_turn: dict[str, list[str]] = {}
    for name in job.targets:
        # A total of allowed deletions can only be counted down one site after the other.
        in_turn.setdefault("all" if run.allowance else runtime.site_of(name), []).append(name)

    def work(names: list[str]) -> list[SyncReport]:
        reports: list[SyncReport] = []
        for name in names:
            look = Look(
                runtime=runtime,
                job=job,
                target_name=name,
                holder=run.holder,
                hinted_paths=run.hinted_paths,
                outside_window=run.outside_window,
                opens_for=is_decided if is_part else None,
                part=chosen if is_part else None,
            )
            report = Cycle(look, allowed_deletes=run.allowance.left_on(name)).run(
                run.cache, wait=run.wait, choose=choose, on_turn=run.on_turn
            )
            run.allowance.spend(name, report.deletions_sent)
            if run.on_report is not None:
                with telling:
                    run.on_report(report)
                report = replace(report, outcomes=report.deletions, findings=(), failures=())
            reports.append(report)
            # A site that another process has keeps nobody from the next one; a ledger that fails does.
            error = reports[-1].error
            if (isinstance(error, LedgerError) and not isinstance(error, LedgerBusy)) or runtime.stopped():
                break
        return reports

    if len(in_turn) == 1:
        return work(list(job.targets))
    # What was asked to slow down comes last: it gives way to those that answer.
    ordered = sorted(in_turn.values(), key=lambda names: runtime.target_delay(names[0]))
    with ThreadPoolExecutor(min(len(ordered), MOST_SITES), thread_name_prefix="site") as pool:
        # Each thread has a copy of the context: it says in the audit trail who acts, and why.
        working = [pool.submit(contextvars.copy_context().run, work, names) for names in ordered]
        reports = [report for site in working for report in site.result()]
    return sorted(reports, key=lambda report: job.targets.index(report.target))


def is_from(paths: Container[str], may_go: Callable[[Action], bool], action: Action) -> bool:
    """May the action go in a run for these paths? It has to come from one of them, and be no deletion.

    `may_go`: does it bring the version that was decided on, or is the job's window open for it? A new name, or one
    that passes on, waits for the window all the same.
    """
    return not isinstance(action, Delete) and action.desired.ref.path in paths and may_go(action)


def only(chosen: Callable[[Action], bool], planned: PlannedPass) -> Plan:
    """Return a plan with only the chosen actions."""
    return replace(planned.plan, actions=tuple(filter(chosen, planned.plan.actions)))
