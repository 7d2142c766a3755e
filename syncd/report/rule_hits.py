"""What each rule hits now, by all that the ledger knows: no source and no site is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from syncd.bootstrap.app import App
from syncd.domain import OpenProblem, PathState, Record, SecretRef
from syncd.domain.governance import Facts, Hit, Subject
from syncd.reconcile.rules.across_sites import duplicate_hits, unmanaged_subjects
from syncd.reconcile.rules.judging import SameValue, duplicates, hits_of, same_value_message, unmanaged

Paths = Mapping[str, Mapping[tuple[str, str], PathState]]
"""What is known of paths: by source, then by (path, pin)."""
Judged = Mapping[tuple[str, SecretRef | None], str]
"""The version that was judged last, by name and reference."""


def hits_now(app: App) -> list[Hit]:
    """Every hit, those that an exception covers and those that are not judged yet included. Raises `LedgerError`."""
    order = {rule.id: number for number, rule in enumerate(app.runtime.rules)}
    hits = (hit for of_site in hits_by_site(app) for hit in of_site)
    return sorted(hits, key=lambda hit: (order[hit.rule.id], hit.subject.target, hit.subject.name))


def hits_by_site(app: App) -> Iterator[list[Hit]]:
    """Yield the same hits one site at a time, in no order. Raises `LedgerError`.

    Of a million secrets only those of one site are in memory together.
    """
    runtime, now = app.runtime, app.runtime.clock()
    if not runtime.rules:
        return
    alike: dict[str, list[Hit]] = {}
    for hit in duplicate_hits(runtime, now) if any(rule.duplicate for rule in runtime.rules) else ():
        alike.setdefault(hit.subject.site, []).append(hit)
    about_nobodys = [rule for rule in runtime.rules if rule.unmanaged]
    for site in app.served.jobs:
        # What was judged when the values were read: to show hits, no value is read again.
        facts = app.ledger.facts(site)
        hits = [hit for subject in _subjects(app, site, facts) for hit in hits_of(runtime.rules, subject, facts, now)]
        nobodys = unmanaged_on(app, site) if about_nobodys else []
        hits += (hit for rule in about_nobodys for hit in unmanaged(rule, nobodys, now))
        yield hits + alike.pop(site, [])
    # Sites that no target names any more hold values, too.
    yield from alike.values()


def hits_on(app: App, record: Record) -> list[Hit]:
    """Every hit on one secret; no other row is read but those with the same value. Raises `LedgerError`."""
    runtime, now, ref = app.runtime, app.runtime.clock(), record.ref
    if not runtime.rules or app.served.is_detached(record):
        return []
    state = app.ledger.known_path(ref.source, ref.path, record.pin)
    own = app.ledger.facts(record.site, {record.name})
    subject = _of_record(app, record, {ref.source: {(ref.path, record.pin): state}} if state else {}, _judged(own, app))
    hits = list(hits_of(runtime.rules, subject, own, now))
    # A record without a fingerprint was not read yet, and is like all others that were not.
    if any(rule.duplicate for rule in runtime.rules) and record.fingerprint:
        alike = app.ledger.records_like(record.fingerprint)
        held = [
            SameValue(group=0, subject=_of_record(app, row, {}, {})) for row in alike if not app.served.is_detached(row)
        ]
        facts = {key: fault for row in alike for key, fault in app.ledger.facts(row.site, {row.name}).items()}
        found = (hit for rule in runtime.rules if rule.duplicate for hit in duplicates(rule, held, facts, now))
        hits += [hit for hit in found if (hit.subject.site, hit.subject.name) == (record.site, record.name)]
    return hits


def hits_on_refused(app: App, problem: OpenProblem) -> list[Hit]:
    """Return the hits on a secret that never came to its site, and on one that somebody has there under its name.

    Raises `LedgerError`.
    """
    if not app.runtime.rules or problem.site not in app.served.jobs:
        return []
    facts, now = app.ledger.facts(problem.site, {problem.subject}), app.runtime.clock()
    found = [subject for subject in unmanaged_on(app, problem.site) if subject.name == problem.subject]
    if problem.ref is not None:
        state = app.ledger.known_path(problem.ref.source, problem.ref.path, "")
        found.append(_of_problem(app, problem, state, _judged(facts, app)))
    return [hit for subject in found for hit in hits_of(app.runtime.rules, subject, facts, now)]


def told_to(hits: Iterable[Hit], sees: Callable[[str], bool]) -> Iterator[Hit]:
    """Yield the hits as a reader may know of them. `sees`: may the reader know of this target?

    That two secrets have the same value is told only to a reader who may see both: it would be a way to guess the
    value.
    """
    for hit in hits:
        others = tuple(other for other in hit.others if sees(other.target))
        if others or not hit.others:
            yield replace(hit, others=others)


def what_is_wrong(hit: Hit) -> str:
    """Return a hit's message, with the other secrets that it is about."""
    return same_value_message(hit.others, hit.others) if hit.others else hit.message


def subjects(app: App, site: str) -> Iterator[Subject]:
    """Each secret of a site as rules see it, with those that were refused and never arrived."""
    return _subjects(app, site, app.ledger.facts(site))


def _subjects(app: App, site: str, facts: Facts) -> Iterator[Subject]:
    paths, judged = app.ledger.paths_on(site), _judged(facts, app)
    for record in app.ledger.records(site):
        yield _of_record(app, record, paths, judged)
    refused = [(problem, problem.ref) for problem in app.ledger.problems_of_no_row(site) if problem.ref is not None]
    sources = {ref.source for _, ref in refused}
    by_source = {name: app.ledger.paths_of(name, _paths_of(name, refused)) for name in sources}
    for problem, ref in refused:
        yield _of_problem(app, problem, by_source[ref.source].get(ref.path), judged)


def _paths_of(source: str, refused: Iterable[tuple[OpenProblem, SecretRef]]) -> set[str]:
    return {ref.path for _, ref in refused if ref.source == source}


def _judged(facts: Facts, app: App) -> Judged:
    """Return which version of each name and reference was judged last by the rules of today.

    No record tells it of a version that was refused. Facts of a check that no rule has any more do not count.
    """
    checks = {rule.value_check.digest for rule in app.runtime.rules if rule.value_check is not None}
    return {(key.name, key.ref): key.version for key in facts if key.digest in checks}


def _of_record(app: App, record: Record, paths: Paths, judged: Judged) -> Subject:
    """Build the subject of a record, in the version judged last.

    Where a version was judged and not sent, the rules say what is wrong with that one.
    """
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
        version=judged.get((record.name, record.ref), record.version),
        owner=state.owner if state else "",
        changed_at=record.source_updated_at,
        seen_at=state.seen_at if state else None,
    )


def _of_problem(app: App, problem: OpenProblem, state: PathState | None, judged: Judged) -> Subject:
    target = app.first_target_on(problem.site, problem.job)
    ref = problem.ref
    return Subject(
        name=problem.subject,
        site=problem.site,
        target=target,
        job=problem.job,
        ref=ref,
        labels=app.runtime.labels.of(target),
        called=app.runtime.labels.names_of(problem.site),
        version=judged.get((problem.subject, ref), ""),
        owner=state.owner if state else "",
        changed_at=state.updated_at if state else None,
        seen_at=state.seen_at if state else None,
    )


def unmanaged_on(app: App, site: str) -> list[Subject]:
    """What a site listed last that no ledger holds and that carries nobody's mark."""
    listed = {item.remote_id: (item.name, item.owner) for item in app.ledger.unheld(site)}
    target, labels = app.first_target_on(site, ""), app.runtime.labels
    return unmanaged_subjects(listed, site, target, labels.of(target), labels.names_of(site))
