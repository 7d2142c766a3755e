"""What each rule hits now, by all that the ledger knows: no source and no site is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from syncd.bootstrap.app import App
from syncd.domain import OpenProblem, PathState, Record, SecretRef
from syncd.domain.governance import Facts, Hit, Subject
from syncd.reconcile.rules.across_sites import duplicate_hits, unmanaged_subjects
from syncd.reconcile.rules.judging import SameValue, duplicates, hits_of, same_value_message, unmanaged

Paths = Mapping[str, Mapping[tuple[str, str], PathState]]
"""By source, and by path and pin."""


def hits_now(app: App) -> list[Hit]:
    """Every hit, those that an exception covers and those that are not judged yet included. Raises `LedgerError`."""
    runtime, now = app.runtime, app.runtime.clock()
    if not runtime.rules:
        return []
    # What was judged when the values were read: to show hits, no value is read again.
    facts = app.ledger.all_facts()
    hits = [
        hit for subject in subjects(app) for hit in hits_of(runtime.rules, subject, facts.get(subject.site, {}), now)
    ]
    hits += duplicate_hits(runtime, now)
    hits += _unmanaged(app, now)
    order = {rule.id: number for number, rule in enumerate(runtime.rules)}
    return sorted(hits, key=lambda hit: (order[hit.rule.id], hit.subject.target, hit.subject.name))


def hits_on(app: App, record: Record) -> list[Hit]:
    """Every hit on one secret; no other row is read but those with the same value. Raises `LedgerError`."""
    runtime, now, ref = app.runtime, app.runtime.clock(), record.ref
    if not runtime.rules or app.served.is_detached(record):
        return []
    state = app.ledger.known_path(ref.source, ref.path, record.pin)
    subject = _of_record(app, record, {ref.source: {(ref.path, record.pin): state}} if state else {})
    hits = list(hits_of(runtime.rules, subject, app.ledger.facts(record.site), now))
    # A record without a fingerprint was not read yet, and is like all others that were not.
    if any(rule.duplicate for rule in runtime.rules) and record.fingerprint:
        alike = app.ledger.records_like(record.fingerprint)
        held = [
            SameValue(group=0, subject=_of_record(app, row, {})) for row in alike if not app.served.is_detached(row)
        ]
        facts = {key: fault for site in {row.site for row in alike} for key, fault in app.ledger.facts(site).items()}
        found = (hit for rule in runtime.rules if rule.duplicate for hit in duplicates(rule, held, facts, now))
        hits += [hit for hit in found if (hit.subject.site, hit.subject.name) == (record.site, record.name)]
    return hits


def told_to(hits: Iterable[Hit], sees: Callable[[str], bool]) -> Iterator[Hit]:
    """The hits as somebody may know of them. `sees`: the targets that are theirs.

    That a value is the same as another team's is told to nobody who may not see both: it would be a way to guess it.
    """
    for hit in hits:
        others = tuple(other for other in hit.others if sees(other.target))
        if others or not hit.others:
            yield replace(hit, others=others)


def what_is_wrong(hit: Hit) -> str:
    """What a hit says, with the others of which it speaks."""
    return same_value_message(hit.others, hit.others) if hit.others else hit.message


def subjects(app: App) -> Iterator[Subject]:
    """Every secret of a configured site as rules look at it, those that never came there included."""
    paths: Paths = {name: app.ledger.known_paths(name) for name in app.settings.sources}
    versions = {site: _versions(facts) for site, facts in app.ledger.all_facts().items()}
    have = set()
    for record in app.ledger.records():
        if not app.served.is_detached(record):
            have.add((record.site, record.name))
            yield _of_record(app, record, paths)
    for problem in app.ledger.all_problems():
        if problem.ref is not None and (problem.site, problem.subject) not in have and problem.site in app.served.jobs:
            # What was refused has no record: the facts tell which version was judged last.
            judged = versions.get(problem.site, {}).get((problem.subject, problem.ref), "")
            yield _of_problem(app, problem, paths, judged)


def _versions(facts: Facts) -> dict[tuple[str, SecretRef | None], str]:
    """Which version of each name and reference was judged last."""
    return {(key.name, key.ref): key.version for key in facts}


def _of_record(app: App, record: Record, paths: Paths) -> Subject:
    target = app.first_target_on(record.site, record.job)
    state = paths.get(record.ref.source, {}).get((record.ref.path, record.pin))
    return Subject(
        name=record.name,
        site=record.site,
        target=target,
        job=record.job,
        ref=record.ref,
        labels=app.runtime.labels.of(target),
        called=app.runtime.labels.names_of(record.site),
        version=record.version,
        owner=state.owner if state else "",
        changed_at=record.source_updated_at,
        seen_at=state.seen_at if state else None,
    )


def _of_problem(app: App, problem: OpenProblem, paths: Paths, version: str) -> Subject:
    target = app.first_target_on(problem.site, problem.job)
    ref = problem.ref
    state = paths.get(ref.source, {}).get((ref.path, "")) if ref else None
    return Subject(
        name=problem.subject,
        site=problem.site,
        target=target,
        job=problem.job,
        ref=ref,
        labels=app.runtime.labels.of(target),
        called=app.runtime.labels.names_of(problem.site),
        version=version,
        owner=state.owner if state else "",
        changed_at=state.updated_at if state else None,
        seen_at=state.seen_at if state else None,
    )


def unmanaged_now(app: App) -> list[Subject]:
    """What the sites listed last that no ledger holds and that carries nobody's mark."""
    # Of the whole ledger: a site under another key lists the same ids.
    held = {record.remote_id for record in app.ledger.records()}
    found = []
    for site in app.served.jobs:
        listed = {
            item.remote_id: (item.name, item.owner) for item in app.ledger.listed(site) if item.remote_id not in held
        }
        target = app.first_target_on(site, "")
        labels = app.runtime.labels
        found += unmanaged_subjects(listed, site, target, labels.of(target), labels.names_of(site))
    return found


def _unmanaged(app: App, now: datetime) -> list[Hit]:
    rules = [rule for rule in app.runtime.rules if rule.unmanaged]
    nobodys = unmanaged_now(app) if rules else []
    return [hit for rule in rules for hit in unmanaged(rule, nobodys, now)]
