"""`syncd run`: the service."""

from __future__ import annotations

import signal

import typer


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(run)


def run(context: typer.Context) -> int:
    """Run as a service: schedules, server, reload on SIGHUP, graceful stop on SIGTERM."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the daemon listens: what it would load is being loaded
    from syncd.daemon import Daemon

    context.obj.logs("info")
    return Daemon(context.obj.config, commit=context.obj.commit).run()
