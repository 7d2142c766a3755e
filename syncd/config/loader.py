"""Read the file, and tell every fault at once: its path, its line, the fix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from syncd.config.faults import told
from syncd.config.fields import meant_by
from syncd.config.files import twice_used
from syncd.config.rules import faults
from syncd.config.schema_places import all_fields
from syncd.config.settings import AwsSettings, JobSettings, Settings, VaultSettings, WixSettings
from syncd.config.slips import slips
from syncd.config.sources import SourceSettings
from syncd.config.yaml_file import config_map, parsed, text_of
from syncd.errors import ConfigError


def load(path: Path) -> Settings:
    """The validated settings. Raises `ConfigError` with all problems."""
    return load_with_warnings(path)[0]


def load_with_warnings(path: Path) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings, and warnings (with lines) of what works but is likely not meant. Raises `ConfigError`."""
    return _loaded(text_of(path), path)


def see_text(text: str, path: Path) -> None:
    """Check that this text would be a valid configuration at this path. Raises `ConfigError`."""
    _loaded(text, path)


def candidate(text: str, path: Path) -> Settings:
    """Return the settings of a text that is no file yet; files that it names are not looked at.

    Raises `ConfigError`.
    """
    return _loaded(text, path, looks=False)[0]


def load_manifests(text: str, name: str) -> tuple[Settings, tuple[str, ...]]:
    """Return settings and warnings of what `helm template` prints, or of a plain configuration.

    `name`: how messages call the text. Raises `ConfigError`.
    """
    found = config_map(text)
    return _loaded(found[1], Path(f"{name} (ConfigMap {found[0]})")) if found else _loaded(text, Path(name))


def load_helm_values(path: Path) -> tuple[Settings, tuple[str, ...]]:
    """Return settings and warnings of the `config` in a Helm values file; the chart itself sets state and server.

    Raises `ConfigError`.
    """
    raw, node = parsed(text_of(path), str(path))
    config = raw.get("config")
    if not isinstance(config, dict) or not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}: has no `config`", hint="it is no values file of syncd's chart")
    inner = next(value for key, value in node.value if key.value == "config")
    if problems := tuple(f"{path}:{key.start_mark.line + 1}: {READ_AS_BOOLEAN}" for key in _booleans(inner)):
        raise ConfigError(f"{path}: Helm reads these otherwise", hint="quote them and try again", problems=problems)
    given = {"state": {"path": "/var/lib/syncd/state.db"}, **config}
    settings, warnings = _checked(path, given, inner)
    if "state" in config:
        warnings += (f"{path}: state: the chart sets it by itself; leave it out",)
    return settings, warnings


READ_AS_BOOLEAN = 'Helm reads this key as true or false; write it in quotes, such as "on":'


def _booleans(node: yaml.Node) -> Iterator[yaml.Node]:
    """Yield keys without quotes that YAML 1.1, and so Helm, takes for booleans; our own reader takes them for names."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.style is None and key.value.lower() in {"on", "off", "yes", "no", "y", "n"}:
                yield key
            yield from _booleans(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _booleans(item)


def _loaded(text: str, path: Path, *, looks: bool = True) -> tuple[Settings, tuple[str, ...]]:
    raw, node = parsed(text, str(path))
    return _checked(path, raw, node, looks=looks)


def _checked(
    path: Path, raw: dict[Any, Any], node: yaml.Node, *, looks: bool = True
) -> tuple[Settings, tuple[str, ...]]:
    # What came through a pipe has no name that a command could take.
    file = "FILE" if path.name == "stdin" else path
    # Before it is validated: every key of the chart would be a fault otherwise, and none of them the one to fix.
    if isinstance(raw.get("config"), dict) and not raw.keys() & {"owner", "sources", "targets", "jobs"}:
        raise ConfigError(f"{path}: these are values of the Helm chart", hint=f"run: syncd check --values {file}")
    settings = _validated(path, raw, node, looks=looks)
    found = [(*_located(node, place), message) for place, message in slips(settings)]
    return settings, tuple(f"{path}:{line}: {where}: {message}" for where, line, message in found)


def _validated(path: Path, raw: dict[Any, Any], node: yaml.Node, *, looks: bool) -> Settings:
    found: list[tuple[int, str, str]] = []
    checked = None
    try:
        checked = Settings.model_validate(raw, context={"folder": path.absolute().parent})
    except ValidationError as error:
        # What was written may be a credential, and pydantic hands it on with each fault.
        for loc, message in told(error.errors(include_input=False, include_url=False, include_context=True)):
            where, line = _located(node, loc)
            found.append((line, where, message))
    # By what was written, because settings with another fault are never made.
    found.extend(_dangling(raw, node))
    # After pydantic: a template that was not filled in is often the cause of what it complains about.
    found.extend(_not_filled_in(raw, node))
    sources = checked.sources if checked else _usable(raw, "sources", SourceSettings)
    found.extend(_rule_faults(checked.jobs if checked else _usable(raw, "jobs", JobSettings), sources, node))
    found.extend(_site_faults(checked.targets if checked else _usable(raw, "targets", WixSettings), node))
    for place, other in twice_used(checked, path, looks=looks) if checked else ():
        its = _located(node, other)[0] if other else "the configuration itself"
        message = f"syncd would write into the file of {its}; name a file that is for nothing else"
        where, line = _located(node, place)
        found.append((line, where, message))
    if checked is None or found:
        found = _most_telling(found)
        problems = tuple(f"{path}:{line}: {where}: {message}" for line, where, message in sorted(set(found)))
        count = f"{len(problems)} fault{'s' if len(problems) != 1 else ''}"
        raise ConfigError(f"{path}: {count}", hint="fix them and run: syncd check", problems=problems)
    return checked


def _most_telling(found: list[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    """Keep, of several faults at one place, the one about the text itself."""
    # A proxy is an address or a credential: pydantic tells what is wrong with it as either.
    for telling in ("holds a template", "no address of a proxy"):
        places = {(line, where) for line, where, message in found if message.startswith(telling)}
        found = [fault for fault in found if (fault[0], fault[1]) not in places or fault[2].startswith(telling)]
    return found


NAMED = {"sources", "targets", "jobs"}
"""Sections whose keys are names that somebody chose."""


def _located(node: yaml.Node, loc: tuple[int | str, ...]) -> tuple[str, int]:
    """The dotted path of a fault and its line; a union's tag is no part of a path.

    This is the one way to show a place of the configuration. It shows names of the schema, positions in lists, and
    what sources, targets and jobs are called; nothing else that was written there, which may be a credential.
    """
    path, here, line = "", node, node.start_mark.line + 1
    for number, part in enumerate(loc):
        keys = {key.value: (key, value) for key, value in here.value} if isinstance(here, yaml.MappingNode) else {}
        if _is_tag(part, keys, loc[number + 1 : number + 2]):
            continue
        if isinstance(part, str) and part in keys:
            line, here = keys[part][0].start_mark.line + 1, keys[part][1]
            name = number == 1 and loc[0] in NAMED and _is_name(part, here)
            path += f".{part}" if name or _is_ours(part) else ""
        elif isinstance(part, int) and isinstance(here, yaml.SequenceNode) and part < len(here.value):
            here = here.value[part]
            line = here.start_mark.line + 1
            path += f"[{part}]"
        # A key that is missing has no node; it is shown where its section is.
        elif number == len(loc) - 1 and isinstance(part, str) and isinstance(here, yaml.MappingNode) and _is_ours(part):
            path += f".{part}"
    return path.removeprefix(".") or "the file", line


def _is_tag(part: str | int, keys: dict[Any, tuple[yaml.Node, yaml.Node]], following: tuple[str | int, ...]) -> bool:
    """Is this part a union's tag, though a key of that name stands there, too (`method: api_key` has an `api_key`)?"""
    if part not in keys or not any(kind in keys and keys[kind][1].value == part for kind in ("method", "type")):
        return False
    inside = keys[part][1]
    below = {key.value for key, _ in inside.value} if isinstance(inside, yaml.MappingNode) else set()
    return bool(following) and following[0] not in below


def _is_ours(part: str) -> bool:
    """Is it a name of the schema, or a slip of the pen for one?"""
    return bool(meant_by(part, all_fields()))


def _is_name(key: str, value: yaml.Node) -> bool:
    """Is it what a source, target or job is called, and stands there as such?"""
    return isinstance(value, yaml.MappingNode) and _names(key, {})


def _names(key: str, value: object) -> bool:
    """May this key of a section be shown as what somebody called a source, target or job?"""
    return isinstance(value, dict) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", key) is not None


def _dangling(raw: dict[Any, Any], node: yaml.Node) -> Iterator[tuple[int, str, str]]:
    """Yield sources and targets that a job names and that do not exist, and targets that it names twice."""
    jobs = raw.get("jobs")
    for name, job in jobs.items() if isinstance(jobs, dict) else ():
        if not isinstance(job, dict):
            continue
        given = job.get("targets")
        targets = given if isinstance(given, list) else []
        wanted: list[tuple[str, tuple[str | int, ...], Any]] = [("sources", ("source",), job.get("source"))]
        wanted += [("targets", ("targets", index), target) for index, target in enumerate(targets)]
        for section, loc, value in wanted:
            entries = raw.get(section)
            if isinstance(value, str) and isinstance(entries, dict) and value not in entries:
                where, line = _located(node, ("jobs", str(name), *loc))
                # Neither a reference that is near no name nor a key that is no name is shown: they may be credentials.
                names = [key for key in entries if isinstance(key, str) and _names(key, entries[key])]
                close = meant_by(value, names)
                there_is = f"there is no {value}" if close else "this names nothing"
                meant = f"did you mean {close}?" if close else f"it has {', '.join(names) or 'none'}"
                yield line, where, f"{there_is} under {section}; {meant}"
        doubled = {str(target) for target in targets if targets.count(target) > 1}
        for value in sorted(doubled):
            where, line = _located(node, ("jobs", str(name), "targets"))
            held = raw["targets"] if isinstance(raw.get("targets"), dict) else {}
            known = value in held and _names(value, held[value])
            yield line, where, f"{value if known else 'one'} is named twice"


NOT_FILLED_IN = re.compile(r"\{\{|\}\}|\$\{|\$\(|<%|#\{")
"""How the templates of Helm, Jinja, shells, Kubernetes and ERB begin."""
OWN_TEMPLATES = {"name", "description", "value"}
"""Keys of a rule whose text may hold braces, because it is a template of syncd's own."""
FOREIGN = re.compile(r"\{\{-?\s*[.$]|\{\{-?\s+[A-Za-z_][\w.]*\s+-?\}\}|<%")
"""What is a template of another tool even under those keys: `{{ .Values.x }}`, `{{ x }}`."""


def _not_filled_in(thing: object, node: yaml.Node, loc: tuple[int | str, ...] = ()) -> Iterator[tuple[int, str, str]]:
    """Yield the texts that still hold a template which another tool should have filled in."""
    unfilled = FOREIGN if loc[:1] == ("jobs",) and loc[-1] in OWN_TEMPLATES else NOT_FILLED_IN
    if isinstance(thing, str) and unfilled.search(thing):
        where, line = _located(node, loc)
        yield line, where, "holds a template that was not filled in ({{ … }}, ${ … } or the like)"
    parts = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    for key, part in parts:
        yield from _not_filled_in(part, node, (*loc, key if isinstance(key, int) else str(key)))


def _usable(raw: dict[Any, Any], section: str, kind: Any) -> dict[str, Any]:
    """Return the entries of a section that are valid by themselves: faults elsewhere do not hide theirs."""
    found, entries = {}, raw.get(section)
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        with suppress(ValidationError):
            found[str(name)] = TypeAdapter(kind).validate_python(entry)
    return found


def _rule_faults(
    jobs: Mapping[str, JobSettings], sources: Mapping[str, VaultSettings | AwsSettings], node: yaml.Node
) -> Iterator[tuple[int, str, str]]:
    for name, job in jobs.items():
        source = sources.get(job.source)
        # `_dangling` tells it, or the source has faults of its own.
        if source is None:
            continue
        for index, rule in enumerate(job.secrets):
            for key, message in faults(rule, source.type, getattr(source, "region", "")):
                where, line = _located(node, ("jobs", name, "secrets", index, key))
                yield line, where, message


SAME = "If so, give both the same"


def _site_faults(targets: Mapping[str, WixSettings], node: yaml.Node) -> Iterator[tuple[int, str, str]]:
    """Yield where targets on one site do not agree: they share its records, its rate limit and its rules."""
    first: dict[str, str] = {}
    for name, target in targets.items():
        other = first.setdefault(target.site, name)
        for key in ("name_profile", "rate_limit", "base_url", "labels"):
            if getattr(target, key) != getattr(targets[other], key):
                where, line = _located(node, ("targets", name, key))
                told = f"is another than that of {other}, which is the same site by its id: is the id right? {SAME}"
                yield line, where, told


def json_schema() -> dict[str, Any]:
    """The configuration's JSON Schema, for editors."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "syncd.yaml", **schema}
