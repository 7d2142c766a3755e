"""`--reason`: whoever overrides a safeguard has to say why."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated

import typer

from syncd.errors import ConfigError

Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; required by what overrides a safeguard.")
]


def required_reason(given: str | None, what: str) -> str:
    """Return the reason for `what`: the one given, or the one that a person types when asked at the terminal.

    The lines of the audit trail from here on carry it. Raises `ConfigError` for none, or for one that is not a single
    line of at most 500 characters.
    """
    # A script has nobody to answer. The question goes to stderr, so a redirected stdout neither hides nor holds it.
    if given is None and sys.stdin.isatty() and sys.stderr.isatty():
        given = typer.prompt(f"Reason for {what}", err=True)
    reason = (given or "").strip()
    if not reason:
        raise ConfigError(f"{what} needs a reason, which is kept in the audit trail", hint="add: --reason 'why'")
    from syncd.domain.audit import CAUSE, LONGEST_REASON, is_reason

    if not is_reason(reason):
        raise ConfigError(
            f"--reason takes at most {LONGEST_REASON} characters, without line breaks or control characters",
            hint="shorten it, or name a ticket",
        )
    # Set here, so that no command can ask for a reason and leave it out of its lines.
    CAUSE.set(replace(CAUSE.get(), reason=reason))
    return reason


def log_override(what: str, reason: str, **about: object) -> None:
    """Log who overrides which safeguard, and why."""
    from syncd.domain.audit import CAUSE
    from syncd.telemetry.logs import logger

    logger().warning("safeguard.overridden", what=what, reason=reason, user=CAUSE.get().actor.id, **about)
