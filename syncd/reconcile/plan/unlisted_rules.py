"""Rules that take a secret and did not show it: while nobody knows what they call it, its name may not go."""

from __future__ import annotations

from collections.abc import Mapping

from syncd.domain import Existence, Record
from syncd.domain.naming import taken_as
from syncd.reconcile.plan.name_claims import Listed, NameClaims
from syncd.reconcile.plan.path_checks import PathChecks
from syncd.reconcile.plan.same_secret import Content, makes


def why_unlisted(
    record: Record,
    claims: NameClaims,
    listed: Mapping[str, Listed],
    checks: PathChecks,
    content: Content | None = None,
) -> str:
    """Which rule of a job may give a record's secret another name that nobody knows; empty if none does.

    A listing may fail, be cut short, or lag; a value may not be read. Only the path itself tells that it is gone, or
    has lost the tags that the rule asks for. `listed`: by job. `content`: what the rule has to make of it; None:
    anything.
    """
    for name, seen in listed.items():
        job = claims.jobs[name]
        # Also by the mounts that the ledger knows: one that was replaced leads to other secrets, and not to these.
        called = claims.called_by(job, record.ref) | claims.called_by(job, record.ref, seen.mounts)
        for rule in job.rules:
            is_asked = content is None or makes(rule, content)
            if not (is_asked and taken_as(rule, called)) or called & seen.known_by_rule.get(rule.index, frozenset()):
                continue
            if checks.is_rolled_back(record):
                return f"rule {rule.path} of job {name} did not show it, and it is rolled back"
            check, why = checks.check(record)
            said = f"rule {rule.path} of job {name} may give it another name, and did not show"
            if check is None:
                return f"{said} {record.ref.path}; {why}"
            if check.existence is not Existence.GONE and set(rule.tags) <= check.tags:
                return f"{said} what it makes of {record.ref.path}, which is there"
    return ""
