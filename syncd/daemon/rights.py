"""What somebody may see and change, at the page or through the API: what is beyond it is not there for them."""

from __future__ import annotations

from syncd.bootstrap.app import App
from syncd.domain import Record
from syncd.errors import ConfigError
from syncd.reconcile.rollback_reach import Reach
from syncd.web.principal import Principal


class BeyondRights(ConfigError):
    """It is not there, or the caller may not see it; the message does not tell which."""


def sees_scope(app: App, who: Principal, kind: str, name: str) -> bool:
    """Does this job or target (or `all`) exist, and are all targets that it reaches within the rights?"""
    jobs, targets = app.settings.jobs, app.settings.targets
    reached = {
        "all": set(targets),
        "job": set(jobs[name].targets) if name in jobs else set[str](),
        "target": {name} & set(targets),
    }.get(kind, set[str]())
    # What reaches nothing is not there; of nothing, `all` would say that everybody may see it.
    return bool(reached) and all(map(who.sees, reached))


def sites_of(app: App, who: Principal) -> frozenset[str] | None:
    """The keys of the sites that somebody's rights are for; None: all."""
    return None if who.targets is None else frozenset(map(app.site_of, who.targets & app.settings.targets.keys()))


def see_scope(app: App, who: Principal, scope: tuple[str, str]) -> None:
    """Raise `ConfigError` for what is not there, or not within the rights."""
    kind, name = scope
    if not sees_scope(app, who, kind, name):
        what = "everything at once is not" if kind == "all" else f"there is no {kind} of that name"
        raise BeyondRights(f"{what} within your rights", hint="see jobs and targets")


NONE_SEEN = "there is no such secret within your rights"
"""Said both of a secret that is not there and of one beyond the rights: nobody learns which of the two it is."""


def seen_records(app: App, who: Principal, what: str) -> list[Record]:
    """Return all records that `who` may see.

    Raises `ConfigError` if the rights are limited and none of these records has the name or path `what`.
    """
    rows = [record for record in app.ledger.records() if who.sees(app.first_target_on(record.site, record.job))]
    named = (what in {row.name, row.ref.path, f"{row.ref.source}:{row.ref.path}"} for row in rows)
    if who.targets is not None and not any(named):
        raise BeyondRights(NONE_SEEN, hint="see the page of all secrets")
    return rows


def seen_record(app: App, who: Principal, site: str, name: str) -> Record:
    """Return a secret's record. Raises `ConfigError` for a secret that is not there, or not within the rights."""
    record = app.ledger.record(site, name)
    if record is None or not who.sees(app.first_target_on(record.site, record.job)):
        raise BeyondRights(NONE_SEEN, hint="see the page of all secrets")
    return record


def see_all_their_sites(app: App, who: Principal, reach: Reach) -> None:
    """Raise `ConfigError` if a rollback reaches a site beyond the rights: a path has one version on all its sites."""
    reached = {target for name in reach.read for target in app.runtime.jobs[name].targets}
    reached |= {app.first_target_on(record.site, record.job) for record in reach.rows}
    if not all(map(who.sees, reached)):
        raise BeyondRights(
            "its path also goes to sites beyond your rights, and a version is the whole path's",
            hint="ask somebody whose rights reach all of them",
        )
