"""Read the file, and tell every fault at once: its path, its line, the mend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from syncd.config import settings as models
from syncd.config.fields import Strict, meant_by
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
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="found unhashable key", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem="a key is written twice", problem_mark=key.start_mark)
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
        raise ConfigError(f"{path}{line}: broken YAML: {_problem(error)}", hint="mend that line") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
        # Whatever the parser's constructors raise for odd tags and scalars is a fault of the file.
        hint = "it must be UTF-8 text without control characters; put odd values in quotes"
        raise ConfigError(f"{path}: broken YAML", hint=hint) from None
    if node is None or not isinstance(raw, dict):
        raise ConfigError(f"{path}: holds no mapping", hint="start from the README's example, or `syncd sandbox`")
    settings = _validated(path, raw, node)
    settings.state.placed_in(path.absolute().parent)
    return settings


PROBLEMS = {
    "a key is written twice": "a key is written twice",
    "an alias that contains itself": "an alias that contains itself",
    "too much in one file": "too much in one file",
    "found undefined alias": "an alias (*) whose anchor (&) is not there; put text that begins with * in quotes",
    "found duplicate anchor": "an anchor (&) that is there twice; put text that begins with & in quotes",
    "could not determine a constructor": "a tag (!) that means nothing here; put text that begins with ! in quotes",
    "found undefined tag": "a tag (!) that means nothing here; put text that begins with ! in quotes",
    "found unhashable key": "a key that is no text; was a template like {{ … }} not filled in?",
    "mapping values are not allowed": "a colon where none may be; put text that holds a colon in quotes",
    "could not find expected ':'": "a line without the colon that makes it a key",
    "found character": "a character that cannot begin a value; put the text in quotes",
    "expected <block end>": "wrong indentation",
    "found unexpected end of stream": "a quote or bracket is not closed",
    "while parsing a flow": "a bracket or comma is missing",
    "expected ',' or": "a bracket or comma is missing",
}
"""What PyYAML says, by how it begins, in our words: its own hold what was written, which may be a credential."""


def _problem(error: yaml.MarkedYAMLError) -> str:
    said = error.problem or ""
    return next((words for start, words in PROBLEMS.items() if said.startswith(start)), "it cannot be read here")


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
    except (OSError, ValueError) as error:
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
        if isinstance(part, str) and part in keys:
            line, here = keys[part][0].start_mark.line + 1, keys[part][1]
            name = number == 1 and loc[0] in NAMED and _is_name(part, here)
            path += f".{part}" if name or _is_ours(part) else ""
        elif isinstance(part, int) and isinstance(here, yaml.SequenceNode) and part < len(here.value):
            here = here.value[part]
            line = here.start_mark.line + 1
            path += f"[{part}]"
        elif number == len(loc) - 1 and isinstance(part, str) and isinstance(here, yaml.MappingNode) and _is_ours(part):
            path += f".{part}"
    return path.removeprefix(".") or "the file", line


def _is_ours(part: str) -> bool:
    """Is it a name of the schema, or a slip of the pen for one?"""
    return bool(meant_by(part, _schema_names()))


def _is_name(key: str, value: yaml.Node) -> bool:
    """Is it what a source, target or job is called, and stands there as such?"""
    return isinstance(value, yaml.MappingNode) and _names(key, {})


def _names(key: str, value: object) -> bool:
    """May this key of a section be shown as what somebody called a source, target or job?"""
    return isinstance(value, dict) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", key) is not None


@cache
def _schema_names() -> frozenset[str]:
    return frozenset(name for model in _models(Settings) for name in model.model_fields)


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
    known = _schema_names()
    if key in known:
        return "; it belongs into another section"
    close = meant_by(key, known)
    return f"; did you mean {close}?" if close else ""


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
                names = [one for one in there if isinstance(one, str) and _names(one, there[one])]
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


def _rule_faults(checked: Settings, node: yaml.Node) -> Iterator[tuple[int, str, str]]:
    for name, job in checked.jobs.items():
        source = checked.sources.get(job.source)
        if source is None:
            continue
        for index, rule in enumerate(job.secrets):
            for key, message in faults(rule, source.type, getattr(source, "region", "")):
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
