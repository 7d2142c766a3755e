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
    rows: dict[str, list[int]] = {}
    for report in (
        one for ended in terminalreporter.stats.values() for one in ended if hasattr(one, "user_properties")
    ):
        if getattr(report, "when", "") == "call":
            for kind, told in report.user_properties:
                if kind == "tally":
                    rows[told[0]] = [a + b for a, b in zip(rows.get(told[0], [0] * 5), told[1:], strict=True)]
    if not rows:
        return
    terminalreporter.section("points and faults")
    width = max(len(row) for row in rows)
    terminalreporter.write_line("  ".join([" " * width, *COLUMNS]))
    for row, counts in sorted(rows.items()):
        cells = [str(number).rjust(len(column)) for number, column in zip(counts, COLUMNS, strict=True)]
        terminalreporter.write_line("  ".join([row.ljust(width), *cells]))
    total = [
        str(sum(column)).rjust(len(name))
        for column, name in zip(zip(*rows.values(), strict=True), COLUMNS, strict=True)
    ]
    terminalreporter.write_line("  ".join(["in all".ljust(width), *total]))
