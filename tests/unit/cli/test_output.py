"""What is printed for people: hints that can be typed, tables without empty columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.cli.app import in_front
from syncd.cli.output import Typed, show_table
from syncd.errors import ConfigError

COMMANDS = ("sync", "status", "state adopt")


@pytest.mark.parametrize(
    ("config", "text", "told"),
    [
        ("a.yaml", "fix: run syncd sync", "fix: run syncd sync -c a.yaml"),
        ("my own.yaml", "syncd state adopt N --reason '…'", "syncd state adopt N --reason '…' -c 'my own.yaml'"),
        ("a.yaml", "syncd status, or syncd sync job", "syncd status, or syncd sync job -c a.yaml"),
        ("a.yaml", "run syncd status to see it", "run syncd status to see it (with -c a.yaml)"),
        ("a.yaml", "syncd sync (later)", "syncd sync (later) (with -c a.yaml)"),
        ("a.yaml", "what syncd did; another syncd synced it", "what syncd did; another syncd synced it"),
        ("a.yaml", "see: syncd --help", "see: syncd --help"),
        ("a.yaml", "syncd sync --values v.yaml", "syncd sync --values v.yaml"),
        (None, "run: syncd sync", "run: syncd sync"),
    ],
)
def test_a_command_in_a_hint_means_the_same_configuration(config: str | None, text: str, told: str) -> None:
    typed = Typed()
    typed.means(Path(config) if config else None, COMMANDS)
    assert typed(text) == told


@pytest.mark.parametrize("option", ["-c", "--config", "--as", "--commit", "--log-format"])
@pytest.mark.parametrize("before", [[], ["status"], ["--debug", "state", "list"]])
def test_an_option_without_its_value_is_named(option: str, before: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"{option} needs a value"):
        in_front([*before, option])


def test_a_lean_table_has_no_column_that_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["A", "B", "C"], [["1", "-", ""], ["2", "", "x"]], lean=True)
    assert capsys.readouterr().out == "A  C\n1\n2  x\n"
    show_table(["A", "B"], [], lean=True)
    assert capsys.readouterr().out == "A  B\n"
