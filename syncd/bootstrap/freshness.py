"""Which sites nobody looked at for too long: what they hold may not be what their sources have by now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from syncd.config.settings import Settings
from syncd.domain import LastRun
from syncd.domain.recency import happened_within
from syncd.ledger.store import Ledger

SLACK = timedelta(minutes=2)
"""Added to two intervals before a look counts as old: a run may take so long, or start so late."""


def stale(
    settings: Settings, ledger: Ledger, site_of: Callable[[str], str], now: datetime
) -> frozenset[tuple[str, str]]:
    """Return the sites and jobs that did not look at their source for two intervals, or not since it had news.

    Raises `LedgerError`.
    """
    runs = {(run.site, run.job): run for run in ledger.runs()}
    found = set()
    for name, job in settings.jobs.items():
        # Run by hand or by another scheduler: nobody said how often.
        span = None if job.schedule is None else 2 * job.schedule.interval() + SLACK
        news = ledger.news_at(name)
        for target in job.targets:
            run = runs.get((site_of(target), name))
            if run is None:
                continue
            # Where no look ever came to its end, what arrived did so at the first one.
            old = span is not None and not happened_within(run.looked_at or run.good_since, now, span)
            if old or _was_passed_over(run, news):
                found.add((run.site, name))
    return frozenset(found)


def _was_passed_over(run: LastRun, news: datetime | None) -> bool:
    """Has its source had news since the last cycle that looked at everything for the site?"""
    # A site that refuses at once ends its cycle before the news are written down.
    # What arrived where no look ever came to its end did so with the first one.
    look = run.looked_at or run.first_look
    return news is not None and look is not None and look < news
