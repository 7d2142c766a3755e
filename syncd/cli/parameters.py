"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Jobs = Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="Jobs to take; all if left out.")]
Wait = Annotated[str, typer.Option("--wait", help="How long to wait for another process that works on the site.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
