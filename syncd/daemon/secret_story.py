"""The page of one secret: where it is, what it breaks, what to do, what happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from syncd.bootstrap.app import App
from syncd.daemon.attention import frozen_by
from syncd.daemon.not_reached import not_reached
from syncd.daemon.rights import sees_scope
from syncd.daemon.secrets_page import row_of_problem, secret_row
from syncd.domain import OpenProblem, SecretRef, version_label
from syncd.ledger.audit_reading import Filter
from syncd.ledger.search import Search
from syncd.report.inventory import record_owner
from syncd.report.rule_hits import hits_on, hits_on_refused, told_to, what_is_wrong
from syncd.report.whereabouts import lacking
from syncd.web.principal import Principal

NextRun = Callable[[str], datetime | None]


def secret_story(
    app: App, who: Principal, key: tuple[str, str], batches: list[dict[str, Any]], next_run: NextRun
) -> dict[str, Any] | None:
    """Return one secret's story: each place of its reference, the rules that it breaks, what happened to it.

    None if it is not there, or not within the rights of `who`. `key`: its site's key and its name; `batches`: what
    waits for a release, as `who` may see it; `next_run`: tells when a job runs next.
    """
    (site, name), now = key, app.runtime.clock()
    record = app.ledger.record(site, name)
    problems = [member for member in app.ledger.all_problems() if (member.site, member.subject) == key]
    if record is None and not problems:
        asked = Search(text=name, sites=frozenset({site}))
        problems = [item for item in not_reached(app, asked, app.served, now) if item.subject == name][:1]
    if record is None and not problems:
        return None
    job = record.job if record else problems[0].job
    target = app.first_target_on(site, job)
    # Answered as if it were not there: nobody learns which names others have.
    if not who.sees(target):
        return None
    ref = record.ref if record else problems[0].ref
    rollback = app.ledger.rollback_of(ref.source, ref.path) if ref else None
    known = _known_places(app, ref) if ref else []
    # A site that is paused, or refuses everything, has neither a row nor a problem of it.
    places = [*known, *(map(_place, lacking(app, ref)) if ref else ())]
    places.sort(key=lambda row: (row["target"], row["name"]))
    label = rollback.label if rollback else ""
    row = secret_row(app, record, app.served, now) if record else row_of_problem(problems[0], target)
    for place in (*places, row) if rollback else ():
        # It was asked for, and no cycle has brought it yet.
        if place["status"] == "synced" and place["version"] != label:
            place["status"] = "behind"
    seen = [place for place in places if who.sees(place["target"])]
    run = app.ledger.last_run(site, job)
    state = app.ledger.known_path(ref.source, ref.path, record.pin) if ref and record else None
    # What is read of the path is the older version, so the newest one is remembered apart.
    newest = app.ledger.newest_seen(ref.source).get(ref.path) if ref and rollback else None
    lines = list(app.ledger.audit.lines(Filter(site=site, name=name), most=50))
    is_frozen = record is not None and record.is_frozen(now)
    return {
        "name": name, "site": site, "target": target, "job": job,
        "row": row,
        "ref": str(ref) if ref else None,
        "path": f"{ref.source}:{ref.path}" if ref and record else None,
        "goes_back": sorted({place["target"] for place in seen if place["remote_id"]}),
        "is_whole": all(who.sees(place["target"]) for place in known),
        "job_is_whole": sees_scope(app, who, "job", job),
        "owner": record_owner(app, record) if record else "",
        "rests": app.runtime.paused(job, target),
        "next_run": next_run(job),
        "is_passed_over": (site, job) in app.served.stale,
        "run": {"exit_code": run.exit_code, "message": run.message, "at": run.finished_at, "good": run.succeeded_at}
        if run else None,
        "frozen_until": record.frozen_until if record and is_frozen else None,
        "frozen_by": frozen_by(app, site, name)[0] if is_frozen else "",
        "source": {"version": version_label(state.version.token), "made": state.updated_at} if state else None,
        "rollback": str(rollback) if rollback else None,
        "newest": version_label(newest.version.token) if newest else None,
        "rolled_back": sorted({place["target"] for place in seen if place["version"] == label}),
        "places": seen,
        "problems": list(map(_told, problems)),
        "rules": [
            {"rule": hit.rule.id, "then": hit.rule.then.value, "message": what_is_wrong(hit),
             "judged": hit.is_judged, "left alone": hit.exemption.reason if hit.exemption else None}
            for hit in told_to(hits_on(app, record) if record else hits_on_refused(app, problems[0]), who.sees)
        ],
        "held": [
            batch
            for batch in batches
            if batch["site"] == site and any(action["name"] == name for action in batch["actions"])
        ],
        "lines": list(reversed(lines)),
    }  # fmt: skip


def _known_places(app: App, ref: SecretRef) -> list[dict[str, Any]]:
    """Where the secret is, and where it was to come and did not: denied, held, in conflict."""
    served, now = app.served, app.runtime.clock()
    rows = (row for row in app.ledger.records_from(ref.source, ref.path) if row.ref == ref)
    never = (problem for problem in app.ledger.problems_of_no_row() if problem.ref == ref)
    return [
        *(secret_row(app, row, served, now) for row in rows),
        *(row_of_problem(problem, app.first_target_on(problem.site, problem.job)) for problem in never),
    ]


def _told(problem: OpenProblem) -> dict[str, Any]:
    return {
        "status": problem.kind, "message": problem.message, "fix": problem.hint, "since": problem.first_at,
        "version": version_label(problem.version),
    }  # fmt: skip


def _place(row: dict[str, Any]) -> dict[str, Any]:
    """A site that lacks the secret, in the form of a record's row; it has no page of its own."""
    return {**row, "source_changed_at": None, "remote_id": None}
