"""One row a kind of fault: what was tried, and what it did. Printed at the end where the folder is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.arena import Arena, Verdict
from tests.lab import Bao, Lab

COLUMNS = ("tried", "converged", "duplicated", "lost", "leaked")


@pytest.fixture
def arena(lab: Lab, bao: Bao) -> Arena:
    return Arena(lab, bao)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Count a verdict under a row, and hold it to the rules."""

    def count(row: str, verdict: Verdict, what: object = "") -> None:
        told = (1, int(verdict.converged), verdict.duplicated, verdict.lost, verdict.leaked)
        request.node.user_properties.append(("tally", [row, *told]))
        assert verdict.clean, f"{row} {what}: {verdict}"

    return count


def pytest_terminal_summary(terminalreporter: Any) -> None:
    told = [
        told
        for ended in terminalreporter.stats.values()
        for report in ended
        if getattr(report, "when", "") == "call"
        for told in report.user_properties
    ]
    _faults(terminalreporter, [row for kind, row in told if kind == "tally"])
    _answers(terminalreporter, [row for kind, row in told if kind == "answer"])


def _faults(reporter: Any, told: list[Any]) -> None:
    rows: dict[str, list[int]] = {}
    for row, *counts in told:
        rows[row] = [a + b for a, b in zip(rows.get(row, [0] * len(COLUMNS)), counts, strict=True)]
    if not rows:
        return
    reporter.section("points and faults")
    width = max(len(row) for row in rows)
    reporter.write_line("  ".join([" " * width, *COLUMNS]))
    rows = dict(sorted(rows.items()))
    rows["in all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    for row, counts in rows.items():
        cells = [str(number).rjust(len(column)) for number, column in zip(counts, COLUMNS, strict=True)]
        reporter.write_line("  ".join([row.ljust(width), *cells]))


def _answers(reporter: Any, told: list[Any]) -> None:
    if not told:
        return
    reporter.section("hostile answers")
    for row, code, megabytes, line in sorted(told):
        reporter.write_line(f"{row}: exit {code}, {megabytes} MB at most\n    {line}")
