"""Make the forecast that `syncd forecast` shows, from the settings and the ledger."""

from __future__ import annotations

import json
import math
from collections import Counter

from syncd.bootstrap.app import App
from syncd.config.fields import parse_duration
from syncd.config.settings import AwsSettings, JobSettings
from syncd.domain import PathState, is_fingerprint
from syncd.domain.job import Job
from syncd.domain.naming import selects_path
from syncd.forecast import model as forecast
from syncd.sources.limits import PAGE


def job_facts(app: App) -> list[forecast.JobFacts]:
    """Each job as configured, with what the ledger knows of it."""
    runs = {run.job: json.loads(run.counts or "{}") for run in app.ledger.runs()}
    states = {source: app.ledger.known_paths(source) for source in app.settings.sources}
    held: Counter[tuple[str, str]] = Counter()
    # Counted by the database: a ledger may hold a million records.
    for tally in app.ledger.tallies(app.runtime.clock()):
        held[tally.site, tally.job] += tally.count
    facts = []
    for name, job in sorted(app.runtime.jobs.items()):
        settings = app.settings.jobs[name]
        known = [state for (path, pin), state in states[job.source].items() if _selected(job, path, pin)]
        schedule = settings.schedule
        facts.append(
            forecast.JobFacts(
                name=name,
                source=job.source,
                interval=schedule.interval() if schedule else None,
                listing_calls=runs.get(name, {}).get("listing_calls") or _guessed(app, job, settings, known),
                paths=len(known),
                # KV v1 has no versions: what the ledger has in their place is a fingerprint, which only reading tells.
                every_value=any(is_fingerprint(state.version.token) for state in known),
                verify_every=settings.verify_every or None,
                names={target: held[app.site_of(target), name] for target in job.targets},
            )
        )
    return facts


def _selected(job: Job, path: str, pin: str) -> bool:
    return any(rule.pin == pin and selects_path(rule, path) for rule in job.rules)


def _guessed(app: App, job: Job, settings: JobSettings, known: list[PathState]) -> int:
    """Estimate the calls of one listing for a job that never ran, as if it were listed by the cheapest method."""
    if not isinstance(app.settings.sources[settings.source], AwsSettings):
        return 2 * len(job.rules)  # which mount, and one call for the tree
    globs = sum(rule.path.has_wildcard for rule in job.rules)
    return len(job.rules) - globs + globs * max(1, math.ceil(len(known) / PAGE))


def sources(app: App, facts: list[forecast.JobFacts]) -> list[forecast.SourceForecast]:
    """Return the forecast of each source, ordered by name."""
    return [
        forecast.of_source(name, facts, is_aws=isinstance(settings, AwsSettings))
        for name, settings in sorted(app.settings.sources.items())
    ]


def targets(app: App, facts: list[forecast.JobFacts]) -> list[forecast.TargetForecast]:
    """Return the forecast of each target, ordered by name."""
    rows = []
    for name, settings in sorted(app.settings.targets.items()):
        count, _, span = settings.rate_limit.partition("/")
        rows.append(forecast.of_target(name, facts, limit=int(count), window=parse_duration(span)))
    return rows
