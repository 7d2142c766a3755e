"""A plan as a comment for reviewers: grouped by action, deletions first, without values, cut to a comment's size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from syncd.telemetry.logs import one_line

LIMIT = 60_000
"""Characters; GitHub takes 65,536 in a comment, and a workflow adds some of its own."""
ROOM = 400
"""Characters that are kept free for the line which tells how much was cut."""
ORDER = ("delete", "update", "create", "seek")
TITLES = {
    "delete": "Deletions",
    "update": "Updates",
    "create": "Creations",
    "seek": "Ids that are looked for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one job would do on one target."""

    job: str
    target: str
    rows: Sequence[Sequence[str]]
    """Action, name, version before and after, why, source."""
    notes: Sequence[str]
    """Findings, failures and errors, a line each."""


def markdown(parts: Sequence[Part]) -> str:
    """All parts as Markdown of at most `LIMIT` characters."""
    counts = Counter(row[0] for part in parts for row in part.rows)
    said = ", ".join(f"{counts[verb]} to {verb}" for verb in ORDER if counts[verb]) or "nothing to change"
    lines = [f"## syncd plan: {said}", ""]
    for verb in ORDER:
        lines += _table(verb, parts) if counts[verb] else []
    notes = [f"- {_text(part.job)} → {_text(part.target)}: {_text(note)}" for part in parts for note in part.notes]
    lines += ["### To be seen to", "", *notes, ""] if notes else []
    return _cut(lines)


def _table(verb: str, parts: Iterable[Part]) -> list[str]:
    head = [f"### {TITLES[verb]}", "", "| name | job → target | from | to | why | source |", "| --- " * 6 + "|"]
    rows = []
    for part in parts:
        for action, name, before, after, why, source in part.rows:
            if action == verb:
                where = f"{_text(part.job)} → {_text(part.target)}"
                cells = (_code(name), where, _text(before), _text(after), _text(why), _code(source))
                rows.append(f"| {' | '.join(cells)} |")
    return [*head, *rows, ""]


def _cut(lines: Sequence[str]) -> str:
    kept, size = [], 0
    for number, line in enumerate(lines):
        size += len(line) + 1
        if size > LIMIT - ROOM:
            # Rows and notes only: heads of tables and titles are nothing that a reviewer misses.
            left = sum(1 for item in lines[number:] if item.startswith(("| `", "- ")))
            kept += ["", f"**{left} more lines are left out here**; all of them: `syncd plan`"]
            break
        kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


def _text(text: str) -> str:
    """Return the text with all characters escaped that mean something in Markdown or HTML."""
    plain = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # `@` and `#` among them: in a comment they would call people, or link elsewhere.
    return "".join(f"\\{sign}" if sign in "\\`*_[]|~#@" else sign for sign in plain)


def _code(text: str) -> str:
    """A name or path from outside as code, in which nothing is a mark, a mention or a link."""
    # Nothing can be escaped within code, so a mark that ends it is replaced; a table splits at `|` even there.
    plain = one_line(text).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"
