"""What commands print: lines, tables, JSON and colours; names from outside do no harm to a terminal."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from syncd.telemetry.logs import one_line


class Typed:
    """Add `-c FILE` to the commands that messages name, so that whoever types one uses the same configuration."""

    def __init__(self) -> None:
        self._options = ""
        self._command = self._at_the_end = re.compile(r"(?!)")

    def means(self, config: Path | None, commands: Collection[str]) -> None:
        """Set what to add: `config`, if it was named on the command line; None: nothing, the same file is found again.

        `commands`: every command as it is typed, such as `state adopt`.
        """
        self._options = f"-c {shlex.quote(str(config))}" if config is not None else ""
        # One that is told which file it is about needs no other.
        command = rf"\bsyncd (?:{'|'.join(map(re.escape, commands))})(?![\w-])(?! (?:--values|--help|-)(?!\w))"
        self._command = re.compile(command)
        self._at_the_end = re.compile(rf"{command}(?:(?! (?:to|or|and|for|in|with) )[^;,:()])*$")

    def __call__(self, text: str) -> str:
        """Return the text with `-c FILE` at its end: as part of a command that ends the text, else in brackets.

        A text without a command comes back as it is.
        """
        if not self._options or not self._command.search(text):
            return text
        return f"{text} {self._options}" if self._at_the_end.search(text) else f"{text} (with {self._options})"


typed = Typed()


def show_json(thing: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(thing, indent=2, default=_plain, ensure_ascii=False) + "\n")


def _plain(thing: object) -> object:
    if isinstance(thing, datetime):
        return thing.isoformat()
    return str(thing)


def show(text: str = "") -> None:
    """One line on stdout. Line breaks and control characters of names from outside are not passed on."""
    sys.stdout.write(one_line(typed(text)) + "\n")


def shortened(text: str, most: int) -> str:
    """Cut a text for a terminal to `most` characters, the last of which is then `…`. A pipe gets all of it."""
    return text if len(text) <= most or not sys.stdout.isatty() else text[: most - 1] + "…"


def show_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, lean: bool = False) -> None:
    """Print a table: aligned and with colours on a terminal, aligned plain text in a pipe.

    `lean`: leave out the columns that are empty or `-` in every row; for tables that are too wide to have them all.
    """
    texts = [["" if cell is None else one_line(typed(str(cell))) for cell in row] for row in rows]
    if lean and texts:
        speaking = [i for i in range(len(headers)) if any(row[i] not in {"", "-"} for row in texts)]
        headers, texts = [headers[i] for i in speaking], [[row[i] for i in speaking] for row in texts]
    # Not through rich: without a terminal it folds rows at 80 columns, and a script would take one row for several.
    if not sys.stdout.isatty():
        widths = [max(len(row[i]) for row in [list(headers), *texts]) for i in range(len(headers))]
        for row in [list(headers), *texts]:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write(line.rstrip() + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in texts:
        # As text, not as markup: rich would take [brackets] in a name from outside for a style.
        table.add_row(*(Text(cell, style=STYLES.get(row[0], "") if i == 0 else "") for i, cell in enumerate(row)))
    # rich would believe a terminal that says it is 0 wide, and print nothing.
    Console(width=shutil.get_terminal_size().columns).print(table)


STYLES = {
    "create": "green",
    "update": "yellow",
    "delete": "red",
    "conflict": "red",
    "failed": "red",
    "quarantined": "red",
    "withheld": "red",
    "contested": "red",
    "missing": "red",
    "synced": "green",
}


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, or how soon, in words a person reads at a glance."""
    if at is None:
        return "never"
    seconds = int((now - at).total_seconds())
    span = abs(seconds)
    text = next(
        (f"{span // size}{unit}" for unit, size in (("d", 86400), ("h", 3600), ("m", 60)) if span >= size), f"{span}s"
    )
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def warn(text: str) -> None:
    """A line on stderr for a person."""
    # A stderr that is closed or full costs the message, and never the work behind it.
    with suppress(OSError):
        sys.stderr.write(one_line(typed(text)) + "\n")
