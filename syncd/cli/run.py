"""`syncd run`: the service."""

from __future__ import annotations

import signal
from functools import partial

import typer

LAST_LINES = 2.0
"""Seconds for which the end waits until the last log lines are written."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(run)


def run(context: typer.Context) -> int:
    """Run as a service: schedules, server, reload on SIGHUP, graceful stop on SIGTERM."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the daemon listens: what it would load is being loaded
    from syncd.daemon import Daemon
    from syncd.telemetry.log_stream import QueuedStream

    stream = QueuedStream()
    context.obj.logs("info", stream)
    try:
        return Daemon(context.obj.config, commit=context.obj.commit).run(partial(stream.end, LAST_LINES))
    finally:
        stream.end(LAST_LINES)
