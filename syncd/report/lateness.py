"""Does a job keep its objective on a site: has each new version arrived in time, as far as anybody could look?"""

from __future__ import annotations

from datetime import datetime

from syncd.bootstrap.app import App
from syncd.domain import LastRun, OpenProblem, Pending, Record
from syncd.domain.job import Job
from syncd.domain.lateness import waited

WAITS = {"conflict", "failed", "held", "pending", "quarantined", "unverified"}
"""Kinds of problems by which a new version does not arrive. What a rule denies is not to arrive; what a person froze or
rolled back does not count meanwhile."""


def why_late(app: App, job: Job, target: str, run: LastRun | None, now: datetime) -> str:
    """Why a job misses its objective on a target at this moment; empty if it keeps it, or promises nothing.

    `run`: its last one there. Windows that are shut and pauses do not count. Raises `LedgerError`.
    """
    promised = job.objective
    # Before the first cycle nobody knows what is to be there; a pause that lasts is told as such.
    if promised is None or run is None or app.runtime.paused(job.name, target):
        return ""
    rests = app.ledger.rests(job.name, target, run.site)

    # Looking is not bound to a window.
    if waited(run.good_since, now, enough=promised, rests=rests) > promised:
        return "its last good cycle is older"
    late = 0
    for problem in app.ledger.known_problems(run.site, job.name).values():
        if problem.kind in WAITS and now - problem.first_at > promised:
            record = app.ledger.record(run.site, problem.subject)
            if record is not None and _awaits_no_version(app, problem, record):
                continue
            verb = "create" if record is None else "update"
            span = waited(problem.first_at, now, enough=promised, windows=job.windows, verb=verb, rests=rests)
            late += span > promised
    return f"{late} of its secrets {'has' if late == 1 else 'have'} waited for longer" if late else ""


def _awaits_no_version(app: App, problem: OpenProblem, record: Record) -> bool:
    """Does the site hold what its source has? Then what waits is a deletion, or what others changed at Wix."""
    if record.pending is Pending.DELETE:
        return True
    is_unsure = record.remote_id is None or problem.kind in {"pending", "unverified"}
    if is_unsure or (problem.ref is not None and problem.ref != record.ref):
        return False
    state = app.ledger.known_path(record.ref.source, record.ref.path, record.pin)
    return state is None or state.version.token == record.version
