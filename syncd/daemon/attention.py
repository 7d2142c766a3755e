"""What a person has to look at, one row for each cause: pauses, freezes, rollbacks, missed objectives, failures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import quote

from syncd.bootstrap.app import App
from syncd.config.fields import format_duration
from syncd.daemon.rights import sees_scope, sites_of
from syncd.domain import Record, version_label
from syncd.domain.decisions import Rollback
from syncd.domain.untrusted import instant
from syncd.errors import FAILED
from syncd.ledger.audit_reading import Filter
from syncd.report.grouping import Problem, grouped_by_cause, names_in_words, places_in_words
from syncd.web.principal import Principal


def open_pauses(app: App, who: Principal) -> Iterator[dict[str, Any]]:
    """Yield a row for each pause that `who` may see, with the command that ends it."""
    now, sites = app.runtime.clock(), app.sites.keys_of_targets()
    released = [item for item in app.held() if item.is_released(now) and item.target in sites and who.sees(item.target)]
    for pause in app.pauses.now():
        # A pause of everything holds for each target: everybody is told.
        if pause.scope != "all" and not sees_scope(app, who, pause.scope, pause.name):
            continue
        waits = [str(item) for item in released if pause.covers(item.job, item.target, sites[item.target])]
        goes = f"; released already, and sent once it ends: {names_in_words(waits)}" if waits else ""
        yield {
            "kind": "paused", "what": f"{pause}{goes}", "where": pause.name or "everything", "targets": "",
            "since": pause.at, "fix": pause.command_to_end, "scope": pause.scope, "name": pause.name,
        }  # fmt: skip


def missed_objectives(app: App, matrix: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a row for each job that misses its objective, and for each cause of that.

    `matrix`: rows of each job on each of its sites.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in matrix:
        if row["late"]:
            groups.setdefault((row["job"], row["late"]), []).append(row)
    for (job, why), rows in groups.items():
        promised = app.settings.jobs[job].objective
        within = f" of {format_duration(promised)}" if promised else ""
        yield {
            "kind": "late", "what": f"job {job} is over its objective{within}: {why}", "where": job,
            "targets": names_in_words(sorted({row["target"] for row in rows})),
            "since": min(row["as_of"] or row["last_run_at"] for row in rows),
            "fix": "see what waits or fails there; its pauses and shut windows do not count",
            "page": f"/secrets?job={quote(job, safe='')}",
        }  # fmt: skip


MOST_FROZEN = 200
"""Frozen secrets that are looked at for this, those whose end comes first."""


def open_freezes(app: App, who: Principal) -> Iterator[dict[str, Any]]:
    """Yield what people froze, one row for each end, person and reason.

    A frozen secret counts as no failure, and gets no new version.
    """
    groups: dict[str, list[tuple[Record, str, datetime | None]]] = {}
    # Within the query: those of others would push out the ones that this person may see.
    for row in app.ledger.frozen(app.runtime.clock(), MOST_FROZEN, sites_of(app, who)):
        target = app.first_target_on(row.site, row.job)
        if who.sees(target):
            by, at = frozen_by(app, row.site, row.name)
            words = f"frozen until {row.frozen_until:%Y-%m-%d %H:%M} UTC{f' by {by}' if by else ''}"
            groups.setdefault(words, []).append((row, target, at))
    for words, members in groups.items():
        first, target, at = members[0]
        yield {
            "kind": "frozen", "what": words,
            "where": names_in_words(list(dict.fromkeys(row.name for row, _, _ in members))),
            "targets": names_in_words(sorted({target for _, target, _ in members})),
            "since": at or first.last_synced_at or app.runtime.clock(),
            "fix": f"its end: syncd state thaw {first.name} --target {target}",
            "page": f"/secrets/{quote(first.site)}/{quote(first.name, safe='')}" if len(members) == 1 else "",
        }  # fmt: skip


def frozen_by(app: App, site: str, name: str) -> tuple[str, datetime | None]:
    """Return who froze a secret last and why, in words, and when.

    An empty text and None if the audit trail does not reach back that far.
    """
    asked = Filter(site=site, name=name, event="secret.frozen")
    line = next(iter(app.ledger.audit.lines(asked, most=1)), None)
    return (f"{line['actor']['id']}: {line['reason']}", instant(line["at"])) if line else ("", None)


MOST_ROLLBACKS = 20
"""Most rollbacks that are shown; somebody may have rolled back a whole job."""


def open_rollbacks(app: App, who: Principal) -> Iterator[dict[str, Any]]:
    """Yield a row for each rollback that `who` may see, with the command that ends it before its time.

    Nothing of a rollback counts as a failure.
    """
    seen = (
        row for row in map(partial(_rolled_back, app, who), sorted(app.ledger.decisions.rollbacks().items())) if row
    )
    yield from islice(seen, MOST_ROLLBACKS)


def _rolled_back(app: App, who: Principal, item: tuple[tuple[str, str], Rollback]) -> dict[str, Any] | None:
    """Return the row of a rollback, as far as it reaches sites that `who` may see; None if it reaches none of them."""
    (source, path), rollback = item
    rows = [row for one in app.ledger.spellings(source, path) for row in app.ledger.records_from(source, one)]
    mine = [(row, target) for row in rows if not row.pin and who.sees(target := app.first_target_on(row.site, row.job))]
    if not mine and who.targets is not None:
        return None
    missing = sorted({target for row, target in mine if version_label(row.version) != rollback.label})
    not_yet = f"; not there yet on {names_in_words(missing)}" if missing else ""
    return {
        "kind": "rolled_back", "what": f"{source}:{path} is {rollback}{not_yet}",
        "where": names_in_words(list(dict.fromkeys(row.name for row, _ in mine))) or path,
        "targets": names_in_words(sorted({target for _, target in mine})), "since": rollback.at,
        "fix": f"its end: syncd rollback {source}:{path} --end --reason '…'", "path": f"{source}:{path}",
    }  # fmt: skip


def open_problems(app: App, who: Principal) -> Iterator[dict[str, Any]]:
    """What keeps failing, one row a cause; what waits for a release stands apart."""
    rows = {}
    for problem in app.ledger.all_problems():
        target = app.first_target_on(problem.site, problem.job)
        # Held batches have cards of their own, with the button.
        if problem.kind != "held" and who.sees(target):
            member = Problem(label=problem.kind, name=problem.subject, message=problem.message, hint=problem.hint)
            rows[id(member)] = (member, problem, target)
    for group in grouped_by_cause(member for member, _, _ in rows.values()):
        members = [rows[id(member)] for member in group]
        _, first, _ = members[0]
        alone = len(group) == 1
        message, hint = (first.message, first.hint) if alone else group[0].cause[1:]
        where, targets = places_in_words(
            (item.name, target) for item, (_, _, target) in zip(group, members, strict=True)
        )
        yield {
            "kind": first.kind,
            "what": message,
            "where": where,
            "targets": targets,
            "since": min(problem.first_at for _, problem, _ in members),
            "latest": max(problem.first_at for _, problem, _ in members),
            "fix": hint,
            "page": f"/secrets/{quote(first.site)}/{quote(first.subject, safe='')}" if alone else "",
        }


def failed_runs(matrix: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the last runs that could not do their work, one row for each cause.

    The whole source, the whole site, the configuration or the ledger failed. `matrix`: rows of each job on each of its
    sites.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in matrix:
        if row["exit_code"] in FAILED:
            # Without its own names, one refusal on twelve sites is one cause and one row.
            text = row["message"].removeprefix(f"{row['target']}: ")
            text = text.replace(f"site {row['site']}", "its site").replace(row["site"], "its site")
            groups.setdefault(text, []).append(row)
    for text, rows in groups.items():
        where, targets = places_in_words(sorted((row["job"], row["target"]) for row in rows))
        yield {
            "kind": "failed",
            "what": text,
            "where": where,
            "targets": targets,
            "since": min(map(_since, rows)),
            "latest": max(map(_since, rows)),
            "fix": _fixes(rows),
            "page": "/jobs",
        }


def _fixes(rows: list[dict[str, Any]]) -> str:
    given = list(dict.fromkeys(row["fix"] for row in rows if row["fix"]))
    named = any("syncd check --connect" in fix for fix in given)
    return "; ".join(given if named else [*given, "see: syncd check --connect"])


def _since(row: dict[str, Any]) -> datetime:
    """Return when the unbroken row of failed cycles began: when the first of them ended.

    If no good cycle is among those that are kept: when the last good one ended.
    """
    first: datetime = row["last_run_at"]
    for run in reversed(row["recent"]):
        if run["exit_code"] not in FAILED:
            return first
        first = min(first, run["at"])
    return row["as_of"] or first
