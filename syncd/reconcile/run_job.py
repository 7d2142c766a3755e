"""A job on all its sites."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from syncd.domain import SyncReport
from syncd.domain.allowance import DeletionAllowance
from syncd.errors import LedgerError
from syncd.reconcile.cycle import Cycle
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.runtime import Job, Runtime

MOST_SITES = 64
"""Sites that one job has under way, the waiting ones included: one that waits holds up no other."""


def sync_job(
    world: Runtime,
    job: Job,
    *,
    holder: str,
    wait: timedelta,
    allowance: DeletionAllowance | None = None,
    tick: ObservationCache | None = None,
    named: frozenset[str] = frozenset(),
    ended: Callable[[SyncReport], None] | None = None,
) -> list[SyncReport]:
    """One cycle of a job on each of its targets; one report each, in their order.

    `ended` is told each report as soon as it is there, and what is returned is brief then: two hundred sites
    take no more memory than eight.

    Sites are worked on in parallel, on one look at the source; the targets of one site, and all where
    deletions are allowed by number, one after the other.
    """
    tick, telling = tick or ObservationCache(), threading.Lock()
    allowance = allowance or DeletionAllowance()
    in_turn: dict[str, list[str]] = {}
    for name in job.targets:
        in_turn.setdefault("all" if allowance else world.site_of(name), []).append(name)

    def work(names: list[str]) -> list[SyncReport]:
        reports: list[SyncReport] = []
        for name in names:
            cycle = Cycle(world, job, name, allowed_deletes=allowance.left_on(name), named=named)
            report = cycle.run(tick, holder=holder, wait=wait)
            allowance.spend(name, report.deletions_sent)
            if ended is not None:
                with telling:
                    ended(report)
                report = replace(report, outcomes=report.deletions, findings=(), failures=())
            reports.append(report)
            if isinstance(reports[-1].error, LedgerError) or world.stopped():
                break
        return reports

    if len(in_turn) == 1:
        return work(list(job.targets))
    # What was asked to slow down comes last: it gives way to those that answer.
    ordered = sorted(in_turn.values(), key=lambda names: world.target_delay(names[0]))
    with ThreadPoolExecutor(min(len(ordered), MOST_SITES), thread_name_prefix="site") as pool:
        working = [pool.submit(contextvars.copy_context().run, work, names) for names in ordered]
        reports = [report for site in working for report in site.result()]
    return sorted(reports, key=lambda report: job.targets.index(report.target))
