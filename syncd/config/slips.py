"""What a configuration may say, and surely does not mean: warnings of `syncd check`. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from syncd.config.governance import GovernanceRuleSettings, Selecting
from syncd.config.settings import ApiKeyAuth, AwsSettings, JobSettings, SecretRule, Settings, VaultSettings
from syncd.config.targets import BASE_URL
from syncd.domain import Glob
from syncd.domain.naming import placeholders
from syncd.domain.overlap import may_overlap

SITE_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
Slip = tuple[tuple[str | int, ...], str]
"""A place of the configuration, and what is odd about it with the fix."""


def slips(settings: Settings) -> Iterator[Slip]:
    """Everything that works and is likely not meant."""
    for name, job in settings.jobs.items():
        for place, message in _job_slips(settings, job):
            yield ("jobs", name, *place), message
    yield from _shared_names(settings)
    yield from _twice_taken(settings)
    for name, target in settings.targets.items():
        # Another server, such as an emulated Wix, may call its sites what it likes.
        if target.base_url == BASE_URL and not SITE_ID.fullmatch(target.site):
            key = "site_id" if isinstance(target.auth, ApiKeyAuth) else "instance_id"
            yield ("targets", name, "auth", key), "is no id as Wix gives them: 8-4-4-4-12 hex digits, a GUID"
    for index, rule in enumerate(settings.rules):
        for part, selecting in _selectors(rule):
            for inner, message in _selects_nobody(settings, selecting):
                yield ("rules", index, *part, *inner), message
    for name, source in settings.sources.items():
        if isinstance(source, VaultSettings) and source.address.rstrip("/").endswith("/v1"):
            yield ("sources", name, "address"), "leave `/v1` out: syncd puts it behind the address itself"
    used = {job.source for job in settings.jobs.values()}
    sent_to = {target for job in settings.jobs.values() for target in job.targets}
    yield from ((("sources", name), "no job reads it") for name in settings.sources if name not in used)
    yield from ((("targets", name), "no job sends to it") for name in settings.targets if name not in sent_to)


def _selectors(rule: GovernanceRuleSettings) -> Iterator[tuple[tuple[str | int, ...], Selecting]]:
    yield (), rule
    if rule.not_ is not None:
        yield ("not",), rule.not_
    for number, item in enumerate(rule.except_):
        yield ("except", number), item


def _selects_nobody(settings: Settings, selecting: Selecting) -> Iterator[Slip]:
    """Yield selectors that fit nothing in the configuration: a misspelt one leaves unguarded what it should guard."""
    sites = {target.site for target in settings.targets.values()}
    known: dict[str, Collection[str]] = {
        "source": settings.sources,
        "job": settings.jobs,
        "target": settings.targets,
        "site": sites,
    }
    for key, names in known.items():
        for text in getattr(selecting, key) or ():
            if not any(Glob(text).matches(name) for name in names):
                yield (key,), f"fits no {key} of the configuration; {_one_of(names)}"
    taken = [Glob(rule.path) for job in settings.jobs.values() for rule in job.secrets]
    for text in selecting.path or ():
        if not any(may_overlap(Glob(text), path) for path in taken):
            yield ("path",), "fits no path that a rule of a job takes"
    for label, texts in (selecting.label or {}).items():
        values = {target.labels[label] for target in settings.targets.values() if label in target.labels}
        if not any(Glob(text).matches(value) for text in texts for value in values):
            labels = {f"{key}: {value}" for target in settings.targets.values() for key, value in target.labels.items()}
            yield ("label",), f"is on no target; {_one_of(labels)}"


def _one_of(names: Iterable[str]) -> str:
    return f"there is {', '.join(sorted(names)[:10]) or 'none'}"


def _job_slips(settings: Settings, job: JobSettings) -> Iterator[Slip]:
    source = settings.sources[job.source]
    if job.schedule is None:
        yield (), "has no schedule: `syncd run` never runs it, only `syncd sync` does; write schedule: {every: 5m}"
    sites = [settings.targets[target].site for target in job.targets]
    if doubled := [target for target, site in zip(job.targets, sites, strict=True) if sites.count(site) > 1]:
        yield ("targets",), f"{' and '.join(doubled)} are one and the same site; one of them is enough"
    # Only where it was written: its default stands in every job.
    if "deletion_grace" in job.model_fields_set and job.deletion_policy == "keep":
        yield ("deletion_grace",), "means nothing without deletion_policy: delete"
    if job.guard.max_deletes != "10%" and job.deletion_policy == "keep":
        yield ("guard", "max_deletes"), "means nothing without deletion_policy: delete"
    for index, rule in enumerate(job.secrets):
        for key, message in _rule_slips(rule, source):
            yield ("secrets", index, key), message


def _rule_slips(rule: SecretRule, source: VaultSettings | AwsSettings) -> Iterator[tuple[str, str]]:
    segments = rule.path.split("/")
    # The HTTP API and policies write this segment; `vault kv get` and syncd do not.
    if isinstance(source, VaultSettings) and len(segments) > 1 and segments[1] in {"data", "metadata"}:
        yield "path", f"leave `{segments[1]}/` out: a path on KV v2 is written as `vault kv get` takes it"
    for glob in rule.exclude:
        if not may_overlap(Glob(rule.path), Glob(glob)):
            starts = f"; it begins with {segments[0]}/ as the path does" if glob.split("/")[0] != segments[0] else ""
            yield "exclude", f"excludes nothing that {rule.path} selects{starts}"
    for key, text in (("name", rule.name), ("value", rule.value)):
        if "${" in (text or ""):
            yield key, "holds `${`: the $ goes in as it is, and {…} alone is a placeholder"
    if "{{" in (rule.name or ""):
        yield "name", "holds `{{`, which stands for a brace as it is; a placeholder is written {path} or {field}"
    many = "*" in rule.path or (rule.field in {None, "*"} and rule.value is None and rule.format is None)
    if isinstance(source, AwsSettings) and rule.field is None:
        many = "*" in rule.path
    if rule.name and many and not placeholders(rule.name) & {"path", "basename", "field"}:
        yield "name", "is the same for every secret of this rule, so all but one are in conflict; use {path} or {field}"


def _twice_taken(settings: Settings) -> Iterator[Slip]:
    """Secrets that two jobs give one and the same name on one site: the first keeps them, the other sends nothing."""
    seen: list[tuple[str, frozenset[str], str, int, SecretRule]] = []
    for job_name, job in settings.jobs.items():
        sites = frozenset(settings.targets[target].site for target in job.targets)
        mine = [(job.source, sites, job_name, index, rule) for index, rule in enumerate(job.secrets)]
        for _, _, _, index, rule in mine:
            for source, other_sites, other_job, other_index, other in seen:
                if source == job.source and sites & other_sites and _take_the_same(rule, other):
                    where = f"jobs.{other_job}.secrets[{other_index}]"
                    message = f"takes secrets that {where} takes, under the same names on the same site"
                    yield ("jobs", job_name, "secrets", index, "path"), f"{message}; leave them to one of the two"
        seen += mine


def _take_the_same(rule: SecretRule, other: SecretRule) -> bool:
    made = [(rule.name, rule.field, rule.format, rule.value, rule.mount) for rule in (rule, other)]
    if made[0] != made[1] or rule.tags != other.tags or not may_overlap(Glob(rule.path), Glob(other.path)):
        return False
    pairs = ((rule, other), (other, rule))
    return not any(Glob(glob).matches(second.path) for first, second in pairs for glob in first.exclude)


def _shared_names(settings: Settings) -> Iterator[Slip]:
    """Fixed names that two rules give to two secrets of one site."""
    given: defaultdict[tuple[str, str], list[tuple[str, int, tuple[str, str, str | None]]]] = defaultdict(list)
    for job_name, job in settings.jobs.items():
        for site in {settings.targets[target].site for target in job.targets}:
            for index, rule in enumerate(job.secrets):
                if rule.name and not placeholders(rule.name):
                    what = (job.source, rule.path, rule.field)
                    # Wix's names that differ in case alone collide.
                    given[site, rule.name.casefold()].append((job_name, index, what))
    seen = set()
    for places in given.values():
        first = places[0]
        for job_name, index, what in places[1:]:
            # One secret under one name twice is sent once. A job with two sites is told of it once, too.
            if what != first[2] and (job_name, index) not in seen:
                seen.add((job_name, index))
                where = f"jobs.{first[0]}.secrets[{first[1]}]"
                message = f"is the name that {where} gives to another secret on the same site; give one another name"
                yield ("jobs", job_name, "secrets", index, "name"), message
