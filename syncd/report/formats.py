"""A report as a table, JSON, CSV, Markdown or one printable HTML page. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

from syncd.config.fields import format_duration
from syncd.errors import ConfigError
from syncd.report.inventory import COLUMNS, Report

INVENTORY = "secrets"
"""The part that has every secret of the ledger."""
STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem } h1 { font-size: 1.3rem } h2 { font-size: 1.05rem }
table { border-collapse: collapse; width: 100%; font-size: .85rem } thead { display: table-header-group }
th, td { border: 1px solid #bbb; padding: .25rem .4rem; text-align: left; vertical-align: top; overflow-wrap: anywhere }
@media print { body { margin: 0 } h2 { break-after: avoid } tr { break-inside: avoid } }
"""


def cell(value: object) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return format_duration(value)
    return f"{value:%Y-%m-%d %H:%M:%SZ}" if isinstance(value, datetime) else str(value)


def csv_cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = cell(value)
    # OWASP counts a tab and a carriage return among the beginnings of a formula as well.
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def as_csv(report: Report, part: str = INVENTORY) -> str:
    """One part of the report as CSV (RFC 4180). Raises `ConfigError` for an unknown part."""
    parts = {name: rows for name, rows in as_json(report).items() if isinstance(rows, list)}
    if part not in parts:
        raise ConfigError(f"the report has no part {part[:40]!a}", hint=f"one of {', '.join(parts)}")
    rows = parts[part]
    # A part without rows has its head all the same where it is known.
    columns = COLUMNS if part == INVENTORY else tuple(rows[0]) if rows else ("name",)
    return rows_as_csv(columns, rows)


def rows_as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a head."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([csv_cell(row.get(column)) for column in columns])
    return out.getvalue()


def as_json(report: Report) -> dict[str, Any]:
    """Return all parts of the report, by name."""
    return {
        "as_of": report.as_of, "secrets": report.secrets, "rules": report.hits, "duplicates": report.duplicates,
        "drift": report.drift, "unmanaged": report.unmanaged, "marked": report.marked,
        "exceptions": report.exceptions, "held": report.held, "released": report.released,
        "never_arrived": report.never_arrived,
    }  # fmt: skip


def as_markdown(report: Report) -> str:
    """All parts as Markdown."""
    lines = [f"# syncd report, {cell(report.as_of)}", ""]
    for title, rows in report.sections():
        lines += [f"## {title} ({len(rows)})", ""]
        if rows:
            columns = list(rows[0])
            lines += [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
            lines += [f"| {' | '.join(_markdown(row[column]) for column in columns)} |" for row in rows]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _markdown(value: object) -> str:
    # A line break within a cell would end the row of the table.
    text = "".join(char if char.isprintable() else " " for char in cell(value))
    return "".join(f"\\{sign}" if sign in "\\`*_[]|~#@<>&" else sign for sign in text)


def as_html(report: Report) -> str:
    """All parts as one page without outside assets, to be printed or kept."""
    parts = [f"<h1>syncd report</h1><p>As of {escape(cell(report.as_of))}."]
    for title, rows in report.sections():
        parts.append(f"<h2>{escape(title)} ({len(rows)})</h2>")
        if not rows:
            parts.append("<p>None.")
            continue
        head = "".join(f"<th>{escape(column)}" for column in rows[0])
        # Names and reasons come from outside, and the page is opened in a browser.
        body = "".join("<tr>" + "".join(f"<td>{escape(cell(value))}" for value in row.values()) for row in rows)
        parts.append(f"<table><thead><tr>{head}<tbody>{body}</table>")
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>syncd report</title>'
    return f"{head}<style>{STYLE}</style>{''.join(parts)}</html>\n"
