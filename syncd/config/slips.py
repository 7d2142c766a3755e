"""What a configuration may say, and surely does not mean: warnings of `syncd check`. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from syncd.config.settings import AwsSettings, JobSettings, SecretRule, Settings, VaultSettings
from syncd.domain import Glob
from syncd.domain.naming import placeholders
from syncd.domain.overlap import may_overlap

Slip = tuple[tuple[str | int, ...], str]
"""A place of the configuration, and what is odd about it with the fix."""


def slips(settings: Settings) -> Iterator[Slip]:
    """Everything that works and is likely not meant."""
    for name, job in settings.jobs.items():
        for place, message in _job_slips(settings, job):
            yield ("jobs", name, *place), message
    yield from _shared_names(settings)
    used = {job.source for job in settings.jobs.values()}
    sent_to = {target for job in settings.jobs.values() for target in job.targets}
    yield from ((("sources", name), "no job reads it") for name in settings.sources if name not in used)
    yield from ((("targets", name), "no job sends to it") for name in settings.targets if name not in sent_to)


def _job_slips(settings: Settings, job: JobSettings) -> Iterator[Slip]:
    source = settings.sources[job.source]
    if job.schedule is None:
        yield (), "has no schedule: `syncd run` never runs it, only `syncd sync` does; write schedule: {every: 5m}"
    sites = [settings.targets[target].site for target in job.targets]
    if doubled := [target for target, site in zip(job.targets, sites, strict=True) if sites.count(site) > 1]:
        yield ("targets",), f"{' and '.join(doubled)} are one and the same site; one of them is enough"
    if "deletion_grace" in job.model_fields_set and job.deletion_policy == "keep":
        yield ("deletion_grace",), "means nothing without deletion_policy: delete"
    if job.guard.max_deletes != "10%" and job.deletion_policy == "keep":
        yield ("guard", "max_deletes"), "means nothing without deletion_policy: delete"
    for index, rule in enumerate(job.secrets):
        for key, message in _rule_slips(rule, source):
            yield ("secrets", index, key), message


def _rule_slips(rule: SecretRule, source: VaultSettings | AwsSettings) -> Iterator[tuple[str, str]]:
    segments = rule.path.split("/")
    if isinstance(source, VaultSettings) and len(segments) > 1 and segments[1] in {"data", "metadata"}:
        yield "path", f"leave `{segments[1]}/` out: a path on KV v2 is written as `vault kv get` takes it"
    for glob in rule.exclude:
        if not may_overlap(Glob(rule.path), Glob(glob)):
            starts = f"; it begins with {segments[0]}/ as the path does" if glob.split("/")[0] != segments[0] else ""
            yield "exclude", f"excludes nothing that {rule.path} selects{starts}"
    many = "*" in rule.path or (rule.field in {None, "*"} and rule.value is None and rule.format is None)
    if isinstance(source, AwsSettings) and rule.field is None:
        many = "*" in rule.path
    if rule.name and many and not placeholders(rule.name) & {"path", "basename", "field"}:
        yield "name", "is the same for every secret of this rule, so all but one are in conflict; use {path} or {field}"


def _shared_names(settings: Settings) -> Iterator[Slip]:
    """Fixed names that two rules give to two secrets of one site."""
    given: defaultdict[tuple[str, str], list[tuple[str, int, tuple[str, str, str | None]]]] = defaultdict(list)
    for job_name, job in settings.jobs.items():
        for site in {settings.targets[target].site for target in job.targets}:
            for index, rule in enumerate(job.secrets):
                if rule.name and not placeholders(rule.name):
                    what = (job.source, rule.path, rule.field)
                    given[site, rule.name.casefold()].append((job_name, index, what))
    seen = set()
    for places in given.values():
        first = places[0]
        for job_name, index, what in places[1:]:
            if what != first[2] and (job_name, index) not in seen:
                seen.add((job_name, index))
                where = f"jobs.{first[0]}.secrets[{first[1]}]"
                message = f"is the name that {where} gives to another secret on the same site; give one another name"
                yield ("jobs", job_name, "secrets", index, "name"), message
