"""Plan with a candidate configuration, such as that of a pull request, on the daemon's own ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from syncd.bootstrap.app import App, Surroundings, digest_of
from syncd.config import Settings
from syncd.config.loader import candidate
from syncd.errors import ConfigError, SyncdError
from syncd.reconcile.cycle import Cycle
from syncd.reconcile.observe.observation_cache import ObservationCache
from syncd.reconcile.planned_pass import Look
from syncd.reconcile.saved_plan import FORMAT, actions_of, sealed


def planned_with(app: App, text: str) -> dict[str, Any]:
    """Return the content of a plan file that is made under a candidate configuration, and what could not be planned.

    The ledger is the daemon's, whichever one the candidate names: else the plan would show what the other one knows.
    `text`: the candidate as YAML. Raises `ConfigError` for a candidate that cannot be used.
    """
    settings = candidate(text, Path("candidate.yaml"))
    # Marks at Wix carry the owner: a plan under another one would take nothing for ours.
    if settings.owner != app.settings.owner:
        raise ConfigError("the candidate is of another owner than the daemon", hint="see owner")
    _see_that_it_reaches_nothing_new(app.settings, settings)
    kept = {"state": app.settings.state, "server": None, "audit": app.settings.audit}
    settings = settings.model_copy(update=kept)
    plans, failed = [], []
    with App(settings, Surroundings(), writable=False) as other:
        # Whoever writes a candidate chooses names and rules: judged by those, values would be told bit by bit.
        runtime = replace(other.runtime, judges_values=False)
        cache = ObservationCache()  # each site is listed once, whatever a candidate asks for
        for job in runtime.jobs.values():
            for target in job.targets:
                try:
                    planned = Cycle(Look(runtime=runtime, job=job, target_name=target)).plan(cache)
                # A site that does not answer leaves the rest of the plan worth reading; it is named beside it.
                except SyncdError as error:
                    failed.append({"job": job.name, "target": target, "error": error.message, "hint": error.hint})
                    continue
                site = runtime.site_of(target)
                plans.append({"job": job.name, "target": target, "site": site, "actions": actions_of(planned)})
    content = {"format": FORMAT, "configuration": digest_of(settings), "plans": plans}
    return {**sealed(content), "failed": failed}


def _see_that_it_reaches_nothing_new(known: Settings, asked: Settings) -> None:
    """Raise `ConfigError` for a source or target that is new, or is reached or logged in to otherwise than in force.

    Otherwise the daemon would send its own credentials to any address that somebody writes into a candidate.
    """
    for section in ("sources", "targets"):
        in_force = getattr(known, section)
        for name, item in getattr(asked, section).items():
            same = in_force.get(name)
            if same is None or _ways(same) != _ways(item):
                raise ConfigError(
                    f"{section}.{name} is not in force as the candidate has it",
                    hint="plan that where its credentials are: syncd plan --format md",
                )


def _ways(settings: BaseModel) -> dict[str, Any]:
    """Return the settings by which a source or target is reached and logged in to; rules select by the others."""
    return settings.model_dump(mode="json", exclude={"labels", "name_profile", "owner_key"})
