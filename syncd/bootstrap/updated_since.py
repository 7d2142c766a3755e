"""Find what a job updated since a moment, and which version each path had before: to roll all of it back."""

from __future__ import annotations

from datetime import datetime

from syncd.bootstrap.app import App
from syncd.domain import Record, SecretRef, is_of_an_earlier_secret, version_label
from syncd.errors import ConfigError, SecretError
from syncd.ledger.audit_reading import Filter
from syncd.reconcile.rollback import Taken, taken_paths


def updated_since(app: App, job: str, since: datetime) -> tuple[list[tuple[Taken, str | None]], list[str]]:
    """Return the paths that a job updated since then, each with the version before the first of these updates.

    And, in words, what cannot go back. Raises `ConfigError` for an unknown job, `SecretError` where nothing can go
    back.
    """
    if job not in app.runtime.jobs:
        raise ConfigError(f"there is no job {job}", hint=f"the jobs are {', '.join(sorted(app.runtime.jobs))}")
    # By their ids: a site may have been known under another key.
    rows = {(record.remote_id, record.name): record for record in app.ledger.records() if record.job == job}
    before: dict[tuple[str, str], str] = {}
    refused: dict[str, tuple[str, str]] = {}
    pinned: dict[str, None] = {}
    for line in app.ledger.audit.lines(Filter(job=job, event="secret.*", since=since)):
        row = rows.get((line["remote_id"], line["name"]))
        # Of a name that has moved to another reference since, the old versions are none to go back to.
        if line["outcome"] != "done" or row is None or not _is_of(app, line["ref"], row.ref):
            continue
        path = row.ref.source, row.ref.path
        if row.pin:
            # Its rule's own version changed: of other names from this path that says nothing.
            pinned[f"{row.name} is pinned by its rule: change `version` or `stage` there"] = None
            continue
        if line["event"] == "secret.create":
            refused[f"{row.name} was created on {row.target}; there is nothing to go back to"] = path
        elif line["event"] == "secret.update" and line["from"] is None:
            refused[f"{row.name} on {row.target} has no version to go back to (KV v1, or it was not known)"] = path
        # Restores and new descriptions send the version that was there: nothing was updated.
        elif line["event"] == "secret.update" and _was_made_anew(app, row, line["from"]):
            refused[f"{row.name} had version {line['from']} of a secret that was deleted and made anew since"] = path
        elif line["event"] == "secret.update" and line["from"] != line["to"]:
            # Lines come oldest first, so the first one tells what the site had before that time.
            before.setdefault(path, line["from"])
    # By source and path, not by name: another job's secret of the same name stays as it is.
    not_taken: list[str] = []
    found = taken_paths(app.runtime, app.ledger.records(), before, not_taken)
    # By the rows: a rule may spell the path otherwise by now.
    refs = [(item, item.records[0].ref) for item in found]
    chosen: list[tuple[Taken, str | None]] = [(item, before[ref.source, ref.path]) for item, ref in refs]
    if not chosen:
        why = (*refused, *pinned, *not_taken)
        nothing = f"; {'; '.join(why)}" if why else ""
        raise SecretError(
            f"job {job} updated nothing since then that can go back{nothing}", hint="see: syncd audit show"
        )
    # A path goes back whole, with all its names on all sites: what was refused of it alone is no refusal any more.
    return chosen, [*(words for words, path in refused.items() if path not in before), *pinned, *not_taken]


def _is_of(app: App, told: str, ref: SecretRef) -> bool:
    """Does a line's reference mean this one, by whichever name its source had then?"""
    field = "" if ref.field is None else f"#{ref.field}"
    source, _, path = told.removesuffix(field).partition(":")
    return told.endswith(field) and app.is_one_secret((source, path), (ref.source, ref.path))


def _was_made_anew(app: App, row: Record, label: str) -> bool:
    """Was this version, which the site had, of a secret whose metadata was deleted at the source since?

    Its number means another version now.
    """
    state = app.ledger.known_path(row.ref.source, row.ref.path, row.pin)
    tokens = (entry.version for entry in app.ledger.history(row.name, row.site, most=1000) if entry.version)
    token = next((token for token in reversed(list(tokens)) if version_label(token) == label), "")
    return state is not None and is_of_an_earlier_secret(token, state.version)
