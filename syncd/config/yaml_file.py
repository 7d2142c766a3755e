"""Parse a YAML text into plain data and nodes; tell every fault of the text with its line and the fix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from syncd.errors import ConfigError
from syncd.transport.fault_words import in_words

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 500_000


TRUTH, TEXT, NUMBER, MOMENT = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "str", "int", "timestamp"))
PLAIN = re.compile(r"[-+]?(0|[1-9][0-9]*)")
"""A number that YAML 1.1 and people read alike; of others YAML takes 010 for 8, 1:30 for 90 and 1_0 for 10."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that takes only plainly written numbers for numbers."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if not PLAIN.fullmatch(node.value):
            raise yaml.MarkedYAMLError(problem="a number of another form", problem_mark=node.start_mark)
        return int(node.value)

    def construct_yaml_timestamp(self, node: yaml.ScalarNode) -> Any:
        try:
            return super().construct_yaml_timestamp(node)
        # Such as 2026-12-32: whoever asks for a day says what is wrong with it, and where.
        except (ValueError, OverflowError):
            return node.value

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        # What its other constructors raise for odd tags and scalars, with the place.
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError):
            raise yaml.MarkedYAMLError(problem="an odd value", problem_mark=node.start_mark) from None


_Loader.add_constructor(NUMBER, _Loader.construct_yaml_int)
_Loader.add_constructor(MOMENT, _Loader.construct_yaml_timestamp)


def parsed(text: str, name: str) -> tuple[dict[Any, Any], yaml.Node]:
    """The mapping that a text holds, and its node, which knows lines. Raises `ConfigError` that names the place."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                # Before anything is built of it: a walk through aliases of aliases would not come to an end.
                _expanded(node, {})
            raw = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = _problem(error, text.splitlines()[mark.line : mark.line + 1] if mark else [])
        raise ConfigError(f"{name}{line}: broken YAML: {problem}", hint="fix that line") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
        # Whatever the parser's constructors raise for odd tags and scalars is a fault of the file.
        hint = "it must be UTF-8 text without control characters; put odd values in quotes"
        raise ConfigError(f"{name}: broken YAML", hint=hint) from None
    if node is None or not isinstance(raw, dict):
        if not text.strip():
            hint = "see whether the command before the pipe failed" if name == "stdin" else "write one: syncd init"
            raise ConfigError(f"{name}: is empty", hint=hint)
        hint = "it begins with keys such as owner: and sources:; write one to start from: syncd init"
        raise ConfigError(f"{name}: holds no keys with values", hint=hint)
    return raw, node


def config_map(text: str) -> tuple[str, str] | None:
    """Name and content of the ConfigMap that holds a `syncd.yaml`, among manifests as `helm template` prints them.

    None where the text is no such stream. Raises `ConfigError` for manifests without one.
    """
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    # Whatever its constructors raise for odd scalars is told by whoever reads the text as a configuration.
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
        return None
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "ConfigMap":
            data, metadata = document.get("data"), document.get("metadata")
            content = data.get("syncd.yaml") if isinstance(data, dict) else None
            if isinstance(content, str):
                return str(metadata.get("name", "")) if isinstance(metadata, dict) else "", content
    if documents and all(isinstance(document, dict) and "kind" in document for document in documents):
        raise ConfigError(
            "stdin: manifests without a ConfigMap that holds a syncd.yaml", hint="pipe in all that helm template prints"
        )
    return None


PROBLEMS = {
    "a key is written twice": "a key is written twice",
    "an alias that contains itself": "an alias that contains itself",
    "a number of another form": "a number that YAML reads in its own way (010 is 8); write plain digits, or quote it",
    "too much in one file": "too much in one file",
    "an odd value": "a value that YAML takes for something else than text; put it in quotes",
    "found undefined alias": "an alias (*) whose anchor (&) is not there; put text that begins with * in quotes",
    "found duplicate anchor": "an anchor (&) that is there twice; put text that begins with & in quotes",
    "could not determine a constructor": "a tag (!) that means nothing here; put text that begins with ! in quotes",
    "found undefined tag": "a tag (!) that means nothing here; put text that begins with ! in quotes",
    "found unhashable key": "a key that is no text; was a template like {{ … }} not filled in?",
    "mapping values are not allowed": "a colon where none may be: wrong indentation? put text that holds one in quotes",
    "could not find expected ':'": "a line without the colon that makes it a key",
    "found character '\\t'": "a tab; indent with spaces",
    "expected alphabetic or numeric character": "a * or & at its beginning; put the text in quotes",
    "found character": "a character that cannot begin a value; put the text in quotes",
    "expected <block end>": "wrong indentation",
    "found unexpected end of stream": "a quote or bracket is not closed",
    "while parsing a flow": "a bracket or comma is missing",
    "expected ',' or": "a bracket or comma is missing",
}
"""Our words for PyYAML's messages, by how these begin; its own hold what was written, which may be a credential."""


TEXT_AFTER_BRACE = re.compile(r"(:|-)\s+(\{[^}]*\}|\[[^\]]*\])\s*[^\s#,}\]]")
"""A value that begins as a mapping or list and goes on as text, as `name: {path}_{field}` does."""


def _problem(error: yaml.MarkedYAMLError, lines: list[str]) -> str:
    said = error.problem or ""
    # First: PyYAML would call it wrong indentation.
    if any(TEXT_AFTER_BRACE.search(line) for line in lines):
        return "text that begins with { or [ must stand in quotes"
    return next((words for start, words in PROBLEMS.items() if said.startswith(start)), "it cannot be read here")


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many nodes a document has with its aliases written out: a small file could grow without end.

    Raises MarkedYAMLError for too many of them, for an alias that contains itself, and for what `_see_keys` refuses.
    """
    if known.get(id(node)) == 0:
        raise yaml.MarkedYAMLError(problem="an alias that contains itself", problem_mark=node.start_mark)
    if id(node) not in known:
        # 0 while its parts are counted: who meets it again is inside of it.
        known[id(node)] = 0
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            _see_keys(node)
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        known[id(node)] = 1 + sum(_expanded(child, known) for child in children)
    if known[id(node)] > MAX_NODES:
        raise yaml.MarkedYAMLError(problem="too much in one file", problem_mark=node.start_mark)
    return known[id(node)]


def _see_keys(node: yaml.MappingNode) -> None:
    """Check that the keys of a mapping are names, each written once; raise MarkedYAMLError if not.

    It sees the mapping as it is in the text: a key that is merged (<<) may be written again.
    """
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="found unhashable key", problem_mark=key.start_mark)
        # PyYAML lets the last one win without a word: a second `jobs:` would drop the first.
        if key.value in seen:
            raise yaml.MarkedYAMLError(problem="a key is written twice", problem_mark=key.start_mark)
        seen.add(key.value)
        # In YAML 1.1 a key called `on` or `no` is a truth value, and 010 a number; here every key is a name.
        if key.tag in {TRUTH, NUMBER}:
            key.tag = TEXT


def text_of(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            # One byte more than may be tells a larger file without reading it whole.
            data = handle.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024 // 1024} MB", hint="is it the right file?")
        return data.decode()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration {path}",
            hint=f"name it with --config or SYNCD_CONFIG, or write one: syncd --config {path} init"
            if path.name.startswith("syncd")
            else "name a file that is there; a new configuration: syncd init",
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({in_words(error)})", hint="it must be UTF-8 text, readable for this user"
        ) from None
