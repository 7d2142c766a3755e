"""`syncd schema`: the JSON Schema of the configuration."""

from __future__ import annotations

import typer

from syncd.cli.output import show_json


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(schema)


def schema() -> int:
    """Print the configuration's JSON Schema, for editors."""
    from syncd.config import json_schema

    show_json(json_schema())
    return 0
