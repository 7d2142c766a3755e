"""Read the file, and tell every fault at once: its path, its line, the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from syncd.config import settings as models
from syncd.config.fields import Strict
from syncd.config.rules import faults
from syncd.config.settings import Settings
from syncd.errors import ConfigError

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 500_000
PLAIN = {
    "missing": "is required",
    "extra_forbidden": "unknown key",
    "string_type": "must be text; put it in quotes",
    "dict_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "list_type": "must be a list (- item)",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
}


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value} is written twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load(path: Path) -> Settings:
    """The validated settings. Raises `ConfigError` with all problems."""
    text = _text(path)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _expanded(node, {})
            raw = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: broken YAML: {error.problem}", hint="mend that line") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{path}: broken YAML", hint="it must be UTF-8 text without control characters") from None
    if node is None or not isinstance(raw, dict):
        raise ConfigError(f"{path}: holds no mapping", hint="start from the README's example, or `syncd sandbox`")
    settings = _validated(path, raw, node)
    settings.state.placed_in(path.absolute().parent)
    return settings


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes a document has with its aliases written out: a small file could grow without end."""
    if known.get(id(node)) == 0:
        raise yaml.MarkedYAMLError(problem="an alias that contains itself", problem_mark=node.start_mark)
    if id(node) not in known:
        known[id(node)] = 0
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        known[id(node)] = 1 + sum(_expanded(child, known) for child in children)
    if known[id(node)] > MAX_NODES:
        raise yaml.MarkedYAMLError(problem="too much in one file", problem_mark=node.start_mark)
    return known[id(node)]


def _text(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024 // 1024} MB", hint="is it the right file?")
        return data.decode()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration {path}", hint="name it with --config or SYNCD_CONFIG, or see the README"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({type(error).__name__})", hint="it must be UTF-8 text, readable for this user"
        ) from None


def _validated(path: Path, raw: dict[Any, Any], node: yaml.Node) -> Settings:
    found: list[tuple[int, str, str]] = []
    checked = None
    try:
        checked = Settings.model_validate(raw)
    except ValidationError as error:
        for detail in error.errors(include_input=False, include_url=False, include_context=True):
            where, line = _located(node, detail["loc"])
            found.append((line, where, _message(detail)))
    found.extend(_dangling(raw, node))
    if checked is not None:
        found.extend(_rule_faults(checked, node))
        found.extend(_site_faults(checked, node))
    if checked is None or found:
        problems = tuple(f"{path}:{line}: {where}: {message}" for line, where, message in sorted(set(found)))
        count = f"{len(problems)} fault{'s' if len(problems) != 1 else ''}"
        raise ConfigError(f"{path}: {count}", hint="mend them and run: syncd check", problems=problems)
    return checked


def _located(node: yaml.Node, loc: tuple[int | str, ...]) -> tuple[str, int]:
    """The dotted path of a fault and its line; a union's tag is no part of a path."""
    path, here, line = "", node, node.start_mark.line + 1
    for number, part in enumerate(loc):
        keys = {key.value: (key, value) for key, value in here.value} if isinstance(here, yaml.MappingNode) else {}
        if isinstance(part, str) and part in keys:
            line, here = keys[part][0].start_mark.line + 1, keys[part][1]
            path += f".{part}"
        elif isinstance(part, int) and isinstance(here, yaml.SequenceNode) and part < len(here.value):
            here = here.value[part]
            line = here.start_mark.line + 1
            path += f"[{part}]"
        elif number == len(loc) - 1 and isinstance(part, str) and isinstance(here, yaml.MappingNode):
            path += f".{part}"
    return path.removeprefix(".") or "the file", line


def _message(detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"unknown key{_near(str(detail['loc'][-1]))}"
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        context = detail.get("ctx", {})
        allowed = context.get("expected_tags", "")
        return (
            f"needs {context.get('discriminator', 'a kind')}, one of {allowed}"
            if allowed
            else (f"needs {context.get('discriminator', 'its kind')}")
        )
    if kind == "string_pattern_mismatch":
        pattern = detail.get("ctx", {}).get("pattern", "")
        return f"does not fit the pattern {pattern}"
    if kind == "literal_error":
        return f"is one of {detail.get('ctx', {}).get('expected', '')}"
    return detail["msg"].removeprefix("Value error, ")


def _near(key: str) -> str:
    known = {name for model in _models(Settings) for name in model.model_fields}
    if key in known:
        return "; it belongs into another section"
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _models(model: Any) -> Iterator[Any]:
    for value in (model, *vars(models).values()):
        if isinstance(value, type) and issubclass(value, Strict):
            yield value


def _dangling(raw: dict[Any, Any], node: yaml.Node) -> Iterator[tuple[int, str, str]]:
    """Jobs that name sources or targets which are not there; said beside all other faults."""
    jobs = raw.get("jobs")
    for name, job in jobs.items() if isinstance(jobs, dict) else ():
        if not isinstance(job, dict):
            continue
        given = job.get("targets")
        targets = given if isinstance(given, list) else []
        wanted: list[tuple[str, tuple[str | int, ...], Any]] = [("sources", ("source",), job.get("source"))]
        wanted += [("targets", ("targets", index), target) for index, target in enumerate(targets)]
        for section, loc, value in wanted:
            there = raw.get(section)
            if isinstance(value, str) and isinstance(there, dict) and value not in there:
                where, line = _located(node, ("jobs", str(name), *loc))
                yield line, where, f"there is no {value} under {section}; it has {', '.join(map(str, there))}"
        doubled = {str(target) for target in targets if targets.count(target) > 1}
        for value in sorted(doubled):
            where, line = _located(node, ("jobs", str(name), "targets"))
            yield line, where, f"{value} is named twice"


def _rule_faults(checked: Settings, node: yaml.Node) -> Iterator[tuple[int, str, str]]:
    for name, job in checked.jobs.items():
        source = checked.sources.get(job.source)
        if source is None:
            continue
        for index, rule in enumerate(job.secrets):
            for key, message in faults(rule, source.type):
                where, line = _located(node, ("jobs", name, "secrets", index, key))
                yield line, where, message


def _site_faults(checked: Settings, node: yaml.Node) -> Iterator[tuple[int, str, str]]:
    """Targets on one site share its records and its rate limit, so they must agree on both."""
    first: dict[str, str] = {}
    for name, target in checked.targets.items():
        other = first.setdefault(target.site, name)
        for key in ("name_profile", "rate_limit", "base_url"):
            if getattr(target, key) != getattr(checked.targets[other], key):
                where, line = _located(node, ("targets", name, key))
                yield line, where, f"is another than that of {other}, which is the same site"


def json_schema() -> dict[str, Any]:
    """The configuration's JSON Schema, for editors."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "syncd.yaml", **schema}
