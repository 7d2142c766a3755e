"""Rules that take a secret and did not show it: while nobody knows what they call it, its name may not go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from syncd.domain import Existence, PathCheck, Record, Rule
from syncd.domain.job import Job
from syncd.domain.naming import taken_as
from syncd.reconcile.plan.name_claims import Listed, NameClaims
from syncd.reconcile.plan.path_checks import PathChecks
from syncd.reconcile.plan.same_secret import Content, makes


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the jobs of a site: what their rules claim, what they listed, and direct looks at paths."""

    claims: NameClaims
    listed: Mapping[str, Listed]
    """By job."""
    checks: PathChecks


def why_unlisted(record: Record, known: Known, content: Content | None = None, *, of_other_pins: bool = False) -> str:
    """Which rule of a job may give a record's secret another name that nobody knows; empty if none does.

    A listing may fail, be cut short, or lag; a value may not be read. Only the path itself tells that it is gone, or
    has lost the tags that the rule asks for. `content`: what the rule has to make of it; None: anything.
    `of_other_pins`: only rules that read another version than the record's, which is gone.
    """
    claims, checks = known.claims, known.checks
    for name, seen in known.listed.items():
        job = claims.jobs[name]
        called = _called_by(record, job, seen, claims)
        for rule in job.rules:
            is_asked = (content is None or makes(rule, content)) and not (of_other_pins and rule.pin == record.pin)
            path = taken_as(rule, called) if is_asked else None
            if path is None or called & seen.known_by_rule.get(rule.index, frozenset()):
                continue
            read = _as_read(record, rule, job, path, claims)
            check, why = checks.check(read)
            is_rolled_back = checks.is_rolled_back(replace(record, pin=rule.pin))
            # What a person took back keeps its name meanwhile, though its own job's rule finds its tags no more.
            is_kept = is_rolled_back and name == record.job
            if check is not None and not is_kept and _is_another(check, rule, read, record, claims):
                continue
            if is_rolled_back:
                return f"what rule {rule.path} of job {name} makes of it is not known: it is rolled back"
            said = f"rule {rule.path} of job {name} may give it another name, and did not show"
            if check is None:
                return f"{said} {record.ref.path}; {why}"
            if check.existence is not Existence.GONE:
                return f"{said} what it makes of {record.ref.path}, which is there"
    return ""


def _called_by(record: Record, job: Job, seen: Listed, claims: NameClaims) -> frozenset[str]:
    """What the record's secret may be called at a job's source."""
    known = claims.mounts.get(job.source, {})
    new = {mount: at for mount, at in seen.mounts.items() if mount not in known}
    # Also by the mounts that the ledger knows: one that was replaced leads to other secrets, and not to these.
    return claims.called_by(job, record.ref, new) | claims.called_by(job, record.ref, seen.mounts)


def _as_read(record: Record, rule: Rule, job: Job, path: str, claims: NameClaims) -> Record:
    """The record as the rule would read it: in the version that it pins, and through its job's own source."""
    read = replace(record, pin=rule.pin)
    # Another source, of which nobody knows where it leads: what it has under that path has to be asked there.
    if claims.leads_anywhere(record.ref, job):
        return replace(read, ref=replace(record.ref, source=job.source, path=path))
    return read


def _is_another(check: PathCheck, rule: Rule, read: Record, record: Record, claims: NameClaims) -> bool:
    """Is what was found a secret that the rule does not take for its tags, or one of another place?"""
    if check.existence is Existence.THERE and not set(rule.tags) <= check.tags:
        return True
    own = claims.secret_of(record.ref)
    return read.ref != record.ref and own is not None and check.mount_id not in {"", own[0]}
