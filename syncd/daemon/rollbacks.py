"""Rollbacks asked for at the page or through the API, and their ends."""

from __future__ import annotations

from collections.abc import Sequence

from syncd.bootstrap.app import App
from syncd.daemon.rights import see_all_their_sites, seen_records
from syncd.domain.decisions import Rollback
from syncd.reconcile.rollback import Taken, Terms, ended_paths, paths_of, replaced_by, rollbacks_to
from syncd.reconcile.rollback_lines import entries_of_end, entries_of_rollbacks
from syncd.reconcile.rollback_reach import reach_of
from syncd.web.principal import Principal


def ended(app: App, who: Principal, what: str) -> list[tuple[str, str]]:
    """End the rollbacks that a name or path means. Returns: the sources and paths of these rollbacks.

    Raises `ConfigError` if there is none, or if one reaches a site beyond the rights.
    """
    records = seen_records(app, who, what)
    paths = ended_paths(records, app.ledger.decisions.rollbacks(), what, app.is_one_secret, app.ledger.rollback_of)
    see_all_their_sites(app, who, reach_of(app.runtime, app.ledger.records(), paths))
    app.ledger.decisions.end_rollbacks(paths, entries_of_end(app.runtime, app.ledger.records(), paths))
    return paths


def rolled_back(
    app: App, who: Principal, chosen: Sequence[tuple[Taken, str | None]], terms: Terms, refused: list[str] | None
) -> list[tuple[Taken, Rollback]]:
    """Roll the chosen paths back to older versions: all of them, or none.

    `chosen`: each path with its version (None: the one before). `refused`: a list that gets the reason for each path
    that cannot go back, while the others go; None: such a path raises. Returns: what was rolled back. Raises
    `SyncdError`.
    """
    found = [item for item, _ in chosen]
    records = app.ledger.records()
    see_all_their_sites(app, who, reach_of(app.runtime, records, paths_of(found)))
    kept = rollbacks_to(app.runtime, chosen, terms, refused)
    entries = list(entries_of_rollbacks(app.runtime, records, kept))
    rollbacks, going = app.ledger.decisions.rollbacks(), [item for item, _ in kept]
    replaced = replaced_by(going, rollbacks, app.is_one_secret, app.ledger.secrets_of)
    app.ledger.decisions.roll_back([rollback for _, rollback in kept], entries, replaced)
    return kept
