"""`syncd demo` and `syncd sandbox`: try syncd out, with its sources and targets on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.context import Context
from syncd.cli.output import show
from syncd.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(demo)
    app.command()(sandbox)


def say(text: str) -> None:
    """Print a text of one or more lines on stdout."""
    for line in text.split("\n"):
        show(line)


def demo(
    *,
    keep: Annotated[Path | None, typer.Option("--keep", help="Leave configuration and state in this folder.")] = None,
) -> int:
    """See it work: a real OpenBao, an AWS emulator and a Wix emulator, seeded, synced, rotated, synced again."""
    # Late: nothing of the sandbox is loaded when syncing, and its servers are an extra.
    from syncd.sandbox.demo import run_demo

    return run_demo(keep, say)


def sandbox(
    *,
    only: Annotated[str | None, typer.Option("--only", help="One of them: openbao, aws or wix.")] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="With --only: listen there.")] = 0,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where its files go; a temporary folder if left out.")
    ] = None,
    sites: Annotated[int, typer.Option("--sites", min=1, max=500, help="How many Wix sites there are.")] = 1,
) -> int:
    """Start the demo's servers to try a configuration against; stays until Ctrl-C.

    The emulated Wix can be looked into and made to fail, with plain HTTP:

    \b
    GET  /_sandbox/secrets          every site's secrets, with their values
    GET  /_sandbox/requests         what was asked, with status and fault
    POST /_sandbox/faults           {"kind": "503", "method": "PATCH", "times": 3, "seconds": 1}
         kinds: reset_before reset_after 500 503 504_after html invalid_json truncated 429 429_retry_after
         401 403 slow late (`…_after`: the request takes effect, its answer is lost)
    POST /_sandbox/people/SITE      {"name": "NAME", "value": "by hand"}   as somebody at Wix; null deletes it
    POST /_sandbox/options/SITE     {"listing_lag": 5, "case_insensitive": true, "dates": false, "capacity": 50,
         "members_area": false, "may_read": false, "quota": 200, "quota_window": 60, "latency": 0.05}
    """  # noqa: D301 - click reads the \b itself
    if only not in {None, "openbao", "aws", "wix"}:
        raise ConfigError(f"--only {only} is not known", hint="openbao, aws or wix")
    if port and only is None:
        raise ConfigError("--port goes with --only", hint="say which server: --only wix --port 8080")
    from syncd.sandbox.servers import SandboxRequest, run_sandbox

    Context.stoppable = True
    return run_sandbox(SandboxRequest(only=only, port=port, folder=folder, sites=sites), say, Context.stop)
