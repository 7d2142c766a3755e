"""Rules about all secrets together: one value in two places, and what nobody manages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from syncd.domain import Record, RemoteSecret
from syncd.domain.governance import Hit, SiteNames, Subject
from syncd.domain.ownership import owner_in
from syncd.domain.ports import Target
from syncd.reconcile.rules.judging import SameValue, duplicates, unmanaged
from syncd.reconcile.runtime import Runtime


@dataclass(frozen=True, slots=True)
class SiteSeen:
    """What a pass has at hand of its site."""

    records: Sequence[Record]
    remote: Sequence[RemoteSecret]


def across_sites(runtime: Runtime, target: Target, seen: SiteSeen, now: datetime) -> dict[str, tuple[Hit, ...]]:
    """Return the hits on this site, by name, of rules that compare secrets or look for unmanaged ones.

    No source and no site is asked: other sites are known from the ledger, this one from `seen`.
    """
    found: dict[str, list[Hit]] = {}
    if any(rule.duplicate for rule in runtime.rules):
        for hit in duplicate_hits(runtime, now, {target.site: seen.records}):
            # Hits on another site are told by the cycles of that one.
            if hit.subject.site == target.site:
                found.setdefault(hit.subject.name, []).append(hit)
    if any(rule.unmanaged for rule in runtime.rules):
        subjects = _unmanaged_on(runtime, target, seen)
        for rule in runtime.rules:
            for hit in unmanaged(rule, subjects, now) if rule.unmanaged else ():
                found.setdefault(hit.subject.name, []).append(hit)
    return {name: tuple(hits) for name, hits in found.items()}


def duplicate_hits(
    runtime: Runtime, now: datetime, known: Mapping[str, Sequence[Record]] = MappingProxyType({})
) -> list[Hit]:
    """Return a hit for every secret, on all sites, that shares its value where a rule allows no duplicates.

    `known`: by site, rows that are at hand; those of other sites are read from the ledger.
    """
    # Across names one reference is one secret on however many sites: a fleet's rows are not gone through for that.
    across_labels = any(rule.duplicate not in {"", "names"} for rule in runtime.rules)
    numbers = runtime.store.same_values(of_one_reference=across_labels)
    if not numbers:
        return []
    # Reversed, so that the first configured target of a site is the one that stays.
    target_of = {runtime.site_of(name): name for name in reversed(runtime.targets)}
    held = [
        SameValue(group=number, subject=subject_of(runtime, record, target_of.get(site, record.target)))
        for site in sorted({site for site, _ in numbers})
        for record in (known.get(site) or runtime.store.records(site))
        if (number := numbers.get((record.site, record.name))) is not None
    ]
    names: dict[str, set[str]] = {}
    for item in held:
        names.setdefault(item.subject.site, set()).add(item.subject.name)
    facts = {key: fault for site in names for key, fault in runtime.store.facts(site, names[site]).items()}
    return [hit for rule in runtime.rules if rule.duplicate for hit in duplicates(rule, held, facts, now)]


def subject_of(runtime: Runtime, record: Record, target: str) -> Subject:
    """A secret of the ledger as rules look at it."""
    return Subject(
        name=record.name,
        site=record.site,
        target=target,
        job=record.job,
        ref=record.ref,
        labels=runtime.labels.of(target),
        called=runtime.labels.names_of(record.site),
        version=record.version,
        changed_at=record.source_updated_at,
    )


def _unmanaged_on(runtime: Runtime, target: Target, seen: SiteSeen) -> list[Subject]:
    ours, remote = {record.remote_id for record in seen.records}, seen.remote
    return unmanaged_subjects(
        {secret.id: (secret.name, owner_in(secret.description) or "") for secret in remote if secret.id not in ours},
        target.site,
        target.name,
        runtime.labels.of(target.name),
        runtime.labels.names_of(target.site),
    )


def unmanaged_subjects(
    listed: Mapping[str, tuple[str, str]],
    site: str,
    target: str,
    labels: Mapping[str, str],
    called: SiteNames,
) -> list[Subject]:
    """Return the listed secrets that carry nobody's mark, as rules look at them.

    `listed`: by id, name and owner of what the site lists and no ledger holds.
    """
    return [
        Subject(name=name, site=site, target=target, labels=labels, called=called)
        for name, owner in sorted(listed.values())
        if not owner
    ]
