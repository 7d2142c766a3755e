"""Find what a job sends to a site and has not sent there yet, because the site refuses everything or is paused.

The ledger has nothing of it on that site, so the records of the job's other sites show what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from syncd.bootstrap.app import App
from syncd.domain import OpenProblem, Record
from syncd.domain.statuses import Served, status_of_record
from syncd.ledger.search import Search
from syncd.report.whereabouts import lacking

UNWANTED = {"missing", "orphan", "detached"}
"""Statuses of a secret that is about to leave its site; nobody expects it on further sites."""


def not_reached(app: App, search: Search, served: Served, now: datetime) -> Iterator[OpenProblem]:
    """Yield a problem for each secret that fits the search on other sites and has never come to a site of the search.

    A rule has to take it for that site now, and the ledger has neither a record nor a problem of it there. A search
    without sites finds nothing.
    """
    elsewhere, _ = app.ledger.find(replace(search, sites=None, status="", after=None), served, now)
    wanted = [record for record in elsewhere if status_of_record(record, served, now) not in UNWANTED]
    for record in _once(wanted):
        # What a rule of a job takes now, and nothing tells of there.
        lack = {row["site"] for row in lacking(app, record.ref)} & (search.sites or frozenset())
        for site in sorted(site for site in lack if record.job in served.jobs.get(site, ())):
            if app.ledger.record(site, record.name) is None:
                yield _never_came(app, record, site, now)


def _once(records: Iterable[Record]) -> Iterator[Record]:
    return iter({(record.job, record.name): record for record in records}.values())


def _never_came(app: App, record: Record, site: str, now: datetime) -> OpenProblem:
    run = app.ledger.last_run(site, record.job)
    target = app.first_target_on(site, record.job)
    why = app.runtime.paused(record.job, target) or (run.message if run else "") or "no cycle has seen it there yet"
    return OpenProblem(
        site=site,
        job=record.job,
        subject=record.name,
        kind="behind",
        message=f"it has not come here yet: {why}",
        hint=str(json.loads(run.counts or "{}").get("fix", "")) if run else "",
        ref=record.ref,
        first_at=run.good_since if run else now,
    )
