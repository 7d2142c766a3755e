"""From the settings and the ledger to a forecast; what `syncd forecast` shows, and the daemon's budgets."""

from __future__ import annotations

import json
import math
from datetime import timedelta

from syncd import forecast
from syncd.bootstrap import App
from syncd.config.fields import parse_duration
from syncd.config.settings import AwsSettings, JobSettings
from syncd.models import PathState
from syncd.naming import selects_path
from syncd.sources import PAGE
from syncd.world import Job


def job_facts(app: App) -> list[forecast.JobFacts]:
    """Each job as configured, with what the ledger knows of it."""
    runs = {run.job: json.loads(run.counts or "{}") for run in app.ledger.runs()}
    states = {source: app.ledger.known_paths(source) for source in app.settings.sources}
    facts = []
    for name, job in sorted(app.world.jobs.items()):
        settings = app.settings.jobs[name]
        known = [state for (path, pin), state in states[job.source].items() if _selected(job, path, pin)]
        schedule = settings.schedule
        records = [one for one in app.ledger.records() if one.job == name]
        facts.append(
            forecast.JobFacts(
                name=name,
                source=job.source,
                interval=schedule.interval() if schedule else None,
                stretchable=bool(schedule and schedule.every),
                listing_calls=runs.get(name, {}).get("listing_calls") or _guessed(app, job, settings, known),
                paths=len(known),
                every_value=any(state.version.token.startswith("kv1:") for state in known),
                verify_every=settings.verify_every or None,
                names={target: sum(one.target == target for one in records) for target in job.targets},
            )
        )
    return facts


def _selected(job: Job, path: str, pin: str) -> bool:
    return any(rule.pin == pin and selects_path(rule, path) for rule in job.rules)


def _guessed(app: App, job: Job, settings: JobSettings, known: list[PathState]) -> int:
    """The listing's calls of a job that never ran: by the cheapest means."""
    if not isinstance(app.settings.sources[settings.source], AwsSettings):
        return 2 * len(job.rules)  # which mount, and one call for the tree
    globs = sum(rule.path.has_wildcard for rule in job.rules)
    return len(job.rules) - globs + globs * max(1, math.ceil(len(known) / PAGE))


def sources(app: App, facts: list[forecast.JobFacts]) -> list[forecast.SourceForecast]:
    """One row a source."""
    return [
        forecast.of_source(name, facts, is_aws=isinstance(settings, AwsSettings), budget=settings.budget)
        for name, settings in sorted(app.settings.sources.items())
    ]


def targets(app: App, facts: list[forecast.JobFacts]) -> list[forecast.TargetForecast]:
    """One row a target."""
    rows = []
    for name, settings in sorted(app.settings.targets.items()):
        count, _, span = settings.rate_limit.partition("/")
        rows.append(forecast.of_target(name, facts, limit=int(count), window=parse_duration(span)))
    return rows


def intervals(app: App, facts: list[forecast.JobFacts]) -> dict[str, timedelta]:
    """The stretched intervals of the jobs whose source has a budget that they would break."""
    told: dict[str, timedelta] = {}
    for name, settings in app.settings.sources.items():
        if settings.budget:
            here = [job for job in facts if job.source == name]
            told |= forecast.stretched(here, budget=settings.budget, is_aws=isinstance(settings, AwsSettings))
    return told
