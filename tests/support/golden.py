"""What is relied on from outside, as text: it may change only on purpose. `python -m tests.support.golden` writes it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from sqlalchemy import create_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from syncd import errors
from syncd.cli.app import app
from syncd.config import json_schema
from syncd.domain import FindingKind
from tests.support import names

FOLDER = Path("tests/golden")


def commands() -> str:
    """Every command with its options, their metavars and defaults."""
    return "\n".join(_command(typer.main.get_command(app), "syncd")) + "\n"


def _command(command: Any, name: str) -> Iterator[str]:
    yield f"{name}: {(command.help or '').splitlines()[0] if command.help else ''}"
    for parameter in command.params:
        names_of = "/".join(parameter.opts)
        default = parameter.default if isinstance(parameter.default, (str, int, bool, type(None))) else "…"
        yield f"    {names_of} {default!r}"
    for inner in sorted(getattr(command, "commands", {})):
        yield from _command(command.commands[inner], f"{name} {inner}")


def exit_codes() -> str:
    """The exit code of each class of errors."""
    found = {
        one.__name__: one.exit_code
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.SyncdError)
    }
    return json.dumps({"codes": found, "order": errors.EXIT_ORDER}, indent=1, sort_keys=True) + "\n"


def configuration() -> str:
    """The configuration's JSON Schema."""
    return json.dumps(json_schema(), indent=1, sort_keys=True) + "\n"


def ledger() -> str:
    """The ledger's tables, as SQLite makes them."""
    engine = create_engine("sqlite://")
    lines = []
    for table in names.ledger_tables():
        lines.append(str(CreateTable(table).compile(engine)).strip())
        lines += sorted(str(CreateIndex(index).compile(engine)).strip() for index in table.indexes)
    engine.dispose()
    return re.sub(r"[ \t]+\n", "\n", "\n".join(lines)) + "\n"


def plan_file() -> str:
    """What an action of a kept plan says."""
    form, fields = names.plan_file()
    return "\n".join([form, *sorted(fields)]) + "\n"


def metrics() -> str:
    """The metrics' names, kinds and help; their labels are held by `tests/e2e/test_daemon.py`."""
    rows = [f"{one.name} {one.type}: {one.documentation}" for one in names.metrics()]
    return "\n".join(sorted(rows)) + "\n"


def log_events() -> str:
    """The names of log events, as the code has them."""
    return "\n".join(sorted(events())) + "\n"


def events() -> set[str]:
    """What the loggers are called with; of a name that is put together, each part that it may have."""
    found: set[str] = set()
    for path in Path("syncd").rglob("*.py"):
        if "sandbox" not in path.parts:
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and node.args)
            found |= {name for call in calls if _is_log_call(call.func) for name in _names(call.args[0])}
    return {name for name in found if re.fullmatch(r"[a-z]+\.[a-z_{}]+", name)}


def _is_log_call(called: ast.expr) -> bool:
    # A method that was chosen before.
    if isinstance(called, ast.Name):
        return called.id in {"write", "tell", "report"}
    return isinstance(called, ast.Attribute) and called.attr in {"debug", "info", "warning", "error"}


def _names(given: ast.expr) -> Iterator[str]:
    if isinstance(given, ast.IfExp):
        yield from (*_names(given.body), *_names(given.orelse))
    elif isinstance(given, ast.Constant) and isinstance(given.value, str):
        yield given.value
    elif isinstance(given, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in given.values)
        yield from _filled("".join(map(str, parts)))


def _filled(name: str) -> Iterator[str]:
    verbs = ("create", "update", "delete")
    # What is as it was is no news, and a withheld class is an event of its own.
    kinds = set(FindingKind) - {FindingKind.UNCHANGED, FindingKind.WITHHELD}
    words = verbs if name.endswith("{}d") else [kind.value.replace(" ", "_") for kind in kinds]
    yield from (name.replace("{}", word) for word in words)


PAGES = {
    "commands.txt": commands, "exit-codes.json": exit_codes, "configuration.json": configuration, "ledger.sql": ledger,
    "plan-file.txt": plan_file, "metrics.txt": metrics, "log-events.txt": log_events,
}  # fmt: skip

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
