"""The page of all secrets: filters, order, and a page at a time; those that never came to a site go first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from syncd.bootstrap.app import App
from syncd.daemon.not_reached import not_reached
from syncd.domain import STATUSES, OpenProblem, Record, version_label
from syncd.domain.statuses import Served, status_of_record
from syncd.errors import ConfigError
from syncd.ledger.schema import EPOCH, MICROSECOND
from syncd.ledger.search import ORDERS, PAGE, Search
from syncd.report.governance import HitBy
from syncd.web.principal import Principal

NEVER = "never "
"""Prefix of a page's cursor that stands among the secrets that never came to a site."""
MOST = 2**63
"""The numbers of a cursor have to be below this, as whole numbers of the database are."""


def secrets_page(
    app: App,
    who: Principal,
    asked: Mapping[str, str],
    known: Mapping[str, list[str]],
    hit_by: Callable[[str], HitBy],
) -> dict[str, Any]:
    """Return one page of the secrets that `who` may see and that fit the filters in `asked`.

    `known`: by filter, the values that it offers. `hit_by`: returns what breaks a rule. Raises `ConfigError` for a
    value that a filter does not offer, and for a cursor that no page gave.
    """
    now, served = app.runtime.clock(), app.served
    status, job, target, rule = (asked.get(key, "") for key in ("status", "job", "target", "rule"))
    order, cursor = asked.get("sort") or "name", asked.get("after", "")
    see_choice(status, STATUSES, "status")
    # By what is offered to this person: what is not theirs is refused like what is not there.
    see_choice(job, known["jobs"], "job")
    see_choice(target, known["targets"], "target")
    see_choice(rule, known["rules"], "rule")
    see_choice(order, ORDERS, "sort")
    hits = hit_by(rule) if rule else None
    names, unsearched, as_of = (hits.places, hits.unsearched, hits.as_of) if hits else (None, 0, now)
    is_never = cursor.startswith(NEVER)
    search = Search(
        text=_meant(app, asked.get("q", "")),
        status=status,
        job=job,
        sites=_sites(app, who, target, asked.get("label", "")),
        names=names,
        order=order,
        after=None if is_never else _after(cursor, order),
    )
    never = [] if search.after else _never_arrived(app, who, search)
    begun = _count(cursor.removeprefix(NEVER)) if is_never else 0
    if begun + PAGE < len(never):
        return {
            "rows": never[begun : begun + PAGE],
            "next": f"{NEVER}{begun + PAGE}",
            "as_of": as_of,
            "unsearched": unsearched,
        }
    records, more = app.ledger.find(search, served, now)
    found = [secret_row(app, record, served, now) for record in records]
    if order == "name":
        # Within a page by what people call the sites; the database knows their keys alone.
        alike = groupby(found, itemgetter("name"))
        found = [row for _, same in alike for row in sorted(same, key=itemgetter("target"))]
    rows = never[begun:] + found
    # Nothing of it came to this site: what the job has elsewhere tells what is to come.
    if not rows and target and search.text and status in {"", "behind"}:
        rows = [row_of_problem(item, target) for item in not_reached(app, search, served, now)]
    return {
        "rows": rows,
        "next": _cursor(records[-1], order) if more else None,
        "as_of": as_of,
        "unsearched": unsearched,
    }


def secret_row(app: App, record: Record, served: Served, now: datetime) -> dict[str, Any]:
    """A record as pages and the API show it."""
    return {
        "name": record.name, "site": record.site, "target": app.first_target_on(record.site, record.job),
        "job": record.job, "source": record.ref.source, "path": record.ref.path, "field": record.ref.field,
        "version": version_label(record.version) or None,
        "status": status_of_record(record, served, now),
        "source_changed_at": record.source_updated_at, "arrived_at": record.last_synced_at,
        "remote_id": record.remote_id, "as_of": app.ledger.looked_at(record.site, record.job),
    }  # fmt: skip


def row_of_problem(problem: OpenProblem, target: str) -> dict[str, Any]:
    """What failed before it came to a site, in the form of a record's row."""
    ref = problem.ref
    return {
        "name": problem.subject, "site": problem.site, "target": target, "job": problem.job,
        "source": ref.source if ref else None, "path": ref.path if ref else None, "field": ref.field if ref else None,
        "version": version_label(problem.version) or None, "status": problem.kind, "source_changed_at": None,
        "arrived_at": None, "remote_id": None, "as_of": None,
    }  # fmt: skip


def _never_arrived(app: App, who: Principal, asked: Search) -> list[dict[str, Any]]:
    """Names without a row in the ledger: denied, held, in conflict, failed before they came."""
    found = []
    for problem in app.ledger.problems_of_no_row():
        target = app.first_target_on(problem.site, problem.job)
        fits = problem.kind == asked.status or not asked.status
        fits = fits and asked.job in {"", problem.job} and (asked.sites is None or problem.site in asked.sites)
        fits = fits and (asked.names is None or (problem.site, problem.subject) in asked.names)
        fits = fits and asked.text.lower() in f"{problem.subject} {problem.ref or ''} {target}".lower()
        if fits and who.sees(target):
            found.append(row_of_problem(problem, target))
    return sorted(found, key=itemgetter("name", "target", "site", "job"))


def see_choice(given: str, known: Any, what: str) -> None:
    """Raise `ConfigError` if a filter has a value that it does not offer. `what`: its name, for the message."""
    if given and given not in known:
        raise ConfigError(f"there is no {what} of that name", hint=f"one of {', '.join(known) or 'none'}")


def _sites(app: App, who: Principal, target: str, label: str) -> frozenset[str] | None:
    """The sites that are asked for, within the rights; None: all."""
    if not target and not label and who.targets is None:
        return None
    key, mark, value = label.strip().replace(":", "=", 1).partition("=")
    return frozenset(
        app.site_of(name)
        for name in app.settings.targets
        if who.sees(name)
        and target in {"", name}
        and (not label or _has_label(app, name, key, value if mark else None))
    )


def _has_label(app: App, target: str, key: str, value: str | None) -> bool:
    """Has the target this label, with this value or with any?"""
    labels = app.runtime.labels.of(target)
    return key in labels and value in {None, labels[key]}


def _meant(app: App, text: str) -> str:
    """The name or path that a search means: people paste whole references (SOURCE:PATH#FIELD), blanks included."""
    text = text.strip()[:200]
    source, mark, rest = text.partition(":")
    text = rest if mark and source in app.settings.sources else text
    path, mark, _ = text.partition("#")
    # A part of a reference is pasted, too; a path that holds the sign itself is found by what stands before it.
    return path if mark and path else text


def _cursor(record: Record, order: str) -> str:
    """Where the next page begins: the last row's key, site and name."""
    at = record.last_synced_at if order == "arrival" else record.source_updated_at
    key = record.name if order == "name" else str((at - EPOCH) // MICROSECOND if at else 0)
    return f"{key}|{record.site}|{record.name}"


def _after(text: str, order: str) -> tuple[str, str, str] | None:
    if not text:
        return None
    parts = text.split("|")
    if len(parts) != 3 or len(text) > 500:
        raise ConfigError("that page is none", hint="begin with the first one")
    # The database takes it as a number, and anybody may write a cursor by hand. Before 1970 it has a sign.
    if order != "name":
        _count(parts[0].removeprefix("-"))
    return parts[0], parts[1], parts[2]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) >= MOST:
        raise ConfigError("that page is none", hint="begin with the first one")
    return int(text)
