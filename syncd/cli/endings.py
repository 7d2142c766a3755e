"""How a command that met an error ends: with one or two lines and the documented exit code."""

from __future__ import annotations

import errno
import sys

from typer.exceptions import TyperException

from syncd.cli.context import Context
from syncd.cli.output import warn
from syncd.cli.signals import Signals
from syncd.cli.streams import write_no_more
from syncd.errors import ConfigError, LedgerError, SyncdError
from syncd.telemetry.logs import safe_traceback
from syncd.transport.fault_words import in_words

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
TRIES = {"--dry-run", "--dryrun", "--dry", "-n"}
"""Options by which people ask for a run that sends nothing."""


def ended(error: Exception, caught: Signals, *, debug: bool) -> int:
    """Print what went wrong and how to fix it. Returns: the command's exit code."""
    if isinstance(error, TyperException):
        # Click's own code for a fault of usage is 2, which here says that changes wait (plan --detailed-exitcode).
        where = getattr(getattr(error, "ctx", None), "command_path", "syncd")
        option = getattr(error, "option_name", "")
        # What is near it by its letters (--due) would be a run in earnest.
        if option in TRIES:
            return _say(ConfigError(f"{where} has no {option}", hint="what a run would do: syncd plan"), debug=debug)
        return _say(ConfigError(error.format_message(), hint=_fix(error, where, option)), debug=debug)
    if isinstance(error, SyncdError):
        # A fault that an interruption brought about is told to the caller as the interruption: 130 or 143.
        return caught.code(_say(error, debug=debug))
    if isinstance(error, MemoryError):
        return _say(LedgerError("out of memory", hint="give the process more"), debug=debug)
    if isinstance(error, OSError):
        # An error of a file carries its name. One without a name is of the output, when the work is done already.
        if error.filename is None and error.errno in FULL:
            write_no_more(sys.stdout)
            hint = "make room there; what syncd did is in the ledger: see syncd status"
            return _say(ConfigError(f"stdout takes no more ({error.strerror})", hint=hint), debug=debug)
        where = error.filename if isinstance(error.filename, str) else "a file or folder"
        hint = "see that it is there, writable, and the right kind"
        return _say(ConfigError(f"{where} cannot be used ({in_words(error)})", hint=hint), debug=debug)
    if (damage := _damage_behind(error)) is not None:
        return _say(damage, debug=debug)
    # Nobody foresaw it, so its text may quote a value: it is not shown, not even with --debug.
    warn(f"syncd: bug: {type(error).__name__} (nothing of its text is shown)")
    for line in safe_traceback(error) if debug else ("run it again with --debug, and report what it says",):
        warn(f"  {line}")
    return 70


def _fix(error: TyperException, where: str, option: str) -> str:
    """What to type instead."""
    command = getattr(getattr(error, "ctx", None), "command", None)
    # What other commands have as an option, this one takes as it is.
    taken = {one.name for one in getattr(command, "params", ()) if one.param_type_name == "argument"}
    if (name := option.removeprefix("--")) and {name, f"{name}s"} & taken:
        return f"without {option}: {where} {name.upper()}"
    if "is not readable" in error.format_message():
        return "let this user read it"
    return f"see: {where} --help"


def _damage_behind(error: Exception) -> LedgerError | None:
    """Return an error about a damaged row of the ledger if such a row explains an unexpected exception; else None."""
    try:
        if Context.ledger is not None:
            Context.ledger.see_that_it_is_whole(error)
    except LedgerError as damage:
        return damage
    return None


def _say(error: SyncdError, *, debug: bool) -> int:
    warn(f"syncd: {error.message}")
    for problem in getattr(error, "problems", ()):
        warn(f"  {problem}")
    if error.hint:
        warn(f"  fix: {error.hint}")
    if debug:
        for line in safe_traceback(error):
            warn(f"  {line}")
    return error.exit_code
