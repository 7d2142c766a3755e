"""A command that writes: its app, its events, its progress bar."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from syncd.cli.context import Context

if TYPE_CHECKING:
    from syncd.bootstrap.app import App


@contextmanager
def working(context: Context) -> Iterator[App]:
    """The app for a command that writes: events logged, a signal settles what is in flight, a bar on a terminal."""
    import structlog

    from syncd.telemetry.events import Events

    events = Events()
    level = "warning" if sys.stderr.isatty() else "info"
    Context.stoppable = True
    structlog.contextvars.bind_contextvars(run_id=uuid.uuid4().hex[:12])
    with context.open(level=level, events=events) as app, _bar(app):
        yield app


@contextmanager
def _bar(app: App) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking", total=None)
        told = app.world.told

        def on_told(kind: str, thing: Any, job: Any, target: str) -> None:
            told(kind, thing, job, target)
            if kind == "outcome":
                progress.advance(task)

        def planned(count: int) -> None:
            if count:
                progress.update(task, description="writing", total=count, completed=0)

        app.world = replace(app.world, told=on_told, planned=planned)
        yield
